"""Validation loss and the forgetting probe, measured without touching the run's random numbers."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from finetui_core.errors import InputError, Problem
from finetui_core.preflight.workload import PROBE_LENGTH, PROBE_PIECES
from finetui_core.recipe.defaults import evaluation_rows, packed_tokens
from finetui_core.recipe.options import Recipe
from finetui_core.runs.records import content_of
from finetui_core.train.batches import packed_passes, padded_passes, shares
from finetui_core.train.forward import (
    Layout,
    Pass,
    Rows,
    packed_pass,
    padded_pass,
)

LARGEST_PROBE = 64 << 20  # bytes


def _call(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    return function(*arguments, **named)


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those of the run; `add` sums a tensor over all of them, in place where it can.

    `run` calls a function that runs the model. Where the weights are sharded it puts them together for that, so that
    all processes must call it equally often. `lost` names a process that is lost, and may wait some seconds for it.
    """

    index: int
    count: int
    add: Callable[[torch.Tensor], torch.Tensor]
    run: Callable[..., Any] = _call
    lost: Callable[[], str] = str

    @property
    def is_sharded(self) -> bool:
        """Whether each process holds only a part of the weights."""
        return self.run is not _call

    @property
    def holders(self) -> "Processes":
        """The processes that hold the weights between them: all where they are sharded, else this one."""
        return self if self.is_sharded else ALONE

    def agreed(self, decision: bool) -> bool:
        """What process 0 decides, where all must do the same since the weights are sharded; else this one's word."""
        if not self.is_sharded:
            return decision
        return bool(self.add(torch.tensor(float(decision and self.index == 0))))


ALONE = Processes(0, 1, lambda tensor: tensor)


def fixed_subset(rows: int, max_rows: int, seed: int) -> list[int]:
    """The validation rows of every evaluation of a run: all, or the same `max_rows` drawn by the seed."""
    if max_rows == 0 or rows <= max_rows:
        return list(range(rows))
    drawn = np.random.default_rng([seed, rows]).permutation(rows)[:max_rows]
    return sorted(int(row) for row in drawn)


def evaluation_layout(recipe: Recipe, layout: Layout, device: torch.device) -> Layout:
    """The layout of training, with passes of as many rows, or of the tokens of as many, as the recipe evaluates.

    `recipe` is a run's own, whose `data.max_length` is settled.
    """
    rows, longest = evaluation_rows(recipe), recipe.data.max_length or 1
    tokens = packed_tokens(rows, longest, device.type)
    return replace(layout, rows_per_pass=rows, tokens_per_pass=tokens)


def passes_of(rows: Rows, numbers: Sequence[int], layout: Layout, device: torch.device) -> Iterator[Pass]:
    """The forward passes that cover `numbers`, in the model's layout."""
    lengths = {number: len(rows[number][0]) for number in numbers}
    for group in groups_of(numbers, lengths, layout):
        yield pass_of(rows, group, layout, device)


def pass_of(rows: Rows, group: Sequence[int], layout: Layout, device: torch.device) -> Pass:
    return packed_pass(rows, group, device) if layout.packed else padded_pass(rows, group, device)


def even_groups(
    numbers: Sequence[int], lengths: Mapping[int, int], layout: Layout, processes: Processes
) -> tuple[list[list[int]], int]:
    """The forward passes of this process over its share of `numbers`, and how many of them are its own.

    Sharded processes run equally many: the passes beyond its own hold the shortest row, and count for nothing.
    """
    dealt = shares(numbers, lengths, processes.count)
    mine = groups_of(dealt[processes.index], lengths, layout)
    if not processes.is_sharded:
        return mine, len(mine)
    most = max(len(groups_of(share, lengths, layout)) for share in dealt)
    shortest = min(numbers, key=lambda number: (lengths[number], number))
    return [*mine, *([[shortest]] * (most - len(mine)))], len(mine)


def groups_of(numbers: Sequence[int], lengths: Mapping[int, int], layout: Layout) -> list[list[int]]:
    """The rows of each forward pass."""
    if layout.packed:
        return packed_passes(numbers, lengths, layout.tokens_per_pass)
    return padded_passes(numbers, lengths, layout.rows_per_pass)


@contextmanager
def inference(model: Any) -> Iterator[None]:
    """Dropout off and no gradients inside the block; the mode is put back after it."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def summing_device(device: torch.device) -> torch.device:
    """Apple's GPU has no float64; the sum is then kept on the CPU."""
    return torch.device("cpu") if device.type == "mps" else device


def perplexity(loss: float) -> float:
    """exp(loss): the number of equally likely tokens the model hesitates between; inf where it overflows."""
    return math.inf if loss >= 700 else math.exp(loss)


class Documents:
    """Texts as token ids, of which every token is judged."""

    def __init__(self, pieces: Sequence[np.ndarray]) -> None:
        self.pieces = tuple(pieces)

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        piece = self.pieces[index]
        return piece, np.ones(len(piece), dtype=bool)


def probe_text(path: Path, tokenizer: Any, longest: int) -> Documents:
    """Pieces from all over a text file, as many and as long as `preflight.workload` has it or the file gives."""
    length = min(longest, PROBE_LENGTH)
    try:
        text = content_of(path, LARGEST_PROBE).decode()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        hint = f"Name a file of plain text of at most {LARGEST_PROBE >> 20} MiB in eval.forgetting_probe."
        raise InputError(Problem(f"the text cannot be read: {reason}", str(path), hint)) from error
    ids = np.asarray(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    pieces = [ids[start : start + length] for start in range(0, len(ids), length)]
    whole = [piece for piece in pieces if len(piece) > 1]
    if not whole:
        hint = "Name a file of plain text in eval.forgetting_probe."
        raise InputError(Problem("the text has fewer than two tokens", str(path), hint))
    taken = np.linspace(0, len(whole) - 1, min(PROBE_PIECES, len(whole))).astype(int)
    return Documents([whole[at] for at in taken])
