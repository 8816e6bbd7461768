"""Text that the model itself writes: what it knew before training, without a file from anybody."""

from typing import Any

import numpy as np
import torch

from finetui_core.data.template import own_bos
from finetui_core.train.attention import attention
from finetui_core.train.evaluation import inference
from finetui_core.train.generate import end_tokens
from finetui_core.train.model import causal_model

_OPENINGS = (
    "The", "A", "In", "I", "We", "It", "This", "When", "How", "What", "There", "For",
    "On", "If", "As", "To", "You", "He", "She", "They", "At", "One", "After", "With",
)  # fmt: skip
_TOGETHER = 32
"""Texts written at a time."""


def written_by(
    model: Any, tokenizer: Any, device: torch.device, *, texts: int, length: int, seed: int
) -> list[np.ndarray]:
    """Token ids of texts of `length` tokens, each from one word on, drawn at temperature 1 by a generator of its own.

    The token that would end a text is never drawn, so that all are as long. The random numbers of the caller stay as
    they were.
    """
    inner = causal_model(model)
    begins = _beginnings(tokenizer)
    written: list[np.ndarray] = []
    devices = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=devices, device_type="cuda"),
        inference(model),
        attention(inner, inner.config._attn_implementation),
    ):
        torch.manual_seed(seed)
        for first in range(0, texts, _TOGETHER):
            chosen = [begins[at % len(begins)] for at in range(first, min(texts, first + _TOGETHER))]
            input_ids = torch.tensor(chosen, device=device)
            generated = inner.generate(
                input_ids=input_ids,
                attention_mask=torch.ones_like(input_ids),
                max_new_tokens=length - input_ids.shape[1],
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                repetition_penalty=1.0,
                suppress_tokens=end_tokens(inner, tokenizer) or None,
                pad_token_id=0,
                use_cache=True,
            )
            written += [text.astype(np.int32) for text in generated.cpu().numpy()]
    return written


def _beginnings(tokenizer: Any) -> list[list[int]]:
    """The start token, where texts have one, and the first token of each opening word; each once."""
    bos = own_bos(tokenizer)
    firsts = [tokenizer(word, add_special_tokens=False)["input_ids"][:1] for word in _OPENINGS]
    once = dict.fromkeys(tuple(first) for first in firsts if first)
    return [[*([] if bos is None else [bos]), *first] for first in once] or [[0]]
