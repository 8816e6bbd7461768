"""A hosted job told into a run directory, as a trainer would tell of itself: metrics, events, heartbeat, answers.

Nothing here changes the job, but for a stop that somebody asks for. What an earlier attempt has told is not told
again, save for the metrics, which a new attempt has whole.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from finetui_core.hosted import calls
from finetui_core.hosted.client import Client
from finetui_core.hosted.faults import ProviderFault
from finetui_core.hosted.persisting import Clock, pause_after
from finetui_core.hosted.record import HostedJob
from finetui_core.hosted.shapes import ENDED, Event, Job
from finetui_core.runs.mailbox import Command, finish, pending
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.tail import Tail
from finetui_core.wording import count, duration, number

QUICK, SLOW, GROWTH = 2.0, 30.0, 1.5
"""Seconds between two looks: after news, at most, and the factor by which they grow while there is none."""
LOOK_EVERY = 0.5
CANCEL_WITHIN = 40.0
"""Seconds in which a cancellation is tried and confirmed: the supervisor waits 60 for the end of this process."""
PHASES = {
    "validating_files": "the provider checks the files",
    "queued": "queued at the provider",
    "running": "training at the provider",
    "paused": "paused at the provider",
}
_LATEST_EVENTS = 4 << 20  # bytes


class Writer(Protocol):
    """The part of RunWriter that is used."""

    def metric(self, record: dict[str, Any]) -> None: ...
    def event(self, type: str, **fields: Any) -> None: ...


class Beats(Protocol):
    """The part of Heartbeat that is used."""

    def update(
        self, step: int | None = None, phase: str | None = None, total_steps: int | None = None
    ) -> None: ...


@dataclass(slots=True)
class Follower:
    """One attempt to follow a job. `told_to_end` says whether somebody wants this process to end."""

    paths: RunPaths
    record: HostedJob
    client: Client
    writer: Writer
    beats: Beats
    clock: Clock = field(default_factory=Clock)
    told_to_end: Callable[[], bool] = lambda: False
    known: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    step: int = 0
    total: int | None = None
    phase: str = ""
    cancelled: float | None = None
    faults: int = 0


def follow(follower: Follower) -> int:
    """Follow the job to its end, or until somebody wants it no more; the exit code of the process."""
    follower.told = _told_before(follower.paths)
    pause = QUICK
    while True:
        try:
            job, news = _look(follower)
        except ProviderFault as fault:
            if not fault.passing:
                return _give_up(follower, str(fault), gone=fault.kind == "absent")
            follower.faults += 1
            pause = pause_after(fault, follower.faults)
            if follower.faults == 1 or fault.after is not None:
                follower.writer.event("hosted", level="warn", message=f"{fault}; again in {duration(pause)}")
            _set_phase(follower, f"cannot ask: {fault}")
        else:
            if follower.faults > 1:
                follower.writer.event("hosted", level="info", message="the provider answers again")
            follower.faults = 0
            if job.status in ENDED:
                return _end(follower, job)
            _set_phase(follower, PHASES.get(job.status, job.status))
            pause = QUICK if news or follower.cancelled is not None else min(pause * GROWTH, SLOW)
        code = _wait(follower, pause)
        if code is not None:
            return code


def _look(follower: Follower) -> tuple[Job, bool]:
    """The job as it is, once all that has happened to it is told; whether anything was new."""
    job = calls.get_job(follower.client, follower.record.job)
    events = calls.new_events(follower.client, job.id, follower.known.__contains__)
    for event in events:
        follower.known.add(event.id)
    _tell_events(follower, job, events)
    saved = _tell_checkpoints(follower, job)
    return job, bool(events) or saved


def _tell_events(follower: Follower, job: Job, events: list[Event]) -> None:
    """In the order in which they happened, but steps by their numbers: a step is told only after those before it."""
    points = [event for event in events if _step_of(event) is not None]
    in_order = iter(sorted(points, key=lambda one: (_step_of(one) or 0, one.created_at)))
    for event in events:
        if _step_of(event) is not None:
            _tell_point(follower, job, next(in_order))
        elif event.message and event.id not in follower.told:
            follower.writer.event("hosted", id=event.id, level=event.level, message=event.message)


def _step_of(event: Event) -> int | None:
    step = event.data.get("step") if isinstance(event.data, dict) else None
    known = number(step)
    return int(known) if known is not None and 0 <= known < 2**53 else None


def _tell_point(follower: Follower, job: Job, event: Event) -> None:
    step, data = _step_of(event) or 0, event.data
    if step <= follower.step:
        return
    if follower.total is None:
        total = number(data.get("total_steps"))
        follower.total = int(total) if total is not None and 0 < total < 2**53 else None
        follower.beats.update(total_steps=follower.total or 0)
        follower.writer.event("ready", total_steps=follower.total, hosted=job.id)
    point = {
        name: number(data.get(key)) for name, key in _METRICS.items() if number(data.get(key)) is not None
    }
    follower.writer.metric({"t": event.created_at, "step": step, **point})
    follower.step = step
    follower.beats.update(step=step)
    whole, part = number(data.get("full_valid_loss")), number(data.get("valid_loss"))
    if (loss := whole if whole is not None else part) is not None:
        accuracy = number(
            data.get("full_valid_mean_token_accuracy" if whole is not None else "valid_mean_token_accuracy")
        )
        fields = {} if accuracy is None else {"mean_token_accuracy": accuracy}
        follower.writer.event("evaluation", step=step, eval_loss=loss, whole_set=whole is not None, **fields)


_METRICS = {
    "loss": "train_loss",
    "mean_token_accuracy": "train_mean_token_accuracy",
    "valid_loss": "valid_loss",
}
"""The columns of the run's metrics, and the provider's names for them."""


def _tell_checkpoints(follower: Follower, job: Job) -> bool:
    """Checkpoints come at the ends of epochs, so they are asked for once there are steps. An API may have none."""
    if not follower.step and job.status not in ENDED:
        return False
    try:
        found = calls.checkpoints(follower.client, job.id)
    except ProviderFault as fault:
        if fault.kind in ("absent", "refused", "malformed"):
            return False
        raise
    new = [one for one in found if one.id not in follower.told]
    for one in new:
        follower.told.add(one.id)
        follower.writer.event(
            "hosted_checkpoint", id=one.id, step=one.step_number, model=one.fine_tuned_model_checkpoint
        )
    return bool(new)


def _told_before(paths: RunPaths) -> set[str]:
    """The provider's events and checkpoints that an earlier attempt has told."""
    kinds = ("hosted", "hosted_checkpoint")
    events = Tail(paths.events, last=_LATEST_EVENTS).read()
    return {str(one["id"]) for one in events if one.get("type") in kinds and "id" in one}


