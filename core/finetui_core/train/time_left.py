"""How many seconds a run still takes, while it runs: the work that is left times what work has taken so far.

The rows of every step are known beforehand, so the work of each is: a step of many long rows is not taken for a
slow machine. No clock is read here; whoever times the steps says what they took.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from finetui_core.preflight.duration import SAVES_SHARE
from finetui_core.train.batches import Schedule

_MOST_STEPS = 512
"""Newest steps that are fitted: enough to drown noise, few enough to follow a machine that changes."""
_FEW = 8
"""Steps before which seconds are taken to follow the tokens alone."""
_REFIT_GROWTH = 1.05
Numbers = NDArray[np.float64]


def work_of_epoch(
    schedule: Schedule, lengths: NDArray[np.int64], epoch: int, rows_per_pass: int | None
) -> Numbers:
    """(steps, 3): one, the tokens and the sum of squared lengths of each step of an epoch counted from 0.

    With `rows_per_pass` rows are padded to the longest of their pass, and padding counts; None for packed rows.
    """
    batch = schedule.batch_size
    ordered = lengths[schedule.order_of_epoch(epoch)]
    short = -len(ordered) % batch
    table = np.concatenate([ordered, np.zeros(short, dtype=ordered.dtype)]).reshape(-1, batch)
    if rows_per_pass is not None:
        table = _padded(-np.sort(-table, axis=1), rows_per_pass)
    wide = table.astype(np.float64)
    return np.stack([np.ones(len(wide)), wide.sum(axis=1), np.square(wide).sum(axis=1)], axis=1)


def _padded(longest_first: NDArray[np.int64], rows_per_pass: int) -> NDArray[np.int64]:
    """Each row as long as the first of its pass; the empty places of a short last step stay empty."""
    first = np.arange(longest_first.shape[1]) // rows_per_pass * rows_per_pass
    return np.where(longest_first > 0, longest_first[:, first], 0)


@dataclass(slots=True)
class TimeLeft:
    """What is left of a run. `stepped`, `evaluated`, `metered` and `saved` tell it what things took, in seconds.

    `evaluations_every` and `saves_every` are in steps, 0 for the end of each epoch and None for never;
    `saves_at_best` says that an evaluation that is the best so far saves as well; `saves_seconds` is the longest
    time without a save, 0 for none. `save_guess` stands in for the seconds of a save until one has been seen. Meters
    may take `meter_share` of what the steps take.
    """

    schedule: Schedule
    lengths: NDArray[np.int64]
    rows_per_pass: int | None
    evaluations_every: int | None
    saves_every: int
    saves_at_best: bool
    save_guess: float = 0.0
    meter_share: float = 0.0
    saves_seconds: float = 0.0
    _epoch: int = -1
    _work: Numbers = field(default_factory=lambda: np.zeros((0, 3)))
    _whole: Numbers | None = None
    _done: list[Numbers] = field(default_factory=list)
    _seconds: list[float] = field(default_factory=list)
    _seen: int = 0
    _fitted_at: int = 0
    _costs: Numbers = field(default_factory=lambda: np.zeros(3))
    _evaluating: list[float] = field(default_factory=list)
    _saving: list[float] = field(default_factory=list)
    _best: int = 0
    _judged: int = 0
    _trained: float = 0.0
    _metered: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def stepped(self, step: int, seconds: float) -> None:
        """Step `step`, counted from 1, took so long. The first of a process is not like the others."""
        self._seen += 1
        self._trained += seconds
        if self._seen == 1 and step < self.schedule.total_steps:
            return
        self._done.append(self._of_step(step))
        self._seconds.append(seconds)
        del self._done[:-_MOST_STEPS], self._seconds[:-_MOST_STEPS]

    def evaluated(self, seconds: float, *, best: bool | None) -> None:
        """An evaluation with its samples took so long, less its meters; `best` is None where it does not count."""
        self._evaluating.append(seconds)
        if best is not None:
            self._judged += 1
            self._best += best

    def metered(self, *, spent: float, each: float, at_the_end: float) -> None:
        """The meters have taken `spent` so far; all of them take `each`, and those of the end `at_the_end`."""
        self._metered = (spent, each, at_the_end)

    def saved(self, seconds: float) -> None:
        self._saving.append(seconds)

    def after(self, step: int) -> float | None:
        """Seconds from the end of step `step`, before what is due then, to the end of the run; None if not known."""
        if not self._seconds:
            return None
        if self._seen >= self._fitted_at * _REFIT_GROWTH:
            self._costs = fit(np.array(self._done), np.array(self._seconds))
            self._fitted_at = self._seen
        training = float(self._left_after(step) @ self._costs)
        evaluations, saves = self._events_after(step)
        working = max(0.0, training) + evaluations * _mean(self._evaluating, 0.0)
        working += self._metering(evaluations, training)
        saving = _mean(self._saving, self.save_guess)
        return working + (saves + self._saves_by_time(working, saves, saving)) * saving

    def _saves_by_time(self, working: float, saves: float, saving: float) -> float:
        """How many come between those that are due by steps, which are taken to lie evenly in `working` seconds."""
        if not self.saves_seconds:
            return 0.0
        apart = max(self.saves_seconds, saving / SAVES_SHARE)
        return saves * float(working / max(1.0, saves) // apart)

    def _metering(self, evaluations: float, training: float) -> float:
        """What meters still take: all at each evaluation, within their share, but at least those of the end."""
        spent, each, at_the_end = self._metered
        allowed = self.meter_share * (self._trained + training) - spent
        return max(at_the_end, min(evaluations * each, allowed)) if evaluations else 0.0

    def _of_step(self, step: int) -> Numbers:
        epoch, index = divmod(step - 1, self.schedule.steps_per_epoch)
        return np.asarray(self._epoch_work(epoch)[index])

    def _epoch_work(self, epoch: int) -> Numbers:
        if epoch != self._epoch:
            self._work = work_of_epoch(self.schedule, self.lengths, epoch, self.rows_per_pass)
            self._epoch = epoch
            if self._whole is None:
                self._whole = self._work.sum(axis=0)
        return self._work

    def _left_after(self, step: int) -> Numbers:
        """The work of the steps beyond `step`: exactly in this epoch, by a whole one's sum in those to come."""
        per_epoch, total = self.schedule.steps_per_epoch, self.schedule.total_steps
        if step >= total:
            return np.zeros(3)
        epoch, index = divmod(step, per_epoch)
        last = min(per_epoch, total - epoch * per_epoch)
        left = self._epoch_work(epoch)[index:last].sum(axis=0)
        assert self._whole is not None
        return np.asarray(left + self._whole * max(0, total - (epoch + 1) * per_epoch) / per_epoch)

    def _events_after(self, step: int) -> tuple[float, float]:
        """How many evaluations and saves are to come, those that are due at `step` itself among them.

        An evaluation that is the best so far is as likely as it was.
        """
        per_epoch, total = self.schedule.steps_per_epoch, self.schedule.total_steps
        save_every = self.saves_every or per_epoch
        ends_saved = total % save_every == 0
        saves = _due(save_every, step, total) + (not ends_saved)
        if self.evaluations_every is None:
            return 0, saves
        every = self.evaluations_every or per_epoch
        evaluations = _due(every, step, total) + (total % every > 0)
        if not self.saves_at_best:
            return evaluations, saves
        together = _due(int(np.lcm(every, save_every)), step, total)
        apart = evaluations - together - (not ends_saved or total % every > 0)
        likely = (self._best + 1) / (self._judged + 1)
        return evaluations, saves + likely * max(0, apart)


