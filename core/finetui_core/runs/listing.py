"""A line about each of many runs, kept up to date at the cost of what changes."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from finetui_core.errors import InputError
from finetui_core.runs.foreign_kinds import kind_of
from finetui_core.runs.inexact import first_inexact_step, headline
from finetui_core.runs.labels import read_labels
from finetui_core.runs.listing_cache import Kept, keep_runs, recall_runs
from finetui_core.runs.liveness import Here, judge
from finetui_core.runs.merge import survivors
from finetui_core.runs.paths import SCHEMA, RunPaths, run_ids
from finetui_core.runs.reader import best_evaluation, last_words
from finetui_core.runs.records import Attempt, Heartbeat, Identity, Queued, Record, read_small
from finetui_core.runs.summary import RunSummary
from finetui_core.runs.tail import Tail

if TYPE_CHECKING:
    from finetui_core.runs.foreign_best import BestScan

PAGE = 32
"""Runs read before they are first shown: about a screen of them. Each further page is twice as long as all before."""
LOOK_AGAIN_AFTER = 5.0
"""Seconds after which runs that have ended are looked at again."""
_LAST_METRICS = 16_384  # bytes, about a hundred steps
_WHOLE_FILES = 1 << 20  # bytes up to which another trainer's files are read whole at once
SCAN_SECONDS, SCAN_ONCE_SECONDS = 0.1, 1.0
"""How long longer ones are read at each refresh, or for a list that is made once, to find the best values."""
_MOST_LOSSES = 64
UNREADABLE = "unreadable"
"""The state of a folder that should hold a run and cannot be read."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What is known of the runs of a folder, newest first; `unread` are still to come."""

    runs: tuple[RunSummary, ...]
    unread: int = 0


class Listing:
    """The runs in the folder `root`. `refresh` may be called from any one thread at a time.

    A run that goes on is read anew each time, one that has ended only when its folder has changed. With `keeps`,
    what is known of those is kept for the next start.
    """

    def __init__(
        self,
        root: Path,
        clock: Callable[[], float] = time.monotonic,
        here: Here | None = None,
        *,
        keeps: bool = False,
    ) -> None:
        self.root = root
        self._clock = clock
        self._here = here or Here()
        self._known: dict[str, _Watched] = {}
        self._looked_at = -math.inf
        self._keeps = keeps
        self._kept: dict[str, Kept] | None = None if keeps else {}

    def refresh(self, *, everything: bool = False, scan_seconds: float = SCAN_SECONDS) -> Iterator[Listed]:
        """Read what may have changed and give what is known after each page; the last one is complete.

        With `everything`, runs that have ended are looked at even if that was done a moment ago. The best values
        of long files of other trainers come later: at each refresh these are read for about `scan_seconds`.
        """
        now = self._clock()
        everything = everything or now - self._looked_at >= LOOK_AGAIN_AFTER
        if everything:
            self._looked_at = now
        names = run_ids(self.root)[::-1]
        self._known = {name: self._known[name] for name in names if name in self._known}
        if self._kept is None:
            self._kept = recall_runs(self.root)
        fresh, page = 0, PAGE
        for place, name in enumerate(names):
            if name in self._known:
                self._known[name].refresh(self._clock(), self._here, everything=everything)
                continue
            watched = self._known[name] = _Watched(self.root / name, self._kept.get(name))
            fresh += watched.refresh(self._clock(), self._here, everything=True)
            if fresh >= page:
                page += 2 * page
                yield self._listed(len(names) - place - 1)
        yield self._listed(0)
        if self._keeps and fresh:
            self._keep()
        if self._scan(scan_seconds):
            yield self._listed(0)

    def _keep(self) -> None:
        kept = {name: one for name, watched in self._known.items() if (one := watched.kept())}
        if kept != self._kept:
            self._kept = kept
            keep_runs(self.root, kept)

    def _scan(self, seconds: float) -> bool:
        """Read on in long files, of one run after the other; True if a best value was found."""
        until, found = time.monotonic() + seconds, False
        for watched in self._known.values():
            found = watched.scan(until) or found
        return found

    def _listed(self, unread: int) -> Listed:
        summaries = (watched.summary for watched in self._known.values())
        runs = [summary for summary in summaries if summary is not None]
        runs.sort(key=lambda run: run.created, reverse=True)
        return Listed(tuple(_with_places(runs)), unread)


