"""Whether it learns at all: the loss runs away, does not fall, or has come to rest."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from finetui_core.train.meters.figures import Alarm, Measured, StepLoss
from finetui_core.train.meters.overfitting import paired

FIRST_LOGS, LOGS_ABOVE = 10, 3
_LOGS = 100
"""A log is the mean over this part of the run's steps, at least one step."""
GRADIENT_TIMES, _LONG, _OF_LAST, _USUAL = 10, 3, 5, 50
_NOT_LEARNING_AFTER, _FELL = 0.2, 0.01
_AT_REST_AFTER, _AT_REST = 0.5, 0.01


def diverging(steps: Sequence[StepLoss], total_steps: int) -> Alarm | None:
    """What is to be said at the newest step. Costs little: it can be asked after each."""
    above = _logs_above(steps, total_steps)
    if above is not None and above[-LOGS_ABOVE:].all() and not above[-LOGS_ABOVE - 1]:
        return _above_first(steps, max(1, total_steps // _LOGS))
    return _gradients(steps)


def diverging_over(steps: Sequence[StepLoss], total_steps: int) -> bool:
    """Whether the newest step is the one at which it no longer diverges."""
    above = _logs_above(steps, total_steps)
    if above is not None and above[-LOGS_ABOVE - 1] and not above[-LOGS_ABOVE:].any():
        runs = "".join("#" if one else "." for one in above)[:-LOGS_ABOVE]
        return "#" * LOGS_ABOVE in runs.rpartition("." * LOGS_ABOVE)[2]
    return _gradients(steps[-2 * _USUAL - _OF_LAST : -_USUAL]) is not None


def _logs_above(steps: Sequence[StepLoss], total_steps: int) -> NDArray[np.bool_] | None:
    """At the end of a log: which logs lie above all of the first ten, by as much as those above their middle."""
    length = max(1, total_steps // _LOGS)
    if len(steps) % length or len(steps) < (FIRST_LOGS + LOGS_ABOVE) * length:
        return None
    means = _means(steps, length)
    return means > _bound(means[:FIRST_LOGS])


def _bound(first: NDArray[np.float64]) -> float:
    finite = first[np.isfinite(first)]
    return float(2 * finite.max() - np.median(finite)) if len(finite) else math.inf


def _means(steps: Sequence[StepLoss], length: int) -> NDArray[np.float64]:
    """Mean losses of so many steps each; infinite where one is not a number."""
    losses = np.array([one.loss if math.isfinite(one.loss) else math.inf for one in steps])
    means: NDArray[np.float64] = losses.reshape(-1, length).mean(axis=1)
    return means


def _above_first(steps: Sequence[StepLoss], length: int) -> Alarm:
    means = _means(steps, length)
    values = ", ".join(f"{value:.3g}" for value in means[-LOGS_ABOVE:])
    highest = means[:FIRST_LOGS].max()
    return Alarm(
        "diverging",
        "act",
        steps[-1].step,
        f"training loss is above all that it began with ({values} after at most {highest:.3g} in the first "
        f"{FIRST_LOGS * length:,} steps)",
        None,
        "Stopping is justified: lower train.learning_rate, or raise train.warmup_steps.",
    )


def _gradients(steps: Sequence[StepLoss]) -> Alarm | None:
    """The third of five gradients that is ten times as long as usual, while the loss is higher than usual."""
    if len(steps) < _USUAL + _OF_LAST:
        return None
    usual, last = steps[-_USUAL - _OF_LAST : -_OF_LAST], steps[-_OF_LAST:]
    if last[-1].grad_norm <= GRADIENT_TIMES * min(one.grad_norm for one in usual):
        return None
    middle = float(np.median([one.grad_norm for one in usual]))
    are_long = [one.grad_norm > GRADIENT_TIMES * middle for one in last]
    if sum(are_long) != _LONG or not are_long[-1]:
        return None
    losses, now = np.array([one.loss for one in usual]), float(np.mean([one.loss for one in last]))
    if not now > losses.mean() + 3 * losses.std() / math.sqrt(_OF_LAST):
        return None
    return Alarm(
        "diverging",
        "watch",
        steps[-1].step,
        f"gradients are {last[-1].grad_norm / middle:,.0f} times their usual, and the loss rises "
        f"(norm {last[-1].grad_norm:.3g} after {middle:.3g}, loss {now:.3g} after {losses.mean():.3g})",
        None,
        "If it goes on, lower train.learning_rate or raise train.warmup_steps.",
    )


def not_learning(history: Sequence[Measured], total_steps: int) -> list[Alarm | None]:
    """At each evaluation after a fifth of the steps: the validation loss is still where it was before training."""
    found: list[Alarm | None] = []
    start = history[0].val if history and history[0].step == 0 else None
    for now in history:
        if now.val is None or start is None or len(now.val.sums) != len(start.sums):
            found.append(found[-1] if found else None)
            continue
        change, error = paired(now.val, start.sums)
        fell = -change / start.mean if start.mean > 0 else 1.0
        late = now.step >= _NOT_LEARNING_AFTER * total_steps and now.step > 0
        still = change == 0 or (abs(fell) < _FELL and abs(change) < 2 * error)
        found.append(
            _not_learning(now, fell, change, error, now.step / total_steps) if late and still else None
        )
    return found


def _not_learning(now: Measured, fell: float, change: float, error: float, done: float) -> Alarm:
    return Alarm(
        "not_learning",
        "act",
        now.step,
        f"validation loss moved by {-100 * fell:+.1f} % in {100 * done:.0f} % of the steps "
        f"({change:+.4f} ± {error:.4f} nats)",
        None,
        "Raise train.learning_rate; look at what is trained on (data.train_on, the chat template) in Data.",
    )


def plateau(history: Sequence[Measured], steps: Sequence[StepLoss], total_steps: int) -> list[Alarm | None]:
    """At each evaluation after half of the steps: neither loss has moved over the last third of those done."""
    number = np.array([one.step for one in steps], dtype=np.float64)
    losses = np.array([one.loss for one in steps], dtype=np.float64)
    found: list[Alarm | None] = []
    for place, now in enumerate(history):
        earlier = [one for one in history[:place] if one.val is not None and one.step >= now.step * 2 / 3]
        if now.val is None or now.step < _AT_REST_AFTER * total_steps or len(earlier) < 3:
            found.append(None)
            continue
        begin, then = earlier[0].step, earlier[0].val
        within = (number > begin) & (number <= now.step) & np.isfinite(losses)
        assert then is not None
        errors = 2.0 if found[-1] is None else 3.0  # what began on a narrow edge must not end on it
        trained = _slope(number[within], losses[within], errors)
        validated = now.val.mean / then.mean - 1 if then.mean > 0 else math.inf
        if trained is None or not abs(validated) < errors / 2 * _AT_REST:
            found.append(None)
        else:
            found.append(_plateau(now, begin, trained, validated))
    return found


def _slope(number: NDArray[np.float64], losses: NDArray[np.float64], errors: float) -> float | None:
    """By which share a straight line through the losses changes from end to end; None where it clearly does."""
    if len(losses) < 12:
        return None
    (slope, middle), covariance = np.polyfit(number - number.mean(), losses, 1, cov=True)
    if middle <= 0 or abs(slope) > errors * math.sqrt(covariance[0, 0]):
        return None
    return float(slope * (number[-1] - number[0]) / middle)


def _plateau(now: Measured, begin: int, trained: float, validated: float) -> Alarm:
    return Alarm(
        "plateau",
        "watch",
        now.step,
        f"no loss has moved since step {begin:,} "
        f"(training {100 * trained:+.1f} %, validation {100 * validated:+.1f} %)",
        None,
        "More epochs will not help: stop here, or change data or train.learning_rate.",
    )
