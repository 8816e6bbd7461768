"""Reading a run in full while it is written."""

import math
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, Literal

import msgspec

from finetui_core.errors import InputError, Problem
from finetui_core.runs.alarms import as_facts, standing_alarms
from finetui_core.runs.columns import Columns
from finetui_core.runs.inexact import standing
from finetui_core.runs.labels import read_labels
from finetui_core.runs.liveness import Here, RunState, judge
from finetui_core.runs.merge import in_order, survivors, within
from finetui_core.runs.metrics import MetricFiles, Steps
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import Attempt, Heartbeat, Identity, Queued, Record, read_small
from finetui_core.runs.tail import Tail, read_records

__all__ = ["RunView", "Tail", "read_records"]

_RECENT_STEPS = 50
_SYSTEM_BYTES = 1 << 20  # of the newest samples, about an hour and a half on one GPU
_SYSTEM_RECORDS = 2000
_MERGED = frozenset({"evaluation", "checkpoint", "alarm", "alarm_over"})


class RunView:
    """One run as it now is. `refresh` brings it up to date; it may be called from any one thread.

    `columns` holds the metrics, `steps` the same as records, `evaluations` and `checkpoints` the events of these
    types, as dicts in order of steps, and `alarms` those that stand, merged over all attempts: what an attempt did
    beyond the checkpoint that a later one resumed from, or that it went back to itself, is left out. `inexact` says
    from which steps on the run is not what it would have been undisturbed. `events` and `system` (newest samples, at
    most 2000) are as written. With `most`, a refresh reads at most about that many bytes of metrics; what is left is
    counted in `unread`, and `newest` holds the last points until `columns` has reached them. `hosted`: it
    only follows a job of a hosted platform.
    Raises InputError when there is no readable run.json.
    """

    kind: Literal["ftui"] = "ftui"
    read_only = False

    def __init__(
        self,
        paths: RunPaths,
        clock: Callable[[], float] = time.monotonic,
        here: Here | None = None,
        most: int | None = None,
    ) -> None:
        identity = read_small(paths.identity, Identity)
        if identity is None:
            hint = "name a folder that ftui made, or copy its run.json as well"
            raise InputError(
                Problem("this is not a run: run.json is missing or damaged", str(paths.root), hint)
            )
        self.paths = paths
        self.identity = identity
        self.id, self.path = identity.id, paths.root
        self.hosted = paths.hosted.exists()
        self.name = read_labels(paths).name or identity.name or identity.id
        self.evaluations: list[Record] = []
        self.checkpoints: list[Record] = []
        self.alarms: list[Mapping[str, Any]] = []
        self.inexact: list[Record] = []
        self.events: list[Record] = []
        self.system: list[Record] = []
        self.heartbeat: Heartbeat | None = None
        self.attempts: list[Attempt] = []
        self.queued: Queued | None = None
        self.state = RunState("starting", "not started yet")
        self._clock = clock
        self._here = here or Here()
        self._beat_seen_at = clock()
        self._event_tail = Tail(paths.events)
        self._trouble_tail = Tail(paths.trouble)
        self._event_restarts = 0
        self._metrics = MetricFiles(paths.metrics)
        self.most = most
        self._system_tail: Tail | None = None
        self._event_attempts: set[int] = set()
        self._last_words: tuple[Record | None, str | None] = (None, None)

    @property
    def columns(self) -> Columns:
        return self._metrics.columns

    @property
    def steps(self) -> Steps:
        return Steps(self._metrics.columns)

    @property
    def newest(self) -> Columns | None:
        return self._metrics.newest

    @property
    def unread(self) -> int:
        return self._metrics.unread

    @property
    def skipped(self) -> int:
        """How many lines could not be read, in all files."""
        return self._event_tail.skipped + self._metrics.skipped

    def refresh(self) -> bool:
        """Read what is new; True if anything changed. Costs a few stats, and time for the new bytes."""
        self.queued = read_small(
            self.paths.queued, Queued
        )  # before the attempts, which are there when it is gone
        attempts_changed = self._read_attempts()
        events_changed = self._read_events()
        limits_before = self._metrics.limits
        points_changed = self._metrics.read(self._numbers(), self.attempts, self.events, self.most)
        if attempts_changed or events_changed or self._metrics.limits != limits_before:
            self._merge_events()
            self._last_words = last_words(self.events, self.attempts[-1] if self.attempts else None)
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
        """Attempts that have ended do not change any more, save for those after which a restart is called off."""
        known = {one.attempt: one for one in self.attempts if one.end is not None and one.end.again is None}
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
            self._trouble_tail = Tail(self.paths.trouble)
        new = in_order(new, self._trouble_tail.read())
        self.events.extend(new)
        self._event_attempts |= {event["attempt"] for event in new if isinstance(event.get("attempt"), int)}
        return restarted or bool(new)

    def _numbers(self) -> list[int]:
        return sorted({attempt.attempt for attempt in self.attempts} | self._event_attempts)

    def _merge_events(self) -> None:
        merged = survivors(self.events, self._counts)
        self.evaluations = [event for event in merged if event["type"] == "evaluation"]
        self.checkpoints = [event for event in merged if event["type"] == "checkpoint"]
        self.alarms = standing_alarms(merged)
        self.inexact = standing(self.events, self._metrics.limits)

    def _counts(self, event: Record) -> bool:
        limit = self._metrics.limits.get(event.get("attempt", 1))
        return (
            str(event.get("type")) in _MERGED
            and isinstance(event.get("step"), int)
            and bool(within([event], limit))
        )

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
            self.queued,
        )

    def _step_seconds(self) -> float | None:
        recent = self._last_points().column("step_seconds")[-_RECENT_STEPS:]
        known = [length for length in recent if not math.isnan(length)]
        return median(known) if known else None

    def _last_points(self) -> Columns:
        """The columns that hold the newest point."""
        return self._metrics.newest or self._metrics.columns

    def summary(self) -> dict[str, Any]:
        """The run in numbers, ready for JSON. What is not known is None; times are unix seconds."""
        point = self._last_point()
        step, total = self._progress()
        evaluation = self.evaluations[-1] if self.evaluations else {}
        best = best_evaluation(self.evaluations)
        eta = self._seconds_left(point, step, total) if self.state.live else None
        return {
            "id": self.identity.id,
            "name": self.name,
            "path": str(self.paths.root),
            "model": self.identity.model,
            "method": self.identity.method,
            "created": self.identity.created,
            "state": self.state.state,
            "reason": self.state.reason,
            "cause": self.state.cause or None,
            "way_out": self.state.way_out(self.id) or None,
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
            "inexact_from": self.inexact[0]["step"] if self.inexact else None,
            "alarms": as_facts(self.alarms),
            "skipped_lines": self.skipped,
        }

    def _seconds_left(self, point: Record, step: int, total: int | None) -> float | None:
        """What the trainer foretold at its last step; of a run that foretells nothing, steps times their length."""
        foretold = _number(point, "remaining_seconds")
        if foretold is not None and math.isfinite(foretold):
            return foretold
        length = self._step_seconds()
        return (total - step) * length if length is not None and total else None

    def _progress(self) -> tuple[int, int | None]:
        """(steps done, steps in all)."""
        ready = (event for event in reversed(self.events) if event.get("type") == "ready")
        total = _number(next(ready, {}), "total_steps")
        if total is None and self.heartbeat is not None:
            total = self.heartbeat.total_steps
        return self._last_point().get("step", 0), int(total) if total else None

    def _last_point(self) -> Record:
        points = self._last_points()
        return points.record(-1) if len(points) else {}


def best_evaluation(evaluations: list[Record]) -> Record:
    """The evaluation with the lowest loss; the first of equals, as the trainer keeps it."""
    finite = [event for event in evaluations if _number(event, "eval_loss") is not None]
    return min(finite, key=lambda event: float(event["eval_loss"])) if finite else {}


def _number(record: Record, key: str) -> float | None:
    value = record.get(key)
    return value if isinstance(value, (int, float)) else None


def last_words(events: list[Record], attempt: Attempt | None) -> tuple[Record | None, str | None]:
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
