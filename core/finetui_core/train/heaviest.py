"""Which steps and which pass of a run are the heaviest, so that a probe meets the worst of it."""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from finetui_core.train.batches import Schedule, shares
from finetui_core.train.evaluation import groups_of
from finetui_core.train.forward import Layout, Rows

_CANDIDATES = 64
"""Steps whose passes are laid out: those with the most tokens, and those with the longest rows."""
_MOST_STEPS = 500_000
"""Steps that are looked at; in a longer run later epochs only deal the same rows in another order."""


def heaviest_steps(
    schedule: Schedule, lengths: np.ndarray, layout: Layout, processes: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The two steps with the largest forward pass and, among equals, the most tokens; the heaviest first.

    Each is (step, the number of the process that has that pass). A schedule of one step gives it twice.
    """
    totals: list[int] = []
    longest: list[int] = []
    for rows in islice(_rows_of_steps(schedule), _MOST_STEPS):
        totals.append(int(lengths[rows].sum()))
        longest.append(int(lengths[rows].max()))
    by_total = np.argsort(-np.array(totals), kind="stable")[:_CANDIDATES]
    by_longest = np.argsort(-np.array(longest), kind="stable")[:_CANDIDATES]
    weights, process = {}, {}
    for step in sorted({int(one) + 1 for one in (*by_total, *by_longest)}):
        rows = schedule.rows_of_step(step)
        of_rows = {row: int(lengths[row]) for row in rows}
        sizes = [
            max((_size(one, of_rows, layout) for one in groups_of(share, of_rows, layout)), default=0)
            for share in shares(rows, of_rows, processes)
        ]
        weights[step] = (max(sizes), totals[step - 1])
        process[step] = sizes.index(max(sizes))
    ordered = sorted(weights, key=lambda step: (weights[step], -step), reverse=True)
    first, second = ordered[0], ordered[min(1, len(ordered) - 1)]
    return (first, process[first]), (second, process[second])


def _rows_of_steps(schedule: Schedule) -> Iterator[list[int]]:
    epochs = range(-(-schedule.total_steps // schedule.steps_per_epoch))
    steps = (rows for epoch in epochs for rows in schedule.steps_of_epoch(epoch))
    return islice(steps, schedule.total_steps)


def heaviest_pass(rows: Rows, numbers: Sequence[int], layout: Layout) -> list[int]:
    """The rows of the largest forward pass of an evaluation over `numbers`."""
    lengths = {number: len(rows[number][0]) for number in numbers}
    return max(groups_of(numbers, lengths, layout), key=lambda one: _size(one, lengths, layout))


def _size(one: Sequence[int], lengths: dict[int, int], layout: Layout) -> int:
    """Tokens of a pass, those that only pad included."""
    of_rows = [lengths[row] for row in one]
    return sum(of_rows) if layout.packed else len(of_rows) * max(of_rows)
