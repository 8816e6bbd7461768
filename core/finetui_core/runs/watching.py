"""Waiting for the trainer's end, and ending it by force where a stop or an abort is not answered."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median

from finetui_core.runs.mailbox import asked_to_end
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.pidfd import Held, has_ended, send
from finetui_core.runs.records import Attempt, Heartbeat, read_small
from finetui_core.runs.restarts import Rules
from finetui_core.runs.tail import Tail
from finetui_core.wording import duration

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGXCPU)
"""Signals that mean: save and end. Batch systems send them to all processes of a job, the supervisor included."""
_LOOK_EVERY = 0.25  # seconds
_LONG_PHASES = frozenset({"loading", "preparing", "evaluating", "saving"})
_LAST_METRICS = 16_384  # bytes


@dataclass(slots=True)
class Told:
    """The signals by which this process was told to end the run; they are passed on to the trainer, if it lives."""

    signals: list[int] = field(default_factory=list)
    trainer: Held | None = None

    def receive(self, number: int) -> None:
        self.signals.append(number)
        if self.trainer is not None:
            send(self.trainer, number)

    def pass_on(self, trainer: Held) -> None:
        """From now on this is the trainer; it is told what came before it lived."""
        self.trainer = trainer
        for number in self.signals:
            send(trainer, number)

    @property
    def first(self) -> int | None:
        return self.signals[0] if self.signals else None


def wait_for_end(
    paths: RunPaths,
    attempt: Attempt,
    trainer: Held,
    told: Told,
    rules: Rules,
    clock: Callable[[], float] = time.monotonic,
    heard: Callable[[int], None] = lambda number: None,
) -> str:
    """Return once the trainer has ended; it is not reaped, so that its pid and its group remain its own.

    `heard` is called once with the first signal that tells the run to end. Returns "", or why the whole process
    group was ended by force.
    """
    wanted, since, forced, said, answered = "", 0.0, "", False, False
    while not has_ended(trainer, _LOOK_EVERY):
        if told.first is not None and not said:
            said = True
            heard(told.first)
        command = asked_to_end(paths)
        asked = command.command if command is not None else "stop" if told.signals else ""
        if asked and asked != wanted and wanted != "abort":
            wanted, since, answered = asked, clock(), False
        elif wanted and not asked and not answered:  # it was done, and only the process has to end
            since, answered = clock(), True
        if not wanted:
            continue
        waited = clock() - since
        allowed = rules.stop_within if answered else patience(paths, attempt, wanted, rules)
        if forced or waited > allowed:
            what = "end of the process after" if answered else "answer to"
            forced = forced or f"no {what} the {wanted} for {duration(waited)}, so it was ended by force"
            end_group(trainer)
    return forced


def end_group(trainer: Held) -> None:
    """SIGKILL for the process group of a child that has not been reaped, which keeps the group's number its own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(trainer.pid, signal.SIGKILL)


def patience(paths: RunPaths, attempt: Attempt, wanted: str, rules: Rules) -> float:
    """Seconds that the answer may take: a stop waits for the end of a step, an evaluation or a save."""
    if wanted == "abort":
        return rules.abort_within
    beat = read_small(paths.heartbeat, Heartbeat)
    if beat is None or beat.t < attempt.started_at or beat.phase in _LONG_PHASES:
        return rules.long_phase
    return rules.stop_within + usual_step(paths, attempt.attempt)


def usual_step(paths: RunPaths, number: int) -> float:
    """The median length of the attempt's last steps in seconds; 0 before the first."""
    lengths = [one.get("step_seconds") for one in Tail(paths.metrics(number), last=_LAST_METRICS).read()]
    known = [length for length in lengths if isinstance(length, int | float)]
    return float(median(known)) if known else 0.0
