"""Following the files of other trainers: what is new in them, under our names."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from finetui_core.errors import InputError, Problem
from finetui_core.runs.foreign_events import EventFile
from finetui_core.runs.foreign_kinds import (
    STATE_FILE,
    Kind,
    checkpoints_of,
    event_files_of,
    metric_file_of,
)
from finetui_core.runs.foreign_names import our_name, our_record
from finetui_core.runs.records import Record, decode_line
from finetui_core.runs.tail import Tail

LARGEST_STATE = 1 << 26
"""Bytes of the largest trainer_state.json that is read, about 300,000 entries: it is parsed in one go."""
_STATE_HINT = (
    "its trainer writes fewer entries with a larger logging_steps; TensorBoard's files are read at any size"
)


@dataclass(frozen=True, slots=True)
class News:
    """What a look brought. Each record has a finite "step"; with `anew` they replace all that came before."""

    records: list[Record] = field(default_factory=list)
    anew: bool = False


class Source(Protocol):
    """The files of one run. `written` are the times at which they were, in unix seconds, ascending.

    `partial` says that only the ends of long files were read, and `more` that the last read left something since
    it was to read about `most` bytes; `total_steps` and `finished` are what the trainer recorded of its plan,
    where it did.
    """

    written: list[float]
    checkpoints: list[Record]
    total_steps: int | None
    finished: bool
    partial: bool
    more: bool

    @property
    def skipped(self) -> int: ...

    def read(self, most: int | None = None) -> News: ...


def source_of(path: Path, kind: Kind, last: int | None = None) -> Source:
    """The source for the run in the folder `path`; `last` limits what is read of a long file, in bytes."""
    if kind == "trainer_state":
        return TrainerState(path)
    if kind == "tensorboard":
        return EventFiles(path, last)
    return MetricLines(path, last)


class TrainerState:
    """`trainer_state.json` of transformers' Trainer, in the folder or in its newest checkpoint.

    The Trainer rewrites it whole at each checkpoint (transformers/trainer_callback.py, save_to_json), not
    atomically: one that cannot be read is tried again. `read` raises InputError where it is larger than
    LARGEST_STATE.
    """

    def __init__(self, path: Path) -> None:
        self.written: list[float] = []
        self.checkpoints: list[Record] = []
        self.total_steps: int | None = None
        self.finished = False
        self.partial = False
        self.more = False
        self.skipped = 0
        self._path = path
        self._read: tuple[Path, int, int] | None = None

    def read(self, most: int | None = None) -> News:
        checkpoints = checkpoints_of(self._path)
        files = [self._path / STATE_FILE, *(folder / STATE_FILE for _, folder in checkpoints)]
        times = {file: time for file in files if (time := _written(file)) is not None}
        self.written = sorted(times.values())
        self.checkpoints = [
            {"type": "checkpoint", "step": step, "path": folder.name, "t": times[folder / STATE_FILE]}
            for step, folder in checkpoints
            if folder / STATE_FILE in times
        ]
        newest = max(times, key=lambda file: times[file], default=None)
        if newest is None:
            return News()
        try:
            status = newest.stat()
            now = (newest, status.st_mtime_ns, status.st_size)
            if now == self._read:
                return News()
            if status.st_size > LARGEST_STATE:
                raise InputError(Problem(f"{STATE_FILE} is too large to be read", str(newest), _STATE_HINT))
            records = self._take(json.loads(newest.read_bytes()))
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return News()
        self._read = now
        return News(records, anew=True)

    def _take(self, state: Any) -> list[Record]:
        step, total = state.get("global_step"), state.get("max_steps")
        self.total_steps = total if isinstance(total, int) and total > 0 else None
        self.finished = isinstance(step, int) and self.total_steps is not None and step >= self.total_steps
        records = []
        for entry in state.get("log_history") or []:
            if isinstance(entry, dict) and "train_runtime" not in entry:  # that one is about the whole run
                record = our_record(entry)
                if _finite(record.get("step")):
                    records.append(record)
        return records


class EventFiles:
    """TensorBoard's event files in one folder. Where two give a number for one step, the later one counts."""

    def __init__(self, path: Path, last: int | None = None) -> None:
        self.written: list[float] = []
        self.checkpoints: list[Record] = []
        self.total_steps: int | None = None
        self.finished = False
        self.partial = False
        self.more = False
        self._path = path
        self._last = last
        self._files: dict[Path, EventFile] = {}

    @property
    def skipped(self) -> int:
        return sum(file.tail.tears for file in self._files.values())

    def read(self, most: int | None = None) -> News:
        paths = event_files_of(self._path)
        self.written = sorted(time for path in paths if (time := _written(path)) is not None)
        anew = any(path not in paths for path in self._files)
        if anew:
            self._files = {}
        records = self._read_files(paths, most)
        if any(file.tail.restarts for file in self._files.values()):
            anew, self._files = True, {}
            records = self._read_files(paths, most)
        return News(records, anew)

    def _read_files(self, paths: list[Path], most: int | None) -> list[Record]:
        """With `most`, what is new of the first file that has anything new."""
        records: list[Record] = []
        self.more = False
        for path in paths:
            if path not in self._files:
                self.partial = self.partial or _longer(path, self._last)
                self._files[path] = EventFile(path, self._last)
            records += [
                {"step": one.step, "t": one.t, our_name(one.tag): one.value}
                for one in self._files[path].read(most)
                if math.isfinite(one.t)
            ]
            self.more = most is not None and (bool(records) or self._files[path].tail.more)
            if self.more:
                break
        return records


class MetricLines:
    """A file of JSON lines. Lines without a step belong to the step before, or count the steps themselves."""

    def __init__(self, path: Path, last: int | None = None) -> None:
        self.written: list[float] = []
        self.checkpoints: list[Record] = []
        self.total_steps: int | None = None
        self.finished = False
        self.partial = False
        self.more = False
        self._folder = path
        self._last = last
        self._tail: Tail | None = None
        self._step: float | None = None
        self._lines = 0

    @property
    def skipped(self) -> int:
        return self._tail.skipped if self._tail else 0

    def read(self, most: int | None = None) -> News:
        if self._tail is None:
            path = metric_file_of(self._folder)
            self.partial = _longer(path, self._last)
            self._tail = Tail(path, self._last, decode_any_line)
        time = _written(self._tail.path)
        self.written = [] if time is None else [time]
        restarts = self._tail.restarts
        lines = self._tail.read(most)
        self.more = self._tail.behind > 0
        anew = self._tail.restarts != restarts
        if anew:
            self._step, self._lines = None, 0
        return News([self._with_step(our_record(line)) for line in lines], anew)

    def _with_step(self, record: Record) -> Record:
        self._lines += 1
        step = record.get("step")
        if _finite(step):
            self._step = step
        elif self._step is None:
            step = self._lines
        else:
            step = self._step
        total = record.pop("total_steps", None)
        if isinstance(total, int) and total > 0:
            self.total_steps = total
            self.finished = float(step or 0) >= total
        return {**record, "step": step}


def decode_any_line(line: bytes) -> Record | None:
    """The record in a line; unlike our own files it may hold NaN and Infinity, as Python's json writes them."""
    record = decode_line(line)
    if record is not None:
        return record
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _written(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _longer(path: Path, limit: int | None) -> bool:
    try:
        return limit is not None and path.stat().st_size > limit
    except OSError:
        return False
