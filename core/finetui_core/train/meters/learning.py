"""Whether it learns: the validation loss does not fall, or both losses have come to rest."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from finetui_core.train.meters.figures import Alarm, Measured, StepLoss
from finetui_core.train.meters.overfitting import paired

_NOT_LEARNING_AFTER, _FOR_CERTAIN_AFTER, _FELL = 0.2, 0.5, 0.01
_AT_REST_AFTER, _UNTIL, _AT_REST = 0.5, 0.8, 0.01
"""Parts of the steps between which rest is told: at their end a schedule's rate is so low that all is at rest."""


def not_learning(history: Sequence[Measured], total_steps: int) -> list[Alarm | None]:
    """At each evaluation after a fifth of the steps: the validation loss is still where it was before training.

    It has moved by less than 1 %, and by less than two errors; after half of the steps the 1 % is enough.
    """
    found: list[Alarm | None] = []
    start = history[0].val if history and history[0].step == 0 else None
    for now in history:
        if now.val is None or start is None or len(now.val.sums) != len(start.sums):
            found.append(found[-1] if found else None)
            continue
        change, error = paired(now.val, start.sums)
        fell = -change / start.mean if start.mean > 0 else 1.0
        late = now.step >= _NOT_LEARNING_AFTER * total_steps and now.step > 0
        by_chance = abs(change) < 2 * error or now.step >= _FOR_CERTAIN_AFTER * total_steps
        still = change == 0 or (abs(fell) < _FELL and by_chance)
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
    """At each evaluation after half of the steps: neither loss has moved over the last third of those done, although
    the validation loss fell before."""
    start = history[0].val if history else None
    number = np.array([one.step for one in steps], dtype=np.float64)
    losses = np.array([one.loss for one in steps], dtype=np.float64)
    found: list[Alarm | None] = []
    for place, now in enumerate(history):
        earlier = [one for one in history[:place] if one.val is not None and one.step >= now.step * 2 / 3]
        is_late = now.step > _UNTIL * total_steps
        if now.val is None or start is None or now.step < _AT_REST_AFTER * total_steps or is_late:
            found.append(found[-1] if is_late and found else None)
            continue
        if len(earlier) < 3 or now.val.mean > (1 - _FELL) * start.mean:
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
