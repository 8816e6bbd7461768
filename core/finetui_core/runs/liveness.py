"""What state a run is in, judged from what was recorded and from what can be seen of its processes."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from finetui_core.runs.causes import BY_FINISH, Cause, way_out
from finetui_core.runs.causes import signal_name as signal_name
from finetui_core.runs.process import boot_id, host_name, start_ticks
from finetui_core.runs.process import process_identity as process_identity
from finetui_core.runs.records import Again, Attempt, End, Heartbeat, Queued
from finetui_core.wording import age, count, duration, ordinal

State = Literal[
    "queued",
    "starting",
    "running",
    "paused",
    "stalled",
    "restarting",
    "finished",
    "stopped",
    "failed",
    "killed",
    "out_of_memory",
    "died",
    "silent",
]
LIVE: frozenset[State] = frozenset({"starting", "running", "paused", "stalled", "restarting"})

STALLED_AFTER = 120.0  # seconds without a step, and
STALLED_STEPS = 10  # times the usual step
IN_QUEUE = "waits in the queue"
"""The reason of a run that waits for a device of this machine, and not in a batch system."""
WAITING = "waiting for other hosts"
"""The phase of a run on several hosts before all have come."""
SILENT_AFTER = 60.0  # seconds without a new heartbeat on another host
PRESUMED_DEAD_AFTER = 600.0
SUPERVISOR_GONE = "supervisor gone"
"""The end of the reason where the trainer lives on without its supervisor."""

_BY_REASON: dict[str, tuple[State, str]] = {
    "completed": ("finished", "all steps done"),
    "early_stopping": ("finished", "stopped early: no better evaluation for a while"),
    "stopped": ("stopped", "stopped on request, after a checkpoint"),
    "aborted": ("stopped", "aborted on request, without a checkpoint"),
    "diverged": ("failed", "the loss diverged"),
    "called_off": ("stopped", "stopped on request while it waited to start again"),
    "unsaved": ("failed", "the last checkpoint could not be written"),
    "cancelled": ("stopped", "the job was cancelled at the provider"),
    "unfollowed": ("stopped", "not followed any more"),
    "job_failed": ("failed", "the job failed at the provider"),
    "edge": ("finished", "the learning rate rose until the loss did, as a range test does"),
}
_BY_PHASE: dict[str, State] = {
    "loading": "starting",
    "preparing": "starting",
    "paused": "paused",
    WAITING: "starting",
}


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of a run, why it is believed, and since when (unix seconds of the run's host).

    `cause` is one of `causes.Cause` where the run ended otherwise than it should.
    """

    state: State
    reason: str
    since: float | None = None
    cause: str = ""

    @property
    def live(self) -> bool:
        return self.state in LIVE

    def way_out(self, run_id: str) -> str:
        """What to do about it, "" where nothing is amiss or nothing needs doing but to wait."""
        if self.state == "restarting":
            return f"It starts again by itself. To end it instead: ftui ctl {run_id} stop"
        return way_out(self.cause, run_id, self.reason)


@dataclass(frozen=True, slots=True)
class Here:
    """The reader's own machine: `lookup` gives the start ticks of a live pid, else None; `clock` unix seconds."""

    host: str = field(default_factory=host_name)
    boot_id: str = field(default_factory=boot_id)
    lookup: Callable[[int], int | None] = start_ticks
    clock: Callable[[], float] = time.time


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
        if attempt.end.again is not None:
            return _restarting(attempt, attempt.end, attempt.end.again, beat_age, here)
        return _ended(attempt, attempt.end, finished, error)
    if attempt.host != here.host:
        return _elsewhere(attempt, heartbeat, finished, beat_age, step_seconds)
    if attempt.boot_id != here.boot_id:
        return _unrecorded(attempt, heartbeat, finished, "the machine was restarted", "machine_restarted")
    supervised = here.lookup(attempt.supervisor_pid) == attempt.supervisor_start_ticks
    if attempt.pid == 0 and supervised:
        return RunState("starting", "the trainer is being started", attempt.started_at)
    if attempt.pid == 0 or here.lookup(attempt.pid) != attempt.start_ticks:
        if supervised:
            return RunState("running", "ending", attempt.started_at)
        return _unrecorded(
            attempt, heartbeat, finished, "the trainer and its supervisor are gone", "supervisor_lost"
        )
    state = _alive(attempt, heartbeat, beat_age, step_seconds)
    if supervised:
        return state
    return RunState(state.state, f"{state.reason}; {SUPERVISOR_GONE}", state.since)


