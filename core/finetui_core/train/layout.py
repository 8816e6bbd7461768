"""How a model is run: the fastest layout of rows that it computes exactly, found by trying it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from finetui_core.errors import first_line
from finetui_core.train.evaluation import ALONE, Processes
from finetui_core.train.forward import Layout, Pass, logits_at, packed_pass, padded_pass
from finetui_core.train.fused.seam import fuse, unfuse
from finetui_core.train.model import causal_model

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 3e-2}


@dataclass(frozen=True, slots=True)
class ChosenLayout:
    """A layout and, where it is not the fast one, the reason."""

    layout: Layout
    note: str


class _ProbeRows:
    """Two short documents of arbitrary tokens, of which some are supervised."""

    def __init__(self, vocabulary: int) -> None:
        generator = np.random.default_rng(0)
        self._rows = [generator.integers(0, vocabulary, length) for length in (11, 7)]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        ids = self._rows[index]
        return ids, np.arange(len(ids)) % 3 != 1


@torch.no_grad()
def fuse_proven(model: Any) -> str:
    """Put the fused forms into `model` if its logits stay the same; the note names what keeps its own form."""
    was_training = model.training
    model.eval()
    inner = causal_model(model)
    embedding = inner.get_input_embeddings().weight
    one = padded_pass(_ProbeRows(embedding.shape[0]), [0], embedding.device)
    own = logits_at(inner, one, own_head=False)
    note = fuse(model)
    difference = _difference(inner, one, own, False, ALONE)
    if difference is not None:
        unfuse(model)
        note = f"all parts keep their own form: with the fused ones {difference}"
    model.train(was_training)
    return note


@torch.no_grad()
def choose_layout(
    model: Any,
    *,
    packing: bool,
    rows_per_pass: int,
    tokens_per_pass: int,
    processes: Processes = ALONE,
) -> ChosenLayout:
    """The fastest layout that this model computes exactly, found by trying it.

    Two short documents run alone and unpadded through the model's own forward pass are the truth; a layout
    whose logits differ from it is not used, and the note says so.
    """
    was_training = model.training
    model.eval()
    inner = causal_model(model)
    device = inner.get_input_embeddings().weight.device
    rows = _ProbeRows(inner.get_input_embeddings().weight.shape[0])
    truth = torch.cat(
        [
            processes.run(logits_at, inner, padded_pass(rows, [number], device), own_head=False)
            for number in range(len(rows))
        ]
    )
    together = packed_pass(rows, [0, 1], device)
    alone = padded_pass(rows, [0, 1], device)
    candidates = [(False, True), (False, False)]
    if packing:
        candidates = [(True, True), (True, False), *candidates]
    notes = []
    chosen = (False, False)
    for packed, own_head in candidates:
        difference = _difference(inner, together if packed else alone, truth, own_head, processes)
        if difference is None:
            chosen = (packed, own_head)
            break
        notes.append(f"{_layout_name(packed, own_head)}: {difference}")
    model.train(was_training)
    layout = Layout(chosen[0], chosen[1], rows_per_pass, tokens_per_pass)
    return ChosenLayout(layout, "; ".join(notes))


def _difference(
    model: Any, one: Pass, truth: torch.Tensor, own_head: bool, processes: Processes
) -> str | None:
    """Why a layout cannot be used, or None if its logits are right."""
    try:
        logits = processes.run(logits_at, model, one, own_head=own_head)
    except (ValueError, TypeError, RuntimeError, AttributeError, KeyError, IndexError) as error:
        return first_line(error)
    if logits.shape != truth.shape:
        return "the logits have another shape"
    worst = (logits.float() - truth.float()).abs().max().item()
    dtype = torch.float16 if getattr(model, "is_quantized", False) else model.dtype
    allowed = TOLERANCE[dtype] * max(1.0, truth.float().abs().max().item())
    return None if worst <= allowed else f"logits differ by {worst:.2g}"


def _layout_name(packed: bool, own_head: bool) -> str:
    return f"{'packed' if packed else 'padded'} rows with {'chunked' if own_head else 'whole'} logits"
