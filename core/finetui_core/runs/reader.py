"""Reading a run while it is written: one run in full, or a line about each of many."""

import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from finetui_core.errors import InputError, Problem
from finetui_core.runs.liveness import Here, RunState, judge
from finetui_core.runs.merge import cuts, limits, within
from finetui_core.runs.paths import RunPaths, run_ids
from finetui_core.runs.records import Attempt, Heartbeat, Identity, Record, read_small
from finetui_core.runs.tail import Tail, read_records

__all__ = ["RunSummary", "RunView", "Tail", "list_runs", "read_records"]

_RECENT_STEPS = 50
_SYSTEM_BYTES = 1 << 20  # of the newest samples, about an hour and a half on one GPU
_SYSTEM_RECORDS = 2000
_LAST_METRICS = 4096
_LAST_EVENTS = 8192


class RunView:
    """One run as it now is. `refresh` brings it up to date; it may be called from any one thread.

    `steps` holds the metric records and `evaluations` and `checkpoints` the events of these types, as
    dicts in order of steps, merged over all attempts: what an attempt did beyond the checkpoint that a
    later one resumed from is left out. `events` and `system` (newest samples, at most 2000) are as written.
    Raises InputError when there is no readable run.json.
    """

    def __init__(
        self, paths: RunPaths, clock: Callable[[], float] = time.monotonic, here: Here | None = None
    ) -> None:
        identity = read_small(paths.identity, Identity)
        if identity is None:
            hint = "name a folder that ftui made, or copy its run.json as well"
            raise InputError(
                Problem("this is not a run: run.json is missing or damaged", str(paths.root), hint)
            )
        self.paths = paths
        self.identity = identity
        self.steps: list[Record] = []
        self.evaluations: list[Record] = []
        self.checkpoints: list[Record] = []
        self.events: list[Record] = []
        self.system: list[Record] = []
        self.heartbeat: Heartbeat | None = None
        self.attempts: list[Attempt] = []
        self.state = RunState("starting", "not started yet")
        self._clock = clock
        self._here = here or Here()
        self._beat_seen_at = clock()
        self._event_tail = Tail(paths.events)
        self._event_restarts = 0
        self._metric_tails: dict[int, Tail] = {}
        self._metrics: dict[int, list[Record]] = {}
        self._system_tail: Tail | None = None
        self._event_attempts: set[int] = set()
        self._limits: dict[int, int | None] = {}
        self._last_words: tuple[Record | None, str | None] = (None, None)

    @property
    def skipped(self) -> int:
        """How many lines could not be read, in all files."""
        return self._event_tail.skipped + sum(tail.skipped for tail in self._metric_tails.values())

    def refresh(self) -> bool:
        """Read what is new; True if anything changed. Costs a few stats, and time for the new bytes."""
        attempts_changed = self._read_attempts()
        events_changed = self._read_events()
        limits_before = self._limits
        points_changed = self._read_metrics(attempts_changed or events_changed)
        if attempts_changed or events_changed or self._limits != limits_before:
            self._merge_events()
            self._last_words = _last_words(self.events, self.attempts[-1] if self.attempts else None)
        system_changed = self._read_system()
        heartbeat_changed = self._read_heartbeat()
        state = self._judge()
        state_changed = state != self.state
        self.state = state
        return any(
            (
                attempts_changed,
                events_changed,
                points_changed,
                system_changed,
                heartbeat_changed,
                state_changed,
            )
        )

    def _read_attempts(self) -> bool:
        """Attempts that have ended do not change any more."""
        known = {attempt.attempt: attempt for attempt in self.attempts if attempt.end is not None}
        attempts = []
        for number in self.paths.attempt_numbers():
            attempt = known.get(number) or read_small(self.paths.attempt(number), Attempt)
            if attempt is not None:
                attempts.append(attempt)
        changed = attempts != self.attempts
        self.attempts = attempts
        return changed

    def _read_events(self) -> bool:
        new = self._event_tail.read()
        restarted = self._event_tail.restarts != self._event_restarts
        if restarted:
            self._event_restarts = self._event_tail.restarts
            self.events = []
        self.events.extend(new)
        self._event_attempts |= {event["attempt"] for event in new if isinstance(event.get("attempt"), int)}
        return restarted or bool(new)

    def _read_metrics(self, attempts_or_events_changed: bool) -> bool:
        """Append the new points of the newest attempt; merge anew where more than that changed."""
        numbers = self._numbers()
        fresh: list[Record] = []
        anew = False
        for number in numbers:
            tail = self._metric_tails.setdefault(number, Tail(self.paths.metrics(number)))
            points = self._metrics.setdefault(number, [])
            restarts = tail.restarts
            fresh = [record for record in tail.read() if isinstance(record.get("step"), int)]
            if tail.restarts != restarts:
                points.clear()
                anew = True
            anew = anew or bool(fresh and (not points or number != numbers[-1]))
            points.extend(fresh)
        if anew or attempts_or_events_changed:
            first_steps = {number: points[0]["step"] for number, points in self._metrics.items() if points}
            found = limits(cuts(self.attempts, self.events, first_steps))
            anew = anew or found != self._limits
            self._limits = found
        if anew:
            merged = (within(self._metrics[number], self._limits.get(number)) for number in numbers)
            self.steps = list(chain.from_iterable(merged))
        else:
            self.steps.extend(fresh)
        return anew or bool(fresh)

    def _numbers(self) -> list[int]:
        return sorted({attempt.attempt for attempt in self.attempts} | self._event_attempts)

    def _merge_events(self) -> None:
        merged = [
            event
            for event in self.events
            if event.get("type") in ("evaluation", "checkpoint")
            and isinstance(event.get("step"), int)
            and within([event], self._limits.get(event.get("attempt", 1)))
        ]
        self.evaluations = [event for event in merged if event["type"] == "evaluation"]
        self.checkpoints = [event for event in merged if event["type"] == "checkpoint"]

    def _read_system(self) -> bool:
        path = self.paths.system(max(self._numbers(), default=1))
        if self._system_tail is None or self._system_tail.path != path:
            self._system_tail = Tail(path, last=_SYSTEM_BYTES)
        new = self._system_tail.read()
        self.system = [*self.system, *new][-_SYSTEM_RECORDS:] if new else self.system
        return bool(new)

    def _read_heartbeat(self) -> bool:
        heartbeat = read_small(self.paths.heartbeat, Heartbeat) or self.heartbeat
        changed = heartbeat != self.heartbeat
        if changed:
            self._beat_seen_at = self._clock()
        self.heartbeat = heartbeat
        return changed

    def _judge(self) -> RunState:
        return judge(
            self.attempts[-1] if self.attempts else None,
            self.heartbeat,
            *self._last_words,
            self._clock() - self._beat_seen_at,
            self._step_seconds(),
            self._here,
        )

    def _step_seconds(self) -> float | None:
        lengths = [_number(point, "step_seconds") for point in self.steps[-_RECENT_STEPS:]]
        known = [length for length in lengths if length is not None]
        return median(known) if known else None

    def summary(self) -> dict[str, Any]:
        """The run in numbers, ready for JSON. What is not known is None; times are unix seconds."""
        point = self.steps[-1] if self.steps else {}
        step, total = self._progress()
        evaluation = self.evaluations[-1] if self.evaluations else {}
        best = _best(self.evaluations)
        length = self._step_seconds()
        eta = (total - step) * length if self.state.live and length is not None and total else None
        return {
            "id": self.identity.id,
            "name": self.identity.name,
            "path": str(self.paths.root),
            "model": self.identity.model,
            "method": self.identity.method,
            "created": self.identity.created,
            "state": self.state.state,
            "reason": self.state.reason,
            "since": self.state.since,
            "attempt": self.attempts[-1].attempt if self.attempts else None,
            "phase": self.heartbeat.phase if self.heartbeat and self.state.live else None,
            "step": step,
            "total_steps": total,
            "epoch": point.get("epoch"),
            "loss": point.get("loss"),
            "learning_rate": point.get("learning_rate"),
            "tokens_per_second": point.get("tokens_per_second"),
            "eta_seconds": eta,
            "eval_loss": evaluation.get("eval_loss"),
            "best_eval_loss": best.get("eval_loss"),
            "best_step": best.get("step"),
            "last_checkpoint": self.checkpoints[-1].get("path") if self.checkpoints else None,
            "skipped_lines": self.skipped,
        }

    def _progress(self) -> tuple[int, int | None]:
        """(steps done, steps in all)."""
        ready = (event for event in reversed(self.events) if event.get("type") == "ready")
        total = _number(next(ready, {}), "total_steps")
        if total is None and self.heartbeat is not None:
            total = self.heartbeat.total_steps
        return (self.steps[-1]["step"] if self.steps else 0), int(total) if total else None