def fit(work: Numbers, seconds: Numbers) -> Numbers:
    """Costs of the columns of `work`, none negative, by least squares on steps weighted against their size.

    The costs are then scaled so that they account for all seconds that the steps took: what is slow now and then
    is as slow in the steps to come.
    """
    columns: Sequence[Sequence[int]] = [[1]] if len(seconds) < _FEW else _COLUMNS
    weights = 1 / np.maximum(work[:, 1:2], 1.0)
    scaled, wanted = work * weights, seconds * weights[:, 0]
    best, costs = np.inf, np.zeros(work.shape[1])
    for chosen in columns:
        part = scaled[:, list(chosen)]
        answer, *_ = np.linalg.lstsq(part, wanted, rcond=None)
        if (answer < 0).any():
            continue
        left = float(np.square(part @ answer - wanted).sum()) * (1 + 0.02 * len(chosen))
        if left < best:
            best, costs = left, np.zeros(work.shape[1])
            costs[list(chosen)] = answer
    predicted = float((work @ costs).sum())
    return costs * (float(seconds.sum()) / predicted) if predicted > 0 else costs


_COLUMNS = [list(chosen) for count in (1, 2, 3) for chosen in combinations(range(3), count)]


def _due(every: int, step: int, total: int) -> int:
    """How many multiples of `every` lie between `step` and `total`, both included."""
    return total // every - (step - 1) // every


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