def _in_queue(queued: Queued) -> RunState:
    if queued.place is not None:
        return RunState("queued", IN_QUEUE, queued.since)
    if queued.job is not None:
        see = f"waits in Slurm as job {queued.job}; see it with: squeue -j {queued.job}"
        return RunState(
            "queued", see if queued.job else "waits for somebody to submit job.sbatch", queued.since
        )
    if queued.fault:
        return RunState("failed", f"the queue could not start it: {queued.fault}", queued.since)
    return RunState("stopped", "taken out of the queue before it began", queued.since)


def _restarting(attempt: Attempt, end: End, again: Again, beat_age: float, here: Here) -> RunState:
    """Its supervisor waits to start it again, if it still lives."""
    which = f"{ordinal(again.number)} of {count(again.most)} restart{'' if again.most == 1 else 's'}"
    if not again.number:
        which = "with smaller passes"
    if attempt.host != here.host:
        if beat_age >= again.at - end.at + PRESUMED_DEAD_AFTER:
            return RunState(
                "silent", f"nothing heard from {attempt.host} since it was to start again", end.at
            )
        return RunState("restarting", f"{which}, on {attempt.host}: {end.reason}", end.at, end.cause)
    lives = attempt.boot_id == here.boot_id
    if not lives or here.lookup(attempt.supervisor_pid) != attempt.supervisor_start_ticks:
        state = _ended(attempt, end, None, None)
        return replace(state, reason=f"{state.reason}; its supervisor is gone, so it does not start again")
    left = duration(max(0.0, again.at - here.clock()))
    return RunState("restarting", f"starts again in {left}, {which}: {end.reason}", end.at, end.cause)


def _ended(attempt: Attempt, end: End, finished: Mapping[str, Any] | None, error: str | None) -> RunState:
    if finished is not None:
        state, reason = _by_event(finished)
        if finished.get("reason") == "called_off":
            return RunState(state, f"{reason} ({end.reason})", end.at, end.cause)
        if end.signal is not None:
            reason += f"; then ended by {signal_name(end.signal)}"
        elif end.exit_code and end.cause not in BY_FINISH.values():
            reason += f"; then exit code {end.exit_code}"
        return RunState(state, reason, end.at, BY_FINISH.get(finished.get("reason"), ""))
    if end.cause:
        reason = error if error and end.cause in ("bad_input", "crashed") else end.reason
        cause = "" if end.cause == "done" else end.cause
        return RunState(_BY_CAUSE.get(end.cause, "failed"), reason, end.at, cause)
    if end.oom:
        return RunState("out_of_memory", "the kernel killed it: no memory left", end.at, "kernel_memory")
    if end.signal is not None:
        return RunState("killed", f"killed by {signal_name(end.signal)}", end.at, "killed")
    if end.exit_code == 0:
        return RunState("finished", "exit code 0", end.at)
    code = "" if end.exit_code is None else f"exit code {end.exit_code}; "
    reason = error or end.reason or f"{code}see log/{attempt.attempt:04d}.txt"
    return RunState("failed", reason, end.at)


_BY_CAUSE: dict[str, State] = {
    "done": "finished",
    "gpu_memory": "out_of_memory",
    "memory": "out_of_memory",
    "kernel_memory": "out_of_memory",
    "killed": "killed",
    "segfault": "killed",
    "abort": "killed",
    "signal": "killed",
    "told_to_end": "killed",
    "time_limit": "killed",
    "forced": "killed",
}


def _by_event(finished: Mapping[str, Any]) -> tuple[State, str]:
    reason = str(finished.get("reason"))
    state, words = _BY_REASON.get(reason, ("finished", reason))
    note = finished.get("note")
    return state, f"{words}; {note}" if isinstance(note, str) and note else words


def _unrecorded(
    attempt: Attempt,
    heartbeat: Heartbeat | None,
    finished: Mapping[str, Any] | None,
    what: str,
    cause: Cause,
) -> RunState:
    """The processes are gone and no end was recorded."""
    since = heartbeat.t if heartbeat else None
    if finished is not None:
        state, reason = _by_event(finished)
        return RunState(state, reason, finished.get("t", since))
    if attempt.told is not None:
        what = f"{what}, after {signal_name(attempt.told)} had told it to end"
        cause = "time_limit"
    return RunState("died", f"{what}; nobody recorded how it ended", since, cause)


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
        frozen = beat_age > STALLED_AFTER  # with its heartbeat: nothing in it runs
        doing = "and no heartbeat" if frozen else f"after step {heartbeat.step}"
        reason = f"no step for {duration(step_age)}, {doing}; see log/{attempt.attempt:04d}.txt"
        return RunState("stalled", reason, heartbeat.t - heartbeat.step_age_s)
    return RunState(_BY_PHASE.get(heartbeat.phase, "running"), heartbeat.phase, attempt.started_at)
