"""Whether a run that died is started again by itself, and after which pause."""

from collections.abc import Sequence
from dataclasses import dataclass

from finetui_core.runs.causes import RESTARTED
from finetui_core.wording import count

DEFAULT_RESTARTS = 3
"""launch.max_restarts of a run whose recipe is older than the option."""
_GROWTH, _LONGEST = 3.0, 600.0


@dataclass(frozen=True, slots=True)
class Rules:
    """How the supervisor acts. Seconds: `first_pause` before the first restart, each later pause being three times
    as long and at most 600; `stop_within` beyond a usual step for the answer to a stop, `long_phase` for it while
    the trainer loads, evaluates or saves, `abort_within` for that to an abort.
    """

    max_restarts: int = 0
    first_pause: float = 10.0
    stop_within: float = 60.0
    long_phase: float = 600.0
    abort_within: float = 5.0


@dataclass(frozen=True, slots=True)
class Death:
    """One end of the trainer. `step` is the last one done, `checkpoint` the step of the newest one then.

    `ready` tells whether it had come to train; `paused` whether a person had paused it.
    """

    cause: str
    step: int
    checkpoint: int
    ready: bool = True
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The restart's number, counted from the last progress, and its pause in seconds; or why there is none."""

    number: int = 0
    pause: float = 0.0
    why_not: str = ""


def judge_deaths(deaths: Sequence[Death], rules: Rules) -> Verdict:
    """What follows the last of `deaths`, those of one supervisor in their order.

    A later checkpoint starts the count anew. Someone's SIGKILL does not depend on the step, so that two of them at
    the same one are no sign.
    """
    last = deaths[-1]
    if last.cause not in RESTARTED or not rules.max_restarts:
        return Verdict()
    if last.paused:
        return Verdict(why_not="it was paused, so it is not started again by itself")
    if last.cause == "crashed" and not last.ready and len(deaths) == 1:
        return Verdict()  # it never trained: another start would meet the same
    since = _since_progress(deaths)
    if (
        last.cause != "killed"
        and len(since) > 1
        and (since[-2].cause, since[-2].step) == (last.cause, last.step)
    ):
        return Verdict(why_not=f"it died twice at step {count(last.step)} in the same way")
    if len(since) > rules.max_restarts:
        times = f"{count(rules.max_restarts)} time{'' if rules.max_restarts == 1 else 's'}"
        return Verdict(why_not=f"it was started again {times} without getting any further")
    return Verdict(len(since), min(rules.first_pause * _GROWTH ** (len(since) - 1), _LONGEST))


def _since_progress(deaths: Sequence[Death]) -> list[Death]:
    """The last deaths between which no checkpoint was written."""
    newest = deaths[-1].checkpoint
    since: list[Death] = []
    for death in reversed(deaths):
        if death.checkpoint != newest and since:
            break
        since.insert(0, death)
    return since
