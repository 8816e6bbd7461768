"""Noticing that the training hangs: the stacks of all threads go into the log, and in the end the process ends.

Three lines, each for what the one before cannot see. The thread here counts the seconds without progress while it
itself runs, so that a machine that slept or a process that was stopped does not count. Where some library keeps
Python's lock for itself the thread cannot run: then a timer of faulthandler, which needs no lock, writes the stacks.
Such a process its supervisor ends (`runs.frozen`), since its heartbeat stands still.
"""

import faulthandler
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from finetui_core.runs import exit_codes
from finetui_core.train.output import Output
from finetui_core.wording import duration

LEAST_SECONDS, TIMES_STEP = 60.0, 10
"""A step may take ten times the 99th percentile of the last thousand, and never less than a minute. Ten is far
above the spread of steps (a full batch of the longest rows is rarely three times the median one)."""
FIRST_STEP_SECONDS = 600.0
"""Before any step is known: kernels are compiled and chosen in the first one."""
PHASE_SECONDS = {"loading": 1800.0, "preparing": 1800.0, "evaluating": 1800.0, "saving": 600.0}
"""The least that a phase may take; after that ten times the longest one of this attempt."""
ENDED = frozenset({"training", "evaluating", "saving"})
"""Phases that are ended when they hang. Loading may be a download, which takes as long as it takes."""
END_AFTER, LEAST_END_SECONDS = 5, 600.0
"""Between the report and the end: five times the allowance, and never less than ten minutes."""
END_UNKNOWN_SECONDS = 12 * 3600.0
"""The end where this attempt has not yet seen how long a step, an evaluation or a save takes: some take hours."""
LOCKED_SECONDS = 120.0
"""After which faulthandler's timer writes the stacks because no thread of Python ran."""
_EVERY = 1.0  # seconds between two looks
_RECENT_STEPS = 1000
_SHOWN_FRAMES = 6
_LAST_WORDS_SECONDS = 5.0  # for the last event, which a dead disk may hold up
_STDERR = 2

Finding = Literal["", "hangs", "moves again", "hopeless"]


