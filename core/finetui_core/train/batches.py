"""Which rows an optimizer step sees, and how they are laid out in forward passes.

The rows of a step depend on the seed and the step's number alone, so a resumed run needs no sampler state.
The layout (packed or padded, how many passes, how many processes) changes neither the rows nor the loss.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapreplace

import numpy as np
from numpy.typing import NDArray

_AS_MUCH_ATTENTION = 6 * 4096
"""The length of a row whose attention takes as long as all else: for each token a layer of width h multiplies 24 h²
times, and 4 h times for each token that is attended to. Models from 1 to 8 billion parameters are about 4096 wide.
"""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How rows are dealt to steps: `batch_size` rows a step, the last step of an epoch may hold fewer."""

    rows: int
    batch_size: int
    seed: int
    total_steps: int

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.rows // self.batch_size)

    def rows_of_step(self, step: int) -> list[int]:
        """Row numbers of optimizer step `step`, counted from 1."""
        epoch, index = divmod(step - 1, self.steps_per_epoch)
        order = self.order_of_epoch(epoch)
        return [int(row) for row in order[index * self.batch_size : (index + 1) * self.batch_size]]

    def steps_of_epoch(self, epoch: int) -> Iterator[list[int]]:
        """What `rows_of_step` gives for each step of an epoch, counted from 0, in order."""
        order = self.order_of_epoch(epoch)
        for start in range(0, self.rows, self.batch_size):
            yield order[start : start + self.batch_size].tolist()

    def order_of_epoch(self, epoch: int) -> NDArray[np.int64]:
        """All row numbers in the order in which an epoch, counted from 0, takes them."""
        return np.random.default_rng([self.seed, epoch]).permutation(self.rows)

    def epoch_after(self, step: int) -> float:
        """Epochs done once `step` steps are done; whole at each epoch's last step."""
        epoch, index = divmod(step, self.steps_per_epoch)
        return epoch + index / self.steps_per_epoch

    def ends_epoch(self, step: int) -> bool:
        return step % self.steps_per_epoch == 0


def share_of_process(
    rows: Sequence[int], lengths: Mapping[int, int], process: int, processes: int
) -> list[int]:
    """The rows of a step that one of several processes takes, dealt so that all have as much to compute."""
    return shares(rows, lengths, processes)[process]


def shares(rows: Sequence[int], lengths: Mapping[int, int], processes: int) -> list[list[int]]:
    """The rows of a step dealt to all processes: the longest first, each to whoever has the least to do so far.

    Graham's longest processing time first, https://doi.org/10.1137/0117039: the busiest process has at most 4/3 of
    the least possible. Without rows enough, the last processes have none.
    """
    dealt: list[list[int]] = [[] for _ in range(processes)]
    waiting = [(0, process) for process in range(processes)]
    for row in sorted(rows, key=lambda row: (-lengths[row], row)):
        work, process = waiting[0]
        dealt[process].append(row)
        heapreplace(waiting, (work + lengths[row] * (_AS_MUCH_ATTENTION + lengths[row]), process))
    return dealt


def padded_passes(rows: Sequence[int], lengths: Mapping[int, int], rows_per_pass: int) -> list[list[int]]:
    """Rows grouped by similar length, `rows_per_pass` at a time, so that little is padded."""
    ordered = sorted(rows, key=lambda row: (-lengths[row], row))
    return [ordered[start : start + rows_per_pass] for start in range(0, len(ordered), rows_per_pass)]


def packed_passes(rows: Sequence[int], lengths: Mapping[int, int], token_budget: int) -> list[list[int]]:
    """Rows packed first-fit, longest first, into passes of at most `token_budget` tokens.

    A row longer than the budget gets a pass of its own.
    """
    passes: list[list[int]] = []
    room: list[int] = []
    for row in sorted(rows, key=lambda row: (-lengths[row], row)):
        for index, free in enumerate(room):
            if lengths[row] <= free:
                passes[index].append(row)
                room[index] -= lengths[row]
                break
        else:
            passes.append([row])
            room.append(token_budget - lengths[row])
    return passes