def _best(evaluations: list[Record]) -> Record:
    """The evaluation with the lowest loss; the first of equals, as the trainer keeps it."""
    finite = [event for event in evaluations if _number(event, "eval_loss") is not None]
    return min(finite, key=lambda event: float(event["eval_loss"])) if finite else {}


def _number(record: Record, key: str) -> float | None:
    value = record.get(key)
    return value if isinstance(value, (int, float)) else None


def _last_words(events: list[Record], attempt: Attempt | None) -> tuple[Record | None, str | None]:
    """The newest attempt's "finished" event, and the text of its last "error" event."""
    finished: Record | None = None
    error: str | None = None
    for event in reversed(events):
        if attempt is None or event.get("attempt", attempt.attempt) != attempt.attempt:
            break
        if event.get("type") == "finished" and finished is None:
            finished = event
        if event.get("type") == "error" and error is None:
            error = _error_text(event)
    return finished, error


def _error_text(event: Record) -> str:
    try:
        problems = msgspec.convert(event.get("problems"), list[Problem])
    except msgspec.ValidationError:
        return "the trainer reported an error that cannot be read"
    return "; ".join(
        f"{problem.where}: {problem.what}" if problem.where else problem.what for problem in problems
    )


class RunSummary(msgspec.Struct, frozen=True):
    """A line about one run. `updated` is the newest time that it recorded, in unix seconds of its host."""

    id: str
    name: str
    path: str
    model: str
    method: str
    created: float
    state: str
    reason: str
    step: int
    total_steps: int | None
    loss: float | None
    eval_loss: float | None
    best_eval_loss: float | None
    updated: float