def _with_places(runs: list[RunSummary]) -> list[RunSummary]:
    """The runs, those in the queue with their number in it."""
    waiting = sorted((run.queued_at, run.id) for run in runs if run.queued_at is not None)
    numbers = {run_id: number for number, (_, run_id) in enumerate(waiting, 1)}
    return [
        msgspec.structs.replace(
            run, queue_number=numbers[run.id], reason=f"number {numbers[run.id]} in the queue"
        )
        if run.id in numbers
        else run
        for run in runs
    ]


def list_runs(root: Path) -> list[RunSummary]:
    """A line about every run under `root`, newest first. Reads only the ends of long files."""
    *_, complete = Listing(root).refresh(scan_seconds=SCAN_ONCE_SECONDS)
    return list(complete.runs)


def summarise(path: Path) -> RunSummary | None:
    """A line about the run in the folder `path`; None where there is none."""
    watched = _Watched(path)
    watched.refresh(time.monotonic(), Here(), everything=True)
    return watched.summary


class _Watched:
    """One folder of the list and what has been read of it, or was `kept` of it. `summary` is None where it holds
    no run."""

    def __init__(self, path: Path, kept: Kept | None = None) -> None:
        self.summary: RunSummary | None = kept.summary if kept else None
        self._path = path
        self._folder_time: int | None = kept.folder_time if kept else None
        self._reader: _OurRun | _ForeignRun | None = None

    def kept(self) -> Kept | None:
        """What holds for as long as the folder does not change; None for a run that goes on or is another's."""
        summary, time = self.summary, self._folder_time
        if (
            summary is None
            or time is None
            or summary.kind != "ftui"
            or summary.state in (*_MAY_CHANGE, UNREADABLE)
        ):
            return None
        return Kept(time, summary)

    def refresh(self, now: float, here: Here, *, everything: bool) -> bool:
        """Read what may have changed; False where nothing had to be read."""
        may_change = self.summary is not None and self.summary.state in _MAY_CHANGE
        if not may_change and not everything:
            return False
        folder_time = _modified(self._path)
        if not may_change and folder_time == self._folder_time:
            return False
        self._folder_time = folder_time
        try:
            self._reader = self._reader or _reader_of(self._path)
            self.summary = self._reader.read(now, here) if self._reader else None
        except InputError as error:
            self.summary = _unreadable(RunPaths(self._path), error.problems[0].what)
        except Exception as error:  # one run, whatever its files hold, must not hide the others
            reason = f"its files make no sense: {type(error).__name__}: {error}"
            self.summary = _unreadable(RunPaths(self._path), reason)
        return True

    def scan(self, until: float) -> bool:
        """Look for the best value until then, on the monotonic clock; True if the summary has changed."""
        reader = self._reader
        if not isinstance(reader, _ForeignRun) or self.summary is None or not reader.scan(until):
            return False
        before, self.summary = self.summary, reader.with_best(self.summary)
        return self.summary != before


_MAY_CHANGE = frozenset({"queued", "starting", "running", "paused", "stalled", "silent", "restarting"})


