"""Runs of other trainers, read-only: the same view as of our own, over their files."""

import math
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from finetui_core.errors import InputError, Problem
from finetui_core.runs.columns import Columns
from finetui_core.runs.foreign_kinds import Kind
from finetui_core.runs.foreign_kinds import kind_of as kind_of
from finetui_core.runs.foreign_points import Points
from finetui_core.runs.foreign_sources import source_of
from finetui_core.runs.liveness import RunState
from finetui_core.runs.metrics import Steps
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import Attempt, Heartbeat, Record
from finetui_core.wording import age

SILENT_AFTER = 600.0
"""Seconds without anything new (as in W&B's leet), but at least PATIENCE times the longest recent pause."""
PATIENCE = 3.0
_RECENT = 50
_TRAINERS = {
    "trainer_state": "transformers' Trainer",
    "tensorboard": "TensorBoard events",
    "metrics_jsonl": "lines of JSON",
}


class ForeignView:
    """One run of another trainer as it now is; has what RunView has, and takes no commands.

    Whether it goes on can only be told from its files: it runs while these keep changing, counted on the
    reader's own clock after the first look. `last` limits what is read of a long file, in bytes, and
    `partial` says that this left something out.
    """

    read_only = True
    hosted = False
    newest: Columns | None = None
    unread = 0
    heartbeat: Heartbeat | None = None

    def __init__(
        self,
        path: Path,
        kind: Kind,
        last: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.kind: Kind = kind
        self.path = path.absolute()
        self.paths = RunPaths(self.path)
        self.id = self.name = self.path.name
        self.evaluations: list[Record] = []
        self.checkpoints: list[Record] = []
        self.events: list[Record] = []
        self.system: list[Record] = []
        self.attempts: list[Attempt] = []
        self.state = RunState("starting", "nothing written yet")
        self._points = Points()
        self._source = source_of(self.path, kind, last)
        self._clock, self._now = clock, now
        self._changed_at: float | None = None
        self._written: list[float] = []

    @property
    def columns(self) -> Columns:
        return self._points.columns

    @property
    def steps(self) -> Steps:
        return Steps(self.columns)

    @property
    def skipped(self) -> int:
        """How many lines, or stretches of bytes, could not be read."""
        return self._source.skipped

    @property
    def partial(self) -> bool:
        return self._source.partial

    def refresh(self) -> bool:
        """Read what is new; True if anything changed."""
        news = self._source.read()
        if news.anew:
            self._points = Points()
        points_changed = self._points.add(news.records) or news.anew
        files_changed = self._source.written != self._written
        if files_changed:
            self._see_writing()
        if points_changed or files_changed:
            self.checkpoints = self._source.checkpoints
            self.evaluations = self._points.evaluations()
            self.events = sorted(self.evaluations + self.checkpoints, key=lambda event: event["step"])
        state = self._judge()
        state_changed, self.state = state != self.state, state
        return points_changed or files_changed or state_changed

    def _see_writing(self) -> None:
        """At the first look the age of the file counts, later only that it changed."""
        first = self._changed_at is None
        self._written = list(self._source.written)
        quiet = max(0.0, self._now() - self._written[-1]) if first and self._written else 0.0
        self._changed_at = self._clock() - quiet

    def _judge(self) -> RunState:
        if self._changed_at is None:
            return RunState("starting", "nothing written yet")
        since = self._written[-1] if self._written else None
        if self._source.finished:
            return RunState("finished", "all steps done", since)
        quiet = self._clock() - self._changed_at
        if quiet < max(SILENT_AFTER, PATIENCE * self._longest_pause()):
            return RunState("running", "its files keep changing", since)
        return RunState("silent", f"nothing new for {age(quiet)}; it may have ended", since)

    def _longest_pause(self) -> float:
        """Between the last writes and between the last points, in seconds."""
        times = [time for time in self.columns.column("t")[-_RECENT:] if not math.isnan(time)]
        recent = self._written[-_RECENT:]
        pauses = [later - earlier for row in (times, recent) for earlier, later in pairwise(row)]
        return max(pauses, default=0.0)

    def summary(self) -> dict[str, Any]:
        """The run in numbers, with the keys of RunView.summary. What is not known is None."""
        best = next((event for event in reversed(self.evaluations) if event["best"]), {})
        step = self.columns.record(-1)["step"] if len(self.columns) else 0
        return {
            "id": self.id,
            "name": self.name,
            "path": str(self.path),
            "model": "",
            "method": _TRAINERS[self.kind],
            "created": self._created(),
            "state": self.state.state,
            "reason": self.state.reason,
            "since": self.state.since,
            "cause": None,
            "way_out": "",
            "inexact_from": None,
            "attempt": None,
            "phase": None,
            "step": step,
            "total_steps": self._source.total_steps,
            "epoch": self._last("epoch"),
            "loss": self._last("loss"),
            "learning_rate": self._last("learning_rate"),
            "tokens_per_second": self._last("tokens_per_second"),
            "eta_seconds": self._eta(step or 0),
            "eval_loss": self.evaluations[-1]["eval_loss"] if self.evaluations else None,
            "best_eval_loss": best.get("eval_loss"),
            "best_step": best.get("step"),
            "last_checkpoint": self.checkpoints[-1]["path"] if self.checkpoints else None,
            "alarms": [],
            "skipped_lines": self.skipped,
        }

    def _created(self) -> float | None:
        """The first time that anything of it bears."""
        times = self.columns.column("t")
        first = times[0] if len(times) and not math.isnan(times[0]) else math.inf
        earliest = min([first, *self._written[:1]])
        return earliest if math.isfinite(earliest) else None

    def _last(self, name: str) -> float | None:
        """The newest number of a quantity: other trainers record each at its own steps."""
        if name not in self.columns.names():
            return None
        return next((value for value in reversed(self.columns.column(name)) if not math.isnan(value)), None)

    def _eta(self, step: float) -> float | None:
        total = self._source.total_steps
        times, steps = self.columns.column("t")[-_RECENT:], self.columns.column("step")[-_RECENT:]
        if not self.state.live or total is None or len(steps) < 2 or math.isnan(times[0] + times[-1]):
            return None
        return (total - step) * (times[-1] - times[0]) / (steps[-1] - steps[0])


def open_foreign(path: Path) -> ForeignView:
    """The run of another trainer in the folder `path`. Raises InputError where there is none."""
    kind = kind_of(path)
    if kind is None:
        hint = "a run of ftui has a run.json, one of other trainers a trainer_state.json, TensorBoard's "
        hint += "event files or a metrics.jsonl"
        raise InputError(Problem("this folder holds no run", str(path), hint))
    return ForeignView(path, kind)


def open_view(path: Path) -> RunView | ForeignView:
    """The run in the folder `path`, ours or another trainer's. Raises InputError where there is none."""
    paths = RunPaths(path)
    ours = paths.identity.exists() or paths.attempts.is_dir()  # one that lost its run.json is not another's
    return RunView(paths) if ours else open_foreign(path)
