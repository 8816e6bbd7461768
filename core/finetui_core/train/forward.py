"""One forward pass: rows → tensors → summed loss, packed or padded.

`packed` lays rows end to end in one sequence whose positions begin at zero for each row. `padded` is the
reference form: a rectangle with an attention mask. Both give the same loss and gradients.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F

from finetui_core.train.attention import PACKED, attention
from finetui_core.train.fused.last_layer import only_at
from finetui_core.train.loss import head_loss, head_token_losses, token_losses


class Rows(Protocol):
    """Tokenised rows: `rows[i]` is (ids, supervised), two arrays of one length."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True, slots=True)
class Layout:
    """How this model is run. What it cannot do is found out at start-up (see `layout.choose_layout`).

    `packed`: rows may share a sequence. `own_head`: the loss may call the vocabulary head itself.
    `rows_per_pass` bounds a padded pass, `tokens_per_pass` a packed one.
    """

    packed: bool
    own_head: bool
    rows_per_pass: int
    tokens_per_pass: int


@dataclass(frozen=True, slots=True)
class Pass:
    """The tensors of one forward pass.

    `input_ids` and `position_ids` are (sequences, tokens). `predicting` holds flat positions whose next token
    is supervised, `targets` those next tokens. `document_lengths` is set for packed passes, `attention_mask`
    for padded ones.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    predicting: torch.Tensor
    targets: torch.Tensor
    attention_mask: torch.Tensor | None
    document_lengths: tuple[int, ...] | None


def supervised_tokens(mask: np.ndarray) -> int:
    """Tokens of one row that carry loss; the first token of a row has nothing that predicts it."""
    return int(mask[1:].sum())


def packed_pass(rows: Rows, numbers: Sequence[int], device: torch.device) -> Pass:
    """Rows end to end, each up to the last token that predicts a supervised one: what follows moves no loss."""
    documents = [rows[number] for number in numbers]
    targets_at = [np.flatnonzero(mask[1:]) + 1 for _, mask in documents]
    lengths = [int(at[-1]) if len(at) else 1 for at in targets_at]
    starts = np.cumsum(lengths) - lengths
    ids = np.concatenate([ids[:length] for (ids, _), length in zip(documents, lengths, strict=True)])
    predicting = np.concatenate([start + at - 1 for start, at in zip(starts, targets_at, strict=True)])
    targets = np.concatenate([ids[at] for (ids, _), at in zip(documents, targets_at, strict=True)])
    return Pass(
        input_ids=torch.from_numpy(ids.astype(np.int64))[None].to(device),
        position_ids=torch.cat([torch.arange(length) for length in lengths])[None].to(device),
        predicting=torch.from_numpy(predicting).to(device),
        targets=torch.from_numpy(targets.astype(np.int64)).to(device),
        attention_mask=None,
        document_lengths=tuple(lengths),
    )


def padded_pass(rows: Rows, numbers: Sequence[int], device: torch.device) -> Pass:
    documents = [rows[number] for number in numbers]
    width = max(len(ids) for ids, _ in documents)
    ids = np.zeros((len(documents), width), dtype=np.int64)
    supervised = np.zeros((len(documents), width), dtype=bool)
    real = np.zeros((len(documents), width), dtype=np.int64)
    for index, (row_ids, row_mask) in enumerate(documents):
        ids[index, : len(row_ids)] = row_ids
        supervised[index, 1 : len(row_ids)] = row_mask[1:]
        real[index, : len(row_ids)] = 1
    targets_at = np.flatnonzero(supervised)
    return Pass(
        input_ids=torch.from_numpy(ids).to(device),
        position_ids=torch.arange(width).expand(len(documents), width).to(device),
        predicting=torch.from_numpy(targets_at - 1).to(device),
        targets=torch.from_numpy(ids.reshape(-1)[targets_at]).to(device),
        attention_mask=torch.from_numpy(real).to(device),
        document_lengths=None,
    )


def _inputs(one: Pass, implementation: str) -> dict[str, Any]:
    inputs: dict[str, Any] = {
        "input_ids": one.input_ids,
        "position_ids": one.position_ids,
        "use_cache": False,
    }
    if one.document_lengths is None:
        inputs["attention_mask"] = one.attention_mask
    elif implementation.startswith("flash_attention"):
        edges = F.pad(torch.tensor(one.document_lengths, device=one.input_ids.device).cumsum(0), (1, 0)).int()
        longest = max(one.document_lengths)
        inputs |= {
            "cu_seq_lens_q": edges,
            "cu_seq_lens_k": edges,
            "max_length_q": longest,
            "max_length_k": longest,
        }
    else:
        inputs["document_lengths"] = one.document_lengths
    return inputs


def attention_for(model: Any, one: Pass) -> str:
    """The attention implementation that a pass runs with."""
    chosen: str = model.config._attn_implementation
    if one.document_lengths is None or chosen.startswith("flash_attention"):
        return chosen
    return PACKED


@contextmanager
def running(model: Any, one: Pass) -> Iterator[None]:
    """Run `model` on a pass: with its attention, and the last layer only where `one.predicting` reads it.

    The block must enclose the backward pass too: gradient checkpointing computes both there again.
    """
    with attention(model, attention_for(model, one)), only_at(model, one.predicting):
        yield


def logits_at(model: Any, one: Pass, *, own_head: bool) -> torch.Tensor:
    """Logits at the predicting positions, (positions, vocabulary); used to compare layouts."""
    with running(model, one):
        inputs = _inputs(one, model.config._attn_implementation)
        if own_head:
            hidden = _decoder(model)(**inputs).last_hidden_state
            logits: torch.Tensor = model.get_output_embeddings()(_rows_at(hidden, one.predicting))
            return logits
        return _rows_at(model(**inputs).logits, one.predicting)


def summed_loss(model: Any, one: Pass, *, own_head: bool) -> torch.Tensor:
    """Cross-entropy summed over the supervised tokens of a pass, as a float32 scalar.

    Call it, and the backward pass, inside `running(model, one)`.
    """
    inputs = _inputs(one, model.config._attn_implementation)
    if own_head:
        hidden = _decoder(model)(**inputs).last_hidden_state
        return head_loss(_rows_at(hidden, one.predicting), one.targets, model.get_output_embeddings())
    logits = _rows_at(model(**inputs).logits, one.predicting)
    return F.cross_entropy(logits.float(), one.targets, reduction="sum")


def loss_by_token(model: Any, one: Pass, *, own_head: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """`summed_loss` without a gradient, the same bit for bit, and what each of `one.targets` adds to it."""
    states, head = before_head(model, one, own_head=own_head)
    if head is not None:
        return head_token_losses(states, one.targets, head)
    return token_losses(states, one.targets)


def before_head(model: Any, one: Pass, *, own_head: bool) -> tuple[torch.Tensor, torch.nn.Module | None]:
    """States at the predicting positions and the head that makes logits of them, or the logits and None."""
    inputs = _inputs(one, model.config._attn_implementation)
    if own_head:
        hidden = _decoder(model)(**inputs).last_hidden_state
        return _rows_at(hidden, one.predicting), model.get_output_embeddings()
    return _rows_at(model(**inputs).logits, one.predicting), None


def rows_of_targets(one: Pass) -> torch.Tensor:
    """For each of `one.targets`, which of the rows of the pass it is in, counted in the order they were given."""
    if one.document_lengths is None:
        return one.predicting // one.input_ids.shape[1]
    ends = torch.tensor(one.document_lengths, device=one.predicting.device).cumsum(0)
    return torch.bucketize(one.predicting, ends, right=True)


def _rows_at(states: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    return states.reshape(-1, states.shape[-1]).index_select(0, positions)


def _decoder(model: Any) -> Any:
    return getattr(model, model.base_model_prefix)
