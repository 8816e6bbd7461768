"""Overfitting: the validation loss has risen above its best by more than chance explains.

The losses of the same rows are compared row by row with those around the best evaluation. Two kinds of chance count:
which rows there are (the spread of the paired differences), and the wobble of the weights, which moves all rows
together (the third differences of the evaluations' means). It takes two evaluations running, or three whose mean
lies so high that a wobbly run shows it too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetui_core.train.meters.figures import Alarm, Measured, RowLosses, Severity

FEWEST_ROWS = 40
LEAST, MUCH = 0.01, 0.05
"""Shares of the best loss: from the first on it is told, from the second on something should be done."""
ERRORS, ERRORS_OF_THREE = 3.0, 2.5
PATIENCE = 3
_USUAL_WOBBLE, _LEAST_WOBBLE, _WEIGHT = 0.012, 0.002, 3
"""Shares of the loss: the wobble that is taken for granted, as much as three measured bends weigh; and the least."""
_NEAR = 1.1
"""Of the least loss: what lies higher is the fall of the beginning, which tells nothing of the wobble."""


@dataclass(frozen=True, slots=True)
class Excess:
    """How far the newest evaluations lie above the best before them: nats per token, and the standard error."""

    nats: float
    error: float
    best_loss: float
    best: Measured

    @property
    def share(self) -> float:
        return self.nats / self.best_loss if self.best_loss > 0 else 0.0

    @property
    def is_hit(self) -> bool:
        return self.share >= LEAST and self.nats >= ERRORS * self.error

    @property
    def is_clear_of_three(self) -> bool:
        return self.share >= MUCH and self.nats >= ERRORS_OF_THREE * self.error


def findings(history: Sequence[Measured]) -> list[Alarm | None]:
    """What is to be said at each evaluation, judged by it and those before it."""
    found: list[Alarm | None] = []
    seen: list[tuple[Excess | None, Excess | None]] = []
    measured: list[tuple[Measured, RowLosses]] = []
    means: list[float] = []
    for now in history:
        standing = found[-1] if found else None
        if now.val is None:
            found.append(standing)
            continue
        measured.append((now, now.val))
        means.append(now.val.mean)
        seen.append((excess(measured, means), excess(measured, means, last=3)))
        first_train_loss = next((one.train_loss for one in history if one.train_loss is not None), None)
        found.append(_finding(now, now.val, seen, standing, first_train_loss))
    return found


def excess(
    measured: Sequence[tuple[Measured, RowLosses]], means: Sequence[float], last: int = 1
) -> Excess | None:
    """How far the mean of the `last` newest lies above the best before them; None where none has the same rows.

    The best evaluation stands with the neighbours that lie no further off than wobble explains, so that a single
    lucky one is not the measure.
    """
    newest, before = [losses for _, losses in measured[-last:]], measured[:-last]
    tokens = newest[-1].tokens
    same_rows = all(len(losses.sums) == len(tokens) for _, losses in measured)
    if not before or not same_rows or not all(map(math.isfinite, means)):
        return None
    place = min(range(len(before)), key=means.__getitem__)
    wobble = _wobble(means)
    near = [
        other
        for other in range(max(0, place - 1), min(place + 2, len(before)))
        if means[other] - means[place] <= 5 * wobble
    ]
    reference = np.mean([before[other][1].sums for other in near], axis=0)
    now = RowLosses(np.mean([losses.sums for losses in newest], axis=0), tokens)
    nats, error = paired(now, reference)
    error = math.hypot(error, wobble * math.sqrt(1 / last + 1 / len(near)))
    return Excess(nats, error, float(reference.sum() / tokens.sum()), before[place][0])


def paired(now: RowLosses, reference: NDArray[np.float64]) -> tuple[float, float]:
    """Mean difference in nats per token from `reference`, sums over the same rows, and its standard error."""
    differences, tokens, rows = now.sums - reference, float(now.tokens.sum()), len(reference)
    mean = float(differences.sum()) / tokens
    if rows < 2:
        return mean, math.inf
    rest = differences - mean * now.tokens
    return mean, math.sqrt(rows / (rows - 1) * float((rest * rest).sum())) / tokens


def _wobble(means: Sequence[float]) -> float:
    """Standard deviation of the means around their course, since they first came near their least.

    From third differences, in which a smooth fall or rise nearly vanishes and which spread sqrt(20) times as wide:
    the mean of the smaller four fifths of their sizes, so that a jump does not count, over the 0.56 that this is of a
    normal deviate's.
    """
    near = _NEAR * min(means)
    begin = next(place for place, mean in enumerate(means) if mean <= near)
    bends = np.sort(np.abs(np.diff(means[begin:], 3)))
    number = len(bends)
    seen = float(bends[: math.ceil(0.8 * number)].mean()) / 0.56 / math.sqrt(20) if number else 0.0
    usual = _USUAL_WOBBLE * means[-1]
    blended = math.sqrt((_WEIGHT * usual**2 + number * seen**2) / (_WEIGHT + number))
    return max(blended, _LEAST_WOBBLE * means[-1])


def _finding(
    now: Measured,
    losses: RowLosses,
    seen: Sequence[tuple[Excess | None, Excess | None]],
    standing: Alarm | None,
    first_train_loss: float | None,
) -> Alarm | None:
    latest, of_three = seen[-1]
    if latest is None:
        return None
    singles = [one for one, _ in seen]
    if len(losses.sums) < FEWEST_ROWS:
        return _few_rows(now, losses, singles[-PATIENCE:])
    if latest.is_hit and singles[-2] is not None and singles[-2].is_hit:
        return _alarm(now, losses, latest, "two evaluations running", first_train_loss)
    above = all(one is not None and one.share >= LEAST for one in singles[-3:])
    if above and of_three is not None and of_three.is_clear_of_three:
        return _alarm(now, losses, of_three, "mean of three evaluations", first_train_loss)
    if standing is not None and latest.share >= LEAST:
        return _alarm(now, losses, latest, "it goes on", first_train_loss)
    return None


def _few_rows(now: Measured, losses: RowLosses, last: Sequence[Excess | None]) -> Alarm | None:
    """Patience, as early stopping has it, is all that so few rows allow."""
    above = [one for one in last if one is not None and one.share >= LEAST]
    if len(above) < PATIENCE:
        return None
    rows, best = len(losses.sums), above[-1].best.step
    return Alarm(
        "overfitting",
        "watch",
        now.step,
        f"validation loss {100 * above[-1].share:.1f} % above its best at step {best:,} "
        f"({PATIENCE} evaluations running, on {rows} rows: too few rows to judge; {FEWEST_ROWS} would do)",
        best,
        f"Hold out at least {FEWEST_ROWS} rows for validation; until then trust save.keep_best.",
    )


def _alarm(
    now: Measured, losses: RowLosses, latest: Excess, how: str, first_train_loss: float | None
) -> Alarm:
    severity: Severity = "act" if latest.share >= MUCH else "watch"
    best = latest.best
    assert best.val is not None
    message = (
        f"validation loss {100 * (losses.mean / best.val.mean - 1):.1f} % above its best at step {best.step:,} "
        f"({how}, against those around the best: {latest.nats:+.3f} ± {latest.error:.3f} nats, "
        f"{len(losses.sums)} rows)"
    )
    trained = now.train_loss
    if trained is not None and first_train_loss is not None and trained > first_train_loss:
        remedy = "Training loss rose too, so it is no overfitting: lower train.learning_rate."
        return Alarm("diverging", severity, now.step, message, best.step, remedy)
    if best.step == 0:
        remedy = "It never was below the untrained model: lower train.learning_rate."
    elif trained is not None and best.train_loss is not None and trained > best.train_loss:
        remedy = (
            f"Training loss rose too: lower train.learning_rate. Step {best.step:,} is kept (save.keep_best)."
        )
    else:
        remedy = (
            f"Take the checkpoint of step {best.step:,} (save.keep_best); next time fewer epochs, a lower "
            "train.learning_rate, or more rows."
        )
    return Alarm("overfitting", severity, now.step, message, best.step, remedy)