class Watch:
    """Judges by ticks whether there is progress.

    `moved` and `stepped` are called by the trainer's thread, `tick` by one other, with a clock that only goes
    forward. Between two ticks at most twice `every` seconds count: a tick that comes late was not waited for.
    """

    def __init__(self, every: float = _EVERY) -> None:
        self.step, self.phase = 0, "loading"
        self.idle = 0.0
        self._most = 2 * every
        self._steps: deque[float] = deque(maxlen=_RECENT_STEPS)
        self._longest: dict[str, float] = {}
        self._known: set[str] = set()
        self._moves = self._seen_moves = 0
        self._seen_phase = self.phase
        self._ticked: float | None = None
        self._reported = False
        self._forgiven = 0.0

    def moved(self, step: int | None = None, phase: str | None = None) -> None:
        """There was progress."""
        self.step = self.step if step is None else step
        self.phase = phase or self.phase
        self._moves += 1

    def stepped(self, seconds: float) -> None:
        """An optimizer step took that long."""
        self._steps.append(seconds)
        self.moved()

    def allowance(self) -> float:
        """Seconds without progress after which the present phase counts as hanging; infinite while paused."""
        if self.phase == "paused":
            return float("inf")
        if self.phase != "training":
            least = PHASE_SECONDS.get(self.phase, max(PHASE_SECONDS.values()))
            return max(least, TIMES_STEP * self._longest.get(self.phase, 0.0))
        if not self._steps:
            return FIRST_STEP_SECONDS
        steps = sorted(self._steps.copy())
        return max(LEAST_SECONDS, TIMES_STEP * steps[(99 * len(steps) - 1) // 100], self._forgiven)

    def tick(self, now: float) -> Finding:
        """What to do now: each finding is given once for a hang."""
        elapsed = 0.0 if self._ticked is None else min(now - self._ticked, self._most)
        self._ticked = now
        if self._moves != self._seen_moves:
            if self.phase != self._seen_phase:
                self._known.add(self._seen_phase)
            self._longest[self._seen_phase] = max(self._longest.get(self._seen_phase, 0.0), self.idle)
            over, self._reported = self._reported, False
            if over:  # it was only slow: the next time twice as much is waited for
                self._forgiven = max(self._forgiven, 2 * self.idle)
            self._seen_moves, self._seen_phase, self.idle = self._moves, self.phase, 0.0
            return "moves again" if over else ""
        self.idle += elapsed
        allowance = self.allowance()
        if not self._reported and self.idle > allowance:
            self._reported = True
            return "hangs"
        limit = allowance + max(LEAST_END_SECONDS, END_AFTER * allowance)
        if not (self._steps if self.phase == "training" else self.phase in self._known):
            limit = max(limit, END_UNKNOWN_SECONDS)
        return "hopeless" if self.phase in ENDED and self.idle > limit else ""


@dataclass(frozen=True, slots=True)
class Watched:
    """An output whose records are the signs of progress."""

    inner: Output
    watch: Watch

    def metric(self, record: dict[str, Any]) -> None:
        seconds = record.get("step_seconds")
        if isinstance(seconds, int | float):
            self.watch.stepped(seconds)
        self.inner.metric(record)

    def event(self, type: str, **fields: Any) -> None:
        self.watch.moved()
        self.inner.event(type, **fields)

    def beat(self, *, step: int, phase: str, total_steps: int) -> None:
        self.watch.moved(step, phase)
        self.inner.beat(step=step, phase=phase, total_steps=total_steps)

    def sync(self) -> None:
        self.inner.sync()


@contextmanager
def watched(
    output: Output,
    clock: Callable[[], float] = time.monotonic,
    end: Callable[[int], Any] = os._exit,
    every: float = _EVERY,
) -> Iterator[Watched]:
    """Watch over the thread that enters, for as long as the context lasts; `end` ends the process."""
    watch = Watch(every)
    closing = threading.Event()
    main = threading.get_ident()

    def look() -> None:
        while not closing.wait(every):
            faulthandler.dump_traceback_later(LOCKED_SECONDS, repeat=True, file=_STDERR)
            finding = watch.tick(clock())
            if finding == "moves again":
                output.event("alarm_over", kind="hang", step=watch.step)
            elif finding:
                _write_stacks(watch)
                _in_time(output, _hang_events(watch, short_stack(main), last=finding == "hopeless"))
            if finding == "hopeless":
                end(exit_codes.HUNG)

    watching = threading.Thread(target=look, name="watchdog", daemon=True)
    watching.start()
    try:
        yield Watched(output, watch)
    finally:
        closing.set()
        watching.join()
        faulthandler.cancel_dump_traceback_later()


def short_stack(thread: int, frames: int = _SHOWN_FRAMES) -> list[str]:
    """Where a thread is, "loop.py:88 fit" for each of its innermost frames, the outermost of them first."""
    frame = sys._current_frames().get(thread)
    found = traceback.extract_stack(frame)[-frames:] if frame is not None else []
    return [f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in found]


def _write_stacks(watch: Watch) -> None:
    """Into the log of the attempt, which is what the trainer's errors are written to."""
    with suppress(OSError):
        os.write(_STDERR, f"\n{_what(watch)}; the stacks of all threads:\n".encode())
        faulthandler.dump_traceback(file=_STDERR, all_threads=True)


def _what(watch: Watch) -> str:
    doing = "" if watch.phase == "training" else f" while {watch.phase}"
    return f"no progress{doing} for {duration(watch.idle)} after step {watch.step}"


def _hang_events(watch: Watch, stack: list[str], *, last: bool) -> list[tuple[str, dict[str, Any]]]:
    """What is told of a hang: where it is, and, at last, that the process was ended for it."""
    where = stack[-1] if stack else "an unknown place"
    what = f"{_what(watch)}, in {where}"
    if last:
        hint = "The stacks of all threads are in the log; continue from the last checkpoint."
        return [("error", {"kind": "hung", "problems": [{"what": what, "where": "", "hint": hint}]})]
    facts = {"step": watch.step, "phase": watch.phase, "seconds": round(watch.idle, 1), "stack": stack}
    remedy = (
        "The stacks of all threads are in the log. Look whether a disk or a GPU hangs; without progress the "
        "process is ended later, to continue from the last checkpoint."
    )
    alarm = {"kind": "hang", "severity": "act", "step": watch.step, "message": what, "remedy": remedy}
    return [("hang", facts), ("alarm", {**alarm, "go_back_to": None})]


def _in_time(output: Output, events: list[tuple[str, dict[str, Any]]]) -> None:
    """Tell it without waiting for ever: what hangs may be the disk that the events are written to."""

    def tell() -> None:
        for type, fields in events:
            output.event(type, **fields)

    telling = threading.Thread(target=tell, name="hang", daemon=True)
    telling.start()
    telling.join(_LAST_WORDS_SECONDS)