def _set_phase(follower: Follower, phase: str) -> None:
    if phase != follower.phase:
        follower.phase = phase
        follower.beats.update(phase=phase)
        follower.writer.event("phase", phase=phase)


def _end(follower: Follower, job: Job) -> int:
    follower.writer.event("hosted", level="info", message=cost_after(follower.record, job))
    if job.status == "failed":
        note = job.trouble or "it does not say why"
        follower.writer.event("finished", reason="job_failed", step=follower.step, note=note)
        return 1
    reason = "completed" if job.status == "succeeded" else "cancelled"
    note = f"the model is {job.fine_tuned_model}" if job.fine_tuned_model else ""
    follower.writer.event("finished", reason=reason, step=follower.step, note=note)
    return 0


def cost_after(record: HostedJob, job: Job) -> str:
    """What the job has cost, in a sentence, from the tokens that the provider says it has trained."""
    if job.trained_tokens is None:
        return "The provider does not say how many tokens it has trained, so what it cost is not known."
    if record.price is None:
        return (
            f"{count(job.trained_tokens)} tokens were trained; what that costs is not known without a price."
        )
    dollars = job.trained_tokens / 1e6 * record.price
    return (
        f"{count(job.trained_tokens)} tokens were trained: {dollars:,.2f} USD at {record.price:g} USD for a million "
        f"({record.price_source})."
    )


def _wait(follower: Follower, seconds: float) -> int | None:
    """Wait, and do what is asked for meanwhile; an exit code where the following is over."""
    until = follower.clock.now() + seconds
    while True:
        if follower.told_to_end():
            note = f"the job goes on at the provider; follow it again with: ftui hosted watch {follower.paths.id}"
            follower.writer.event("finished", reason="unfollowed", step=follower.step, note=note)
            return 0
        for command in pending(follower.paths):
            code = _obey(follower, command)
            if code is not None:
                return code
            until = min(until, follower.clock.now() + QUICK)
        if follower.cancelled is not None and follower.clock.now() - follower.cancelled > CANCEL_WITHIN:
            note = "the provider has not confirmed it yet"
            follower.writer.event("finished", reason="cancelled", step=follower.step, note=note)
            return 0
        left = until - follower.clock.now()
        if left <= 0:
            return None
        follower.clock.sleep(min(LOOK_EVERY, left))


def _obey(follower: Follower, command: Command) -> int | None:
    """A stop and an abort cancel the job; the other commands mean nothing to a provider."""
    asked = {"id": command.id, "command": command.command}
    finish(follower.paths, command)
    if command.command not in ("stop", "abort"):
        note = "a hosted job can only be stopped"
        follower.writer.event("control", **asked, status="refused", note=note)
        return None
    follower.writer.event("control", **asked, status="acknowledged", note="")
    since, tries = follower.clock.now(), 0
    while True:
        try:
            calls.cancel_job(follower.client, follower.record.job)
        except ProviderFault as fault:
            tries += 1
            pause = min(pause_after(fault, tries), 5.0)
            if fault.kind == "refused":  # it has ended meanwhile: the next look tells how
                note = str(fault)
                break
            if fault.passing and follower.clock.now() - since + pause < CANCEL_WITHIN:
                follower.clock.sleep(pause)
                continue
            follower.writer.event("control", **asked, status="refused", note=str(fault))
            return _give_up(follower, f"the job could not be cancelled: {fault}")
        else:
            note = ""
            follower.cancelled = follower.clock.now()
            break
    follower.writer.event("control", **asked, status="done", note=note)
    return None


def _give_up(follower: Follower, why: str, *, gone: bool = False) -> int:
    """End the following, not the job; exit code 2, as for bad input. `gone`: the provider has no such job."""
    hint = f"The job goes on at the provider. Once it is mended: ftui hosted watch {follower.paths.id}"
    if gone:
        hint = "It may have been removed there: ftui hosted list has the jobs that are left."
    problem = {"what": why, "where": "", "hint": hint}
    follower.writer.event("error", kind="input", problems=[problem])
    return 2
