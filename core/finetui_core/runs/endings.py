"""What follows the end of an attempt: its cause, what is said of it, and whether another attempt begins."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from finetui_core.hardware.nvml import compute_processes
from finetui_core.runs import halving
from finetui_core.runs.causes import Facts, cause_of, in_words
from finetui_core.runs.checkpoints import newest_valid, published
from finetui_core.runs.leftovers import gpu_memory_held
from finetui_core.runs.mailbox import asked_to_end, finish, refuse_all
from finetui_core.runs.paths import RunPaths, step_of
from finetui_core.runs.records import Again, Attempt, End, Heartbeat, Record, read_small
from finetui_core.runs.restarts import Death, Rules, Verdict, judge_deaths
from finetui_core.runs.tail import Tail
from finetui_core.runs.watching import Told
from finetui_core.runs.writer import RecordFile, write_attempt
from finetui_core.wording import duration, ordinal, size

_LAST_EVENTS, _LAST_METRICS = 1 << 20, 16_384  # bytes
_LOOK_EVERY = 0.25  # seconds
_MEMORY_WITHIN = 10.0  # seconds that a driver may take to let go of the memory of a dead process


@dataclass(frozen=True, slots=True)
class Seen:
    """What an attempt has left in the run's files: its last words, its phase and its last step."""

    error: Record | None
    finished: Record | None
    spoke: bool
    ready: bool
    phase: str
    step: int
    checkpoint: int
    paused: bool
    processes: int

    def facts(self, code: int, *, kernel_oom: bool, told: int | None, forced: str) -> Facts:
        return Facts(
            code=code,
            error=self.error,
            finished=self.finished,
            spoke=self.spoke,
            step=self.step,
            kernel_oom=kernel_oom,
            told=told,
            forced=forced,
            processes=self.processes,
        )


def seen_of(paths: RunPaths, attempt: Attempt) -> Seen:
    """Read it; what cannot be read counts as not there."""
    number = attempt.attempt
    events = [one for one in Tail(paths.events, last=_LAST_EVENTS).read() if one.get("attempt") == number]
    last: dict[str, Record] = {str(event.get("type")): event for event in events}
    points = Tail(paths.metrics(number), last=_LAST_METRICS).read()
    step = points[-1].get("step") if points else None
    beat = read_small(paths.heartbeat, Heartbeat)
    checkpoints = published(paths.checkpoints)
    launch = halving.resolved_recipe(paths).get("launch", {})
    return Seen(
        error=last.get("error"),
        finished=last.get("finished"),
        spoke=bool(events or points),
        ready="ready" in last or bool(points),
        phase=str(last.get("phase", {}).get("phase", "")),
        step=step if isinstance(step, int) else step_of(attempt.resumed_from or "") or 0,
        checkpoint=(step_of(checkpoints[0].name) or 0) if checkpoints else 0,
        paused=beat is not None and beat.t >= attempt.started_at and beat.phase == "paused",
        processes=int(launch.get("nproc_per_node", 1)) if isinstance(launch, Mapping) else 1,
    )


def judged_end(
    paths: RunPaths, attempt: Attempt, facts: Facts, seen: Seen, deaths: list[Death], rules: Rules
) -> End:
    """The record of the end, with the restart that follows; the death is added to `deaths`."""
    cause = cause_of(facts)
    end = End(
        at=time.time(),
        exit_code=facts.code if facts.code >= 0 else None,
        signal=-facts.code if facts.code < 0 else None,
        oom=cause == "kernel_memory",
        reason=in_words(facts, cause),
        cause=cause,
    )
    if facts.told is not None or facts.forced or asked_to_end(paths) is not None or not rules.max_restarts:
        return end
    if cause in ("gpu_memory", "memory"):
        return _with_smaller_passes(paths, attempt, seen, end)
    deaths.append(Death(cause, seen.step, seen.checkpoint, seen.ready, seen.paused))
    verdict = judge_deaths(deaths, rules)
    return _decided(end, verdict, rules)


def _decided(end: End, verdict: Verdict, rules: Rules) -> End:
    if verdict.number:
        again = Again(end.at + verdict.pause, verdict.number, rules.max_restarts)
        return msgspec.structs.replace(end, again=again)
    if verdict.why_not:
        return msgspec.structs.replace(end, reason=f"{end.reason}; {verdict.why_not}")
    return end


def _with_smaller_passes(paths: RunPaths, attempt: Attempt, seen: Seen, end: End) -> End:
    """Another start at once, where training can do with fewer rows at a time."""
    sizes = halving.sizes_of(attempt, halving.resolved_recipe(paths))
    if seen.phase != "training":
        why = f"not in a training step but while {seen.phase or 'loading'}, so smaller passes would not help"
    elif sizes is None or halving.smaller(sizes) is None:
        why = "a pass has one row already, and cannot have less"
    else:
        return msgspec.structs.replace(end, again=Again(end.at, 0, 0))
    return msgspec.structs.replace(end, reason=f"{end.reason}; {why}")


