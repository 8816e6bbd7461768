"""Which alarms begin and which end, from all that was measured so far. Nothing is remembered between calls."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from finetui_core.train.meters import diverging, forgetting, learning, memorisation, overfitting
from finetui_core.train.meters.figures import Alarm, Kind, Measured, StepLoss

_RANKS = {"watch": 1, "act": 2}


@dataclass(frozen=True, slots=True)
class Over:
    """The ground of an alarm is gone."""

    kind: Kind
    step: int
    message: str


def judge(history: Sequence[Measured], steps: Sequence[StepLoss], total_steps: int) -> list[Alarm]:
    """The alarms that begin, or become more severe, at the newest of `history` and `steps`.

    `history` holds an evaluation for each step at which one was made, the one before training first. Called after a
    step, when the newest evaluation lies before it, it looks at the step alone and takes microseconds; called after
    an evaluation, with that one in `history`, it looks at the evaluations.
    """
    if _is_step_newest(history, steps):
        alarm = diverging.diverging(steps, total_steps)
        return [] if alarm is None else [alarm]
    return [
        found[-1]
        for found in _rules(history, steps, total_steps)
        if found[-1] is not None and _is_news(found[-1], _standing(found[:-1]))
    ]


def ended(history: Sequence[Measured], steps: Sequence[StepLoss], total_steps: int) -> list[Over]:
    """The alarms whose ground has gone with the newest of `history` and `steps`; called like `judge`."""
    if _is_step_newest(history, steps):
        is_over = diverging.diverging_over(steps, total_steps)
        return [Over("diverging", steps[-1].step, "the training loss is back to normal")] if is_over else []
    over = []
    for found in _rules(history, steps, total_steps):
        before, now = _standing(found[:-1]), found[-1]
        if before is not None and (now is None or now.kind != before.kind):
            over.append(Over(before.kind, history[-1].step, f"{before.kind.replace('_', ' ')} is over"))
    return over


def _is_step_newest(history: Sequence[Measured], steps: Sequence[StepLoss]) -> bool:
    return not history or bool(steps and history[-1].step < steps[-1].step)


def _rules(
    history: Sequence[Measured], steps: Sequence[StepLoss], total_steps: int
) -> Iterator[list[Alarm | None]]:
    """What each rule says at each evaluation."""
    yield overfitting.findings(history)
    yield forgetting.findings(history)
    yield memorisation.findings(history)
    yield learning.not_learning(history, total_steps)
    yield learning.plateau(history, steps, total_steps)


def _standing(found: Sequence[Alarm | None]) -> Alarm | None:
    """The alarm that stands after all of them, as it was last raised."""
    standing: Alarm | None = None
    for one in found:
        if one is None or _is_news(one, standing):
            standing = one
    return standing


def _is_news(now: Alarm, standing: Alarm | None) -> bool:
    return standing is None or now.kind != standing.kind or _RANKS[now.severity] > _RANKS[standing.severity]