def _modified(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _reader_of(path: Path) -> "_OurRun | _ForeignRun | None":
    paths = RunPaths(path)
    if paths.identity.exists() or (paths.recipe.exists() and paths.attempts.is_dir()):
        return _OurRun(paths)
    return _ForeignRun(path) if kind_of(path) else None


class _OurRun:
    """Reads a run of ours; of its events only what is new."""

    def __init__(self, paths: RunPaths) -> None:
        self._paths = paths
        self._events = Tail(paths.events)
        self._restarts = 0
        self._words: list[Record] = []
        self._evaluations: list[Record] = []
        self._last: Record = {}
        self._best: Record = {}
        self._beat: Heartbeat | None = None
        self._beat_seen_at = 0.0

    def read(self, now: float, here: Here) -> RunSummary:
        paths = self._paths
        identity = read_small(paths.identity, Identity)
        labels = read_labels(paths)
        if identity is None:
            return _unreadable(paths, "run.json is missing or damaged")
        queued = read_small(paths.queued, Queued)  # before the attempts, which are there when it is gone
        numbers = paths.attempt_numbers()
        attempt = read_small(paths.attempt(numbers[-1]), Attempt) if numbers else None
        heartbeat = read_small(paths.heartbeat, Heartbeat)
        if heartbeat != self._beat:
            self._beat, self._beat_seen_at = heartbeat, now
        points = Tail(paths.metrics(numbers[-1]), last=_LAST_METRICS).read() if numbers else []
        point = points[-1] if points else {}
        self._read_events()
        beat_age = now - self._beat_seen_at if heartbeat else 0.0
        words, length = last_words(self._words, attempt), _number(point, "step_seconds")
        state = judge(attempt, heartbeat, *words, beat_age, length, here, queued)
        times = (identity.created, heartbeat.t if heartbeat else 0.0, attempt.started_at if attempt else 0.0)
        marks = [text for text in (state.reason, headline(first_inexact_step(self._words))) if text]
        newer = f"written by a newer ftui (schema {identity.schema}); " if identity.schema > SCHEMA else ""
        return RunSummary(
            id=paths.id,
            name=labels.name or identity.name,
            path=str(paths.root),
            model=identity.model,
            method=identity.method,
            created=identity.created,
            state=state.state,
            reason=newer + "; ".join(marks),
            step=int(_number(point, "step") or (heartbeat.step if heartbeat else 0)),
            total_steps=heartbeat.total_steps or None if heartbeat else None,
            loss=_number(point, "loss"),
            eval_loss=_number(self._last, "eval_loss"),
            best_eval_loss=_number(self._best, "eval_loss"),
            updated=max(*times, attempt.end.at if attempt and attempt.end else 0.0),
            best_step=_whole(self._best, "step"),
            label=labels.name,
            tags=labels.tags,
            note=labels.note,
            recent_losses=tuple(_number(one, "loss") for one in points[-_MOST_LOSSES:]),
            queued_at=queued.place if queued and state.state == "queued" else None,
        )

    def _read_events(self) -> None:
        """Keep the last and the best evaluation, and the newest attempt's last words."""
        new = self._events.read()
        if self._events.restarts != self._restarts:
            self._restarts = self._events.restarts
            self._words, self._evaluations, self._last, self._best = [], [], {}, {}
        if any(event.get("type") in ("evaluation", "rolled_back") for event in new):
            self._evaluations = survivors([*self._evaluations, *new], _is_evaluation)
            self._last = self._evaluations[-1] if self._evaluations else {}
            self._best = best_evaluation(self._evaluations)
        self._words += [event for event in new if event.get("type") in _WORDS]


_WORDS = ("finished", "error", "resumed", "inexact")


def _is_evaluation(event: Record) -> bool:
    return event.get("type") == "evaluation" and isinstance(event.get("step"), int)


class _ForeignRun:
    """Reads the run of another trainer; of long files only the ends, so that their best value takes a `scan`."""

    def __init__(self, path: Path) -> None:
        from finetui_core.runs.foreign import ForeignView

        kind = kind_of(path)
        self._view = ForeignView(path, kind, _WHOLE_FILES) if kind else None
        self._scan: BestScan | None = None
        self._scanned = False

    def scan(self, until: float) -> bool:
        """Read on until then; True if this brought it to the end of what has been written."""
        if self._view is None or not self._view.partial or self._scanned:
            return False
        if self._scan is None:
            from finetui_core.runs.foreign_best import BestScan

            self._scan = BestScan(self._view.path, self._view.kind)
        while not self._scanned and time.monotonic() < until:
            self._scan.read_on()
            self._scanned = self._scan.done
        return self._scanned

    def with_best(self, summary: RunSummary) -> RunSummary:
        best = self._scan.best if self._scan else None
        if best is None:
            return summary
        return msgspec.structs.replace(summary, best_eval_loss=best[0], best_step=best[1])

    def read(self, now: float, here: Here) -> RunSummary | None:
        view = self._view
        if view is None:
            return None
        self._scanned = not view.refresh() and self._scanned
        facts = view.summary()
        losses = view.columns.column("loss")[-_MOST_LOSSES:]
        summary = RunSummary(
            id=view.id,
            name=view.name,
            path=str(view.path),
            model="",
            method=facts["method"],
            created=facts["created"] or 0.0,
            state=facts["state"],
            reason=facts["reason"],
            step=int(facts["step"] or 0),
            total_steps=facts["total_steps"],
            loss=facts["loss"],
            eval_loss=facts["eval_loss"],
            best_eval_loss=None if view.partial else facts["best_eval_loss"],
            updated=facts["since"] or 0.0,
            best_step=None if view.partial else facts["best_step"],
            kind=view.kind,
            recent_losses=tuple(None if math.isnan(loss) else loss for loss in losses),
        )
        return self.with_best(summary)


def _unreadable(paths: RunPaths, reason: str) -> RunSummary:
    modified = (_modified(paths.root) or 0) / 1e9
    return RunSummary(
        paths.id,
        paths.id,
        str(paths.root),
        "",
        "",
        modified,
        UNREADABLE,
        reason,
        0,
        None,
        None,
        None,
        None,
        modified,
    )


def _number(record: Record, key: str) -> float | None:
    value = record.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(record: Record, key: str) -> int | None:
    value = record.get(key)
    return value if isinstance(value, int) else None