def list_runs(root: Path) -> list[RunSummary]:
    """A line about every run under `root`, newest first. Reads only the ends of long files."""
    here = Here()
    found = (_summarise(RunPaths(root / run_id), here) for run_id in reversed(run_ids(root)))
    return [summary for summary in found if summary is not None]


def _summarise(paths: RunPaths, here: Here) -> RunSummary | None:
    """None where the folder holds no run."""
    identity = read_small(paths.identity, Identity)
    if identity is None:
        return None
    numbers = paths.attempt_numbers()
    attempt = read_small(paths.attempt(numbers[-1]), Attempt) if numbers else None
    heartbeat = read_small(paths.heartbeat, Heartbeat)
    points = Tail(paths.metrics(numbers[-1]), last=_LAST_METRICS).read() if numbers else []
    point = points[-1] if points else {}
    events = Tail(paths.events, last=_LAST_EVENTS).read()
    evaluations = [event for event in events if event.get("type") == "evaluation"]
    if not any(event.get("best") for event in evaluations):  # the best one lies further back, if there is one
        evaluations = [event for event in read_records(paths.events) if event.get("type") == "evaluation"]
    length = _number(point, "step_seconds")
    state = judge(attempt, heartbeat, *_last_words(events, attempt), 0.0, length, here)
    times = (identity.created, heartbeat.t if heartbeat else 0.0, attempt.started_at if attempt else 0.0)
    return RunSummary(
        id=identity.id,
        name=identity.name,
        path=str(paths.root),
        model=identity.model,
        method=identity.method,
        created=identity.created,
        state=state.state,
        reason=state.reason,
        step=point.get("step", heartbeat.step if heartbeat else 0),
        total_steps=heartbeat.total_steps or None if heartbeat else None,
        loss=point.get("loss"),
        eval_loss=evaluations[-1].get("eval_loss") if evaluations else None,
        best_eval_loss=_best(evaluations).get("eval_loss"),
        updated=max(*times, attempt.end.at if attempt and attempt.end else 0.0),
    )
