"""Attention over packed documents that cannot cross a document's edge.

It is registered with transformers as an attention implementation of its own, so every architecture that
looks its attention up there can run packed rows. `document_lengths` reaches it through the model's keyword
arguments. Each document is attended to alone, so cost grows with the sum of squared document lengths, not
with the square of the row.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface

PACKED = "ftui_packed"


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    document_lengths: Sequence[int],
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **unsupported: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each document of one packed row.

    `query` is (1, heads, tokens, head_dim), `key` and `value` may have fewer heads (grouped queries);
    `document_lengths` sum to `tokens`. Returns (1, tokens, heads, head_dim). A processor's kernel shares keys without
    copies; a GPU's for float32 cannot, and all scores would be held. Raises ValueError for score modifications
    that it does not compute, so that the caller can fall back to padding.
    """
    for name in ("softcap", "s_aux", "position_bias"):
        if unsupported.get(name) is not None:
            raise ValueError(f"packed attention does not compute {name}")
    groups = query.shape[1] // key.shape[1]
    shared = groups > 1 and query.device.type == "cpu"
    if groups > 1 and not shared:
        key = key.repeat_interleave(groups, dim=1)
        value = value.repeat_interleave(groups, dim=1)
    lengths = list(document_lengths)
    outputs = [
        F.scaled_dot_product_attention(
            one_query,
            one_key,
            one_value,
            attn_mask=_band(length, sliding_window, query.device),
            dropout_p=dropout,
            scale=scaling,
            is_causal=sliding_window is None or length <= sliding_window,
            enable_gqa=shared,
        )
        for length, one_query, one_key, one_value in zip(
            lengths,
            query.split(lengths, dim=2),
            key.split(lengths, dim=2),
            value.split(lengths, dim=2),
            strict=True,
        )
    ]
    return torch.cat(outputs, dim=2).transpose(1, 2), None


def _band(length: int, window: int | None, device: torch.device) -> torch.Tensor | None:
    """The mask of a causal sliding window, or None where plain causal attention is the same."""
    if window is None or length <= window:
        return None
    positions = torch.arange(length, device=device)
    distance = positions[:, None] - positions[None, :]
    return (distance >= 0) & (distance < window)


AttentionInterface.register(PACKED, packed_attention)


@contextmanager
def attention(model: Any, implementation: str) -> Iterator[None]:
    """Run `model` with another attention implementation inside the block.

    The block must enclose the backward pass too: gradient checkpointing computes attention there again.
    """
    config = model.config
    before = config._attn_implementation
    config._attn_implementation = implementation
    try:
        yield
    finally:
        config._attn_implementation = before
