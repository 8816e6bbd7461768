"""What state a run is in, judged from what was recorded and from what can be seen of its processes."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from finetui_core.runs.process import boot_id, host_name, start_ticks
from finetui_core.runs.process import process_identity as process_identity
from finetui_core.runs.records import Attempt, End, Heartbeat, Queued
from finetui_core.wording import age, duration

State = Literal[
    "queued",
    "starting",
    "running",
    "paused",
    "stalled",
    "finished",
    "stopped",
    "failed",
    "killed",
    "out_of_memory",
    "died",
    "silent",
]
LIVE: frozenset[State] = frozenset({"starting", "running", "paused", "stalled"})

STALLED_AFTER = 120.0  # seconds without a step, and
STALLED_STEPS = 10  # times the usual step
SILENT_AFTER = 60.0  # seconds without a new heartbeat on another host
PRESUMED_DEAD_AFTER = 600.0

_BY_REASON: dict[str, tuple[State, str]] = {
    "completed": ("finished", "all steps done"),
    "early_stopping": ("finished", "stopped early: no better evaluation for a while"),
    "stopped": ("stopped", "stopped on request, after a checkpoint"),
    "aborted": ("stopped", "aborted on request, without a checkpoint"),
    "diverged": ("failed", "the loss diverged"),
    "unsaved": ("failed", "the last checkpoint could not be written"),
    "edge": ("finished", "the learning rate rose until the loss did, as a range test does"),
}
_BY_PHASE: dict[str, State] = {"loading": "starting", "preparing": "starting", "paused": "paused"}


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of a run, why it is believed, and since when (unix seconds of the run's host)."""

    state: State
    reason: str
    since: float | None = None

    @property
    def live(self) -> bool:
        return self.state in LIVE


@dataclass(frozen=True, slots=True)
class Here:
    """The reader's own machine: `lookup` gives the start ticks of a live pid, else None."""

    host: str = field(default_factory=host_name)
    boot_id: str = field(default_factory=boot_id)
    lookup: Callable[[int], int | None] = start_ticks


def judge(
    attempt: Attempt | None,
    heartbeat: Heartbeat | None,
    finished: Mapping[str, Any] | None,
    error: str | None,
    beat_age: float,
    step_seconds: float | None,
    here: Here,
    queued: Queued | None = None,
) -> RunState:
    """Judge the newest attempt of a run; `queued` is its place in the queue, which counts until an attempt begins.

    `finished` is the attempt's "finished" event and `error` the text of its last "error" event.
    `beat_age` counts the seconds, on the reader's monotonic clock, since the heartbeat's `seq` was last
    seen to change: clocks of two hosts are never compared. `step_seconds` is the usual length of a step.
    """
    if queued is not None and queued.attempt > (attempt.attempt if attempt else 0):
        return _in_queue(queued)
    if attempt is None:
        return RunState("starting", "not started yet")
    if attempt.end is not None:
        return _ended(attempt, attempt.end, finished, error)
    if attempt.host != here.host:
        return _elsewhere(attempt, heartbeat, finished, beat_age, step_seconds)
    if attempt.boot_id != here.boot_id:
        return _unrecorded(heartbeat, finished, "the machine was restarted")
    supervised = here.lookup(attempt.supervisor_pid) == attempt.supervisor_start_ticks
    if attempt.pid == 0 and supervised:
        return RunState("starting", "the trainer is being started", attempt.started_at)
    if attempt.pid == 0 or here.lookup(attempt.pid) != attempt.start_ticks:
        if supervised:
            return RunState("running", "ending", attempt.started_at)
        return _unrecorded(heartbeat, finished, "the trainer and its supervisor are gone")
    state = _alive(attempt, heartbeat, beat_age, step_seconds)
    if supervised:
        return state
    return RunState(state.state, f"{state.reason}; supervisor gone", state.since)


def _in_queue(queued: Queued) -> RunState:
    if queued.place is not None:
        return RunState("queued", "waits in the queue", queued.since)
    if queued.fault:
        return RunState("failed", f"the queue could not start it: {queued.fault}", queued.since)
    return RunState("stopped", "taken out of the queue before it began", queued.since)


def _ended(attempt: Attempt, end: End, finished: Mapping[str, Any] | None, error: str | None) -> RunState:
    if finished is not None:
        state, reason = _by_event(finished)
        if end.signal is not None:
            reason += f"; then ended by {signal_name(end.signal)}"
        elif end.exit_code:
            reason += f"; then exit code {end.exit_code}"
        return RunState(state, reason, end.at)
    if end.oom:
        return RunState("out_of_memory", "the kernel killed it: no memory left", end.at)
    if end.signal is not None:
        return RunState("killed", f"killed by {signal_name(end.signal)}", end.at)
    if end.exit_code == 0:
        return RunState("finished", "exit code 0", end.at)
    code = "" if end.exit_code is None else f"exit code {end.exit_code}; "
    reason = error or end.reason or f"{code}see log/{attempt.attempt:04d}.txt"
    return RunState("failed", reason, end.at)


def _by_event(finished: Mapping[str, Any]) -> tuple[State, str]:
    reason = str(finished.get("reason"))
    state, words = _BY_REASON.get(reason, ("finished", reason))
    note = finished.get("note")
    return state, f"{words}; {note}" if isinstance(note, str) and note else words


def _unrecorded(heartbeat: Heartbeat | None, finished: Mapping[str, Any] | None, cause: str) -> RunState:
    """The processes are gone and no end was recorded."""
    since = heartbeat.t if heartbeat else None
    if finished is not None:
        state, reason = _by_event(finished)
        return RunState(state, reason, finished.get("t", since))
    return RunState("died", f"{cause}; nobody recorded how it ended", since)


def _elsewhere(
    attempt: Attempt,
    heartbeat: Heartbeat | None,
    finished: Mapping[str, Any] | None,
    beat_age: float,
    step_seconds: float | None,
) -> RunState:
    """A run of another host, or of another container: only its files can be seen."""
    since = heartbeat.t if heartbeat else attempt.started_at
    if finished is not None:
        return RunState(*_by_event(finished), since)
    if beat_age >= PRESUMED_DEAD_AFTER:
        silence = f"no heartbeat from {attempt.host} for {age(beat_age)}: presumed dead"
        return RunState("silent", silence, since)
    if beat_age >= SILENT_AFTER:
        return RunState("silent", f"no heartbeat from {attempt.host} for {duration(beat_age)}", since)
    state = _alive(attempt, heartbeat, beat_age, step_seconds)
    return RunState(state.state, f"{state.reason}, on {attempt.host}", state.since)


def _alive(
    attempt: Attempt, heartbeat: Heartbeat | None, beat_age: float, step_seconds: float | None
) -> RunState:
    if heartbeat is None or heartbeat.t < attempt.started_at:  # both times are of the run's own host
        return RunState("starting", "no heartbeat yet", attempt.started_at)
    step_age = heartbeat.step_age_s + beat_age
    if heartbeat.phase == "training" and step_age > max(STALLED_AFTER, STALLED_STEPS * (step_seconds or 0)):
        return RunState("stalled", f"no step for {duration(step_age)}", heartbeat.t - heartbeat.step_age_s)
    return RunState(_BY_PHASE.get(heartbeat.phase, "running"), heartbeat.phase, attempt.started_at)


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
