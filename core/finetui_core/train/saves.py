"""When a checkpoint is due beside the recipe's steps: after so many minutes, and again after one that failed.

Only process 0 writes, so only its clock counts, and the others need not be told.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from finetui_core.preflight.duration import SAVES_SHARE
from finetui_core.train.output import Output
from finetui_core.wording import duration

_FIRST_PAUSE, _LONGEST_PAUSE = 10.0, 300.0
"""Seconds between two tries on a disk that refuses; the first try again is at the very next step."""
_LAST_PAUSE, LAST_WITHIN = 60.0, 600.0
"""The same at the end of the run, and how long it is tried there."""
_LOOK_EVERY = 0.2

Clock = Callable[[], float]


@dataclass(slots=True)
class Saves:
    """What became of the saves so far. `step` is that of the newest checkpoint, `minutes` 0 for none by time.

    `failures` counts the saves since the last one that was written. Times are seconds of `clock`.
    """

    minutes: float
    step: int | None
    clock: Clock = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    failures: int = 0
    _tried_at: float = field(init=False)
    _pause: float = 0.0
    _cost: float = 0.0
    _is_dear: bool = False

    def __post_init__(self) -> None:
        self._tried_at = self.clock()

    @property
    def every(self) -> float | None:
        """Seconds between two checkpoints by time; None where there are none."""
        return max(60 * self.minutes, self._cost / SAVES_SHARE) if self.minutes else None

    def is_due(self) -> bool:
        """Whether so much time has passed, or a save that failed is to be tried again."""
        wait = self._pause if self.failures else self.every
        return wait is not None and self.clock() - self._tried_at >= wait

    def ended(self, step: int, seconds: float, *, written: bool, output: Output) -> None:
        """A save of `step` has ended after `seconds`."""
        self._tried_at = self.clock()
        if not written:
            self._pause = min(_LONGEST_PAUSE, 3 * self._pause or _FIRST_PAUSE) if self.failures else 0.0
            self.failures += 1
            return
        if self.failures:
            output.event("alarm_over", kind="checkpoint", step=step)
        self.step, self.failures, self._pause, self._cost = step, 0, 0.0, seconds
        self._say_if_dear(step, output)

    def _say_if_dear(self, step: int, output: Output) -> None:
        """Said when the time between two saves has had to grow, and when it need not any more."""
        wanted, every = 60 * self.minutes, self.every
        is_dear = every is not None and every > wanted
        if is_dear and not self._is_dear:
            output.event(
                "alarm",
                kind="saving",
                severity="watch",
                step=step,
                message=f"a checkpoint takes {self._cost:.1f} s, more than 1 % of save.minutes: until it is faster, "
                f"one is written every {duration(every)}, which is what a crash may then cost",
                go_back_to=None,
                remedy="Put the runs on a faster disk, or raise save.minutes.",
            )
        elif self._is_dear and not is_dear:
            output.event("alarm_over", kind="saving", step=step)
        self._is_dear = is_dear


def save_at_end(save: Callable[[], bool], saves: Saves, asked_to_end: Callable[[], bool]) -> bool:
    """Save what there will be no later chance for: on a disk that refuses it, again and again for ten minutes.

    Gives up at once when `asked_to_end`. Returns whether it was written.
    """
    deadline, pause = saves.clock() + LAST_WITHIN, _FIRST_PAUSE
    while not save():
        again = saves.clock() + pause
        if again > deadline:
            return False
        while saves.clock() < again:
            if asked_to_end():
                return False
            saves.sleep(_LOOK_EVERY)
        pause = min(_LAST_PAUSE, 2 * pause)
    return True