def tell_end(paths: RunPaths, attempt: Attempt, seen: Seen, *, forced: str) -> None:
    """Say in the events what only the supervisor knows; called once the trainer, which writes them, is gone."""
    end, again = attempt.end, attempt.end.again if attempt.end else None
    if end is None:
        return
    if forced and seen.finished is None:
        command = asked_to_end(paths)
        if command is not None:
            finish(paths, command)
            fields = {"id": command.id, "command": command.command}
            _event(paths, attempt.attempt, "control", **fields, status="done", note="by force")
        if command is not None and command.command == "abort":
            _event(paths, attempt.attempt, "finished", reason="aborted", step=seen.step)
        else:
            _alarm(paths, attempt.attempt, "forced", seen.step, end.reason, "")
    if again is not None:
        note = "the trainer died before it was done"
        for command in refuse_all(paths, note, but=("stop", "abort")):
            fields = {"id": command.id, "command": command.command}
            _event(paths, attempt.attempt, "control", **fields, status="refused", note=note)
    if again is not None and again.number:
        message = (
            f"{ordinal(again.number)} of {again.most} restarts in {duration(again.at - end.at)}: {end.reason}"
        )
        _event(
            paths,
            attempt.attempt,
            "restart",
            number=again.number,
            most=again.most,
            pause=round(again.at - end.at, 3),
            cause=end.cause,
            message=message,
        )


def verify_gone(
    paths: RunPaths,
    attempt: Attempt,
    pids: set[int],
    left: list[int],
    ask: Callable[[], Mapping[int, int | None]] = compute_processes,
    within: float = _MEMORY_WITHIN,
) -> None:
    """Raise an alarm where something of the run cannot be ended, or still holds memory of a GPU."""
    step = seen_of(paths, attempt).step
    if left:
        who = ", ".join(map(str, left))
        message = f"these processes of the run do not die of SIGKILL: {who}"
        _alarm(
            paths, attempt.attempt, "left_behind", step, message, "Restart the machine where they do not go."
        )
    for pid, held in gpu_memory_held(pids | set(left), ask, within).items():
        memory = f"{size(held)} of" if held is not None else "memory of"
        message = f"process {pid} of this run has ended and still holds {memory} a GPU"
        _alarm(
            paths, attempt.attempt, "gpu_memory_held", step, message, "Reset the GPU, or restart the machine."
        )


def next_attempt(paths: RunPaths, ended: Attempt, told: Told) -> Attempt | None:
    """The attempt that follows once the pause is over; None where there is none, or somebody has called it off."""
    end = ended.end
    if end is None or end.again is None:
        return None
    if not _waits(paths, end.again.at, told):
        _call_off(paths, ended, end)
        return None
    checkpoint, _ = newest_valid(paths.checkpoints)
    number = ended.attempt + 1
    sizes = (ended.per_device_train_batch_size, ended.gradient_accumulation_steps)
    if not end.again.number:
        sizes = _tell_halving(paths, ended, number, checkpoint.step if checkpoint else 0)
    return msgspec.structs.replace(
        ended,
        attempt=number,
        pid=0,
        start_ticks=0,
        end=None,
        started_at=time.time(),
        resumed_from=f"checkpoints/{checkpoint.path.name}" if checkpoint else None,
        per_device_train_batch_size=sizes[0],
        gradient_accumulation_steps=sizes[1],
    )


def _waits(paths: RunPaths, until: float, told: Told) -> bool:
    """Wait out the pause; False as soon as somebody tells the run to end."""
    deadline = time.monotonic() + until - time.time()  # the wall clock may be set meanwhile
    while True:
        if told.signals or asked_to_end(paths) is not None:
            return False
        left = deadline - time.monotonic()
        if left <= 0:
            return True
        time.sleep(min(left, _LOOK_EVERY))


def _call_off(paths: RunPaths, ended: Attempt, end: End) -> None:
    command = asked_to_end(paths)
    step = seen_of(paths, ended).step
    if command is not None:
        for status in ("acknowledged", "done"):
            fields = {"id": command.id, "command": command.command}
            _event(paths, ended.attempt, "control", **fields, status=status, note="")
        finish(paths, command)
    _event(paths, ended.attempt, "finished", reason="called_off", step=step)
    write_attempt(paths, msgspec.structs.replace(ended, end=msgspec.structs.replace(end, again=None)))


def _tell_halving(paths: RunPaths, ended: Attempt, number: int, step: int) -> tuple[int | None, int | None]:
    before = halving.sizes_of(ended, halving.resolved_recipe(paths))
    after = halving.smaller(before) if before else None
    if before is None or after is None:
        return ended.per_device_train_batch_size, ended.gradient_accumulation_steps
    message = halving.said(before, after, f"after step {seen_of(paths, ended).step}")
    sizes = {halving.ROWS: after.rows, halving.PASSES: after.passes}
    _event(paths, number, "batch_halved", step=step, **sizes, message=message)
    remedy = " and ".join(f"train.{name} = {value}" for name, value in sizes.items())
    _alarm(
        paths, number, "batch_halved", step, message, f"For the next run of this kind, set {remedy}.", "watch"
    )
    _event(
        paths,
        number,
        "inexact",
        step=step,
        by="out_of_memory",
        differences=halving.differences(before, after),
    )
    return after.rows, after.passes


def _alarm(
    paths: RunPaths, attempt: int, kind: str, step: int, message: str, remedy: str, severity: str = "act"
) -> None:
    fields = {"severity": severity, "message": message, "go_back_to": None, "remedy": remedy}
    _event(paths, attempt, "alarm", kind=kind, step=step, **fields)


def _event(paths: RunPaths, attempt: int, type: str, **fields: Any) -> None:
    events = RecordFile(paths.events, durable=True)
    events.append({"t": time.time(), "type": type, "attempt": attempt, **fields})
    events.close()
