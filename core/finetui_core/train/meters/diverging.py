"""Divergence, told from the steps alone: the loss climbs above its beginning, or gradients explode as it rises."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from finetui_core.train.meters.figures import Alarm, StepLoss

BEGINNING, FIRST, RUNNING = 2, 10, 3
"""Logs: those of the untrained model, more or less; the first ones; and how many must lie above them."""
TIMES, WIDTHS = 2.0, 2.0
_LOGS = 100
"""A log is the mean over this part of the run's steps, at least one step."""
GRADIENT_TIMES, _LONG, _OF_LAST, _USUAL = 10, 3, 5, 50


def diverging(steps: Sequence[StepLoss], total_steps: int) -> Alarm | None:
    """What is to be said at the newest step. Costs little: it can be asked after each."""
    above = _logs_above(steps, total_steps)
    if above is not None and above[-RUNNING:].all() and not above[-RUNNING - 1]:
        return _above_first(steps, max(1, total_steps // _LOGS))
    return _gradients(steps)


def diverging_over(steps: Sequence[StepLoss], total_steps: int) -> bool:
    """Whether the newest step is the one at which it no longer diverges."""
    above = _logs_above(steps, total_steps)
    if above is not None and above[-RUNNING - 1] and not above[-RUNNING:].any():
        runs = "".join("#" if one else "." for one in above)[:-RUNNING]
        return "#" * RUNNING in runs.rpartition("." * RUNNING)[2]
    return _gradients(steps[-2 * _USUAL - _OF_LAST : -_USUAL]) is not None


def _logs_above(steps: Sequence[StepLoss], total_steps: int) -> NDArray[np.bool_] | None:
    """At the end of a log: which logs lie above all that the loss began with; None where that cannot be told yet."""
    length = max(1, total_steps // _LOGS)
    if len(steps) % length or len(steps) < (BEGINNING + RUNNING) * length:
        return None
    means = _means(steps, length)
    return means > _bound(means)


def _bound(means: NDArray[np.float64]) -> float:
    """Above the first ten logs by twice as much as the highest of them lies above their middle.

    While there are not so many, and where those first ones have exploded already: twice the first two.
    """
    begun, first = TIMES * float(means[:BEGINNING].max()), means[:FIRST]
    highest = float(first.max())
    if len(means) < FIRST + RUNNING or highest > begun:
        return begun
    return highest + WIDTHS * (highest - float(np.median(first)))


def _means(steps: Sequence[StepLoss], length: int) -> NDArray[np.float64]:
    """Mean losses of so many steps each; infinite where one is not a number."""
    losses = np.array([one.loss if math.isfinite(one.loss) else math.inf for one in steps])
    means: NDArray[np.float64] = losses.reshape(-1, length).mean(axis=1)
    return means


def _above_first(steps: Sequence[StepLoss], length: int) -> Alarm:
    means = _means(steps, length)
    values = ", ".join(f"{value:.3g}" for value in means[-RUNNING:])
    return Alarm(
        "diverging",
        "act",
        steps[-1].step,
        f"training loss is above all that it began with ({values}; it began with {means[0]:.3g})",
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
