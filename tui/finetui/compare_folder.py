"""One comparison as the screens follow it: its plan, how far it is, its answers, and its result."""

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from finetui.compare_lines import LineIndex, Place
from finetui_core.evaluate.figures import (
    Answer,
    ArmName,
    ArmResult,
    ComparisonPaths,
    Plan,
    Prompt,
    TestRow,
    Verdict,
    Working,
)
from finetui_core.runs.records import read_small

State = Literal["planned", "running", "done", "stopped", "failed", "gone", "unreadable"]
UNDER_WAY: frozenset[State] = frozenset({"running"})

MOST_RESULT = 1 << 28
"""Bytes of the largest result that is read: 10,000 rows and 7 arms with all their scores take some 5 MB."""
_SLICE = 4 << 20  # bytes of a file that are read at a time
_MOVED_SECONDS = 60.0
_STARTED_SLACK = 2.0  # seconds between the clocks of the kernel and of the process

Known = TypeVar("Known", bound=msgspec.Struct)


class Outcome(msgspec.Struct, frozen=True):
    """A result without the scores of each row, which are many."""

    plan: Plan
    arms: tuple[ArmResult, ...]
    verdict: Verdict


class RowScores(msgspec.Struct, frozen=True):
    """The part of a result that `Outcome` leaves out: of each arm and metric a score for each row."""

    row_scores: Mapping[ArmName, Mapping[str, tuple[float | None, ...]]]


class Answered(msgspec.Struct, frozen=True):
    """What is remembered of an answer."""

    index: int
    text: str
    ended: Literal["end", "length", "error"]
    new_tokens: int
    seconds: float


@dataclass(slots=True)
class ArmAnswers:
    """What is known of the answers of an arm without holding them: `texts` are hashes, to tell which are alike."""

    ended: dict[int, str] = field(default_factory=dict)
    texts: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    tokens: int = 0

    def take(self, answer: Answered) -> None:
        self.ended[answer.index] = answer.ended
        self.texts[answer.index] = hash(answer.text.strip())
        self.seconds += answer.seconds if math.isfinite(answer.seconds) else 0.0
        self.tokens += answer.new_tokens

    def forget(self) -> None:
        self.ended.clear()
        self.texts.clear()
        self.seconds, self.tokens = 0.0, 0


class Compared:
    """Follows the comparison in a folder. `refresh` belongs to one thread at a time; the rest may be read by any.

    `plan` and `outcome` are None where they are missing or cannot be understood; `faults` say which could not.
    """

    def __init__(self, folder: Path) -> None:
        self.paths = ComparisonPaths(folder)
        self.plan: Plan | None = None
        self.outcome: Outcome | None = None
        self.scores: Mapping[ArmName, Mapping[str, tuple[float | None, ...]]] = {}
        self.working: Working | None = None
        self.state: State = "planned"
        self.faults: tuple[str, ...] = ()
        self.answers: dict[ArmName, ArmAnswers] = {}
        self._files: dict[tuple[str, ArmName], LineIndex[msgspec.Struct]] = {}
        self._stamps: dict[Path, tuple[int, int, int] | None] = {}
        self._liveness = Liveness()

    @property
    def folder(self) -> Path:
        return self.paths.root

    @property
    def unread(self) -> bool:
        """Whether the next reading would find more."""
        return any(file.unread for file in self._files.values())

    @property
    def skipped(self) -> int:
        """Lines of all files that could not be understood."""
        return sum(file.skipped for file in self._files.values())

    @property
    def arms(self) -> tuple[ArmName, ...]:
        """The arms of the plan, in its order."""
        plan = self.plan
        return tuple(arm.name for arm in plan.arms) if plan else ()

    def refresh(self) -> bool:
        """Read what is new, at most some megabytes of each file; whether anything has changed."""
        changed = self._read_small_files()
        state = self._judged()
        if state != self.state:
            self.state, changed = state, True
        for name in self.arms:
            if name not in self.answers:
                self.answers[name] = one = ArmAnswers()
                self._follow("answers", name, self.paths.answers(name), Answered, one.take, one.forget)
                self._follow("prompts", name, self.paths.prompts(name), Place)
        if self.plan and ("rows", "") not in self._files:
            self._follow("rows", "", self.paths.rows, Place)
        for file in list(self._files.values()):
            changed = file.read(_SLICE) or changed
        return changed

    def _follow(
        self,
        kind: str,
        name: ArmName,
        path: Path,
        line: type[msgspec.Struct],
        take: Callable[..., object] = lambda one: None,
        forget: Callable[[], object] = lambda: None,
    ) -> None:
        self._files[kind, name] = LineIndex(path, line, take, forget)

    def _read_small_files(self) -> bool:
        changed = False
        if self._is_new(self.paths.plan):
            self.plan, changed = read_whole(self.paths.plan, Plan), True
        if self._is_new(self.paths.working):
            self.working, changed = read_small(self.paths.working, Working), True
        if self._is_new(self.paths.result):
            self.outcome, changed = read_whole(self.paths.result, Outcome), True
            scores = read_whole(self.paths.result, RowScores)
            self.scores = scores.row_scores if scores else {}
        if changed:
            known = {"plan.json": self.plan, "working.json": self.working, "result.json": self.outcome}
            self.faults = tuple(
                f"{name} cannot be understood"
                for name, one in known.items()
                if one is None and self._stamps.get(self.folder / name)
            )
        return changed

    def _is_new(self, path: Path) -> bool:
        stamp = stamp_of(path)
        if self._stamps.get(path, ()) == stamp:
            return False
        self._stamps[path] = stamp
        return True

    def _judged(self) -> State:
        outcome = self.outcome if self.outcome and self._is_of_plan(self.outcome) else None
        return judged(self.plan, self.working, outcome, self._liveness)

    def _is_of_plan(self, outcome: Outcome) -> bool:
        """A plan that was made anew has no result yet."""
        return self.plan is None or outcome.plan.created >= self.plan.created

    @property
    def is_current(self) -> bool:
        """Whether the result there is belongs to the plan there is."""
        return self.outcome is not None and self._is_of_plan(self.outcome)

    def row(self, index: int) -> TestRow | None:
        """Reads the file."""
        return self._line("rows", "", index, TestRow)

    def answer(self, arm: ArmName, index: int) -> Answer | None:
        """Reads the file."""
        return self._line("answers", arm, index, Answer)

    def prompt(self, arm: ArmName, index: int) -> Prompt | None:
        """Reads the file."""
        return self._line("prompts", arm, index, Prompt)

    def _line(self, kind: str, arm: ArmName, index: int, of: type[Known]) -> Known | None:
        file = self._files.get((kind, arm))
        line = file.line(index) if file else None
        if line is None:
            return None
        try:
            return msgspec.json.decode(line, type=of)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def seconds_left(self) -> float | None:
        """By what the answers so far took; None where nothing is known."""
        plan = self.plan
        if plan is None or self.state not in UNDER_WAY:
            return None
        given = sum(len(one.ended) for one in self.answers.values())
        seconds = sum(one.seconds for one in self.answers.values())
        if not given or seconds <= 0:
            return None
        left = 0.0
        for name in self.arms:
            known = self.answers[name]
            number = len(known.ended)
            each = known.seconds / number if number and known.seconds > 0 else seconds / given
            left += each * max(0, plan.rows - number)
        return left


class Liveness:
    """Whether the process that a `Working` names goes on: by its pid here, elsewhere by what it writes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: float | None = None
        self._moved_at = -math.inf

    def holds(self, working: Working) -> bool:
        if self._seen is not None and working.t != self._seen:
            self._moved_at = self._clock()
        self._seen = working.t
        return is_comparing(working) or self._clock() - self._moved_at < _MOVED_SECONDS


def is_comparing(working: Working) -> bool:
    """Whether a process of this pid lives that compares, and had begun when the file was written.

    A pid alone says little, since pids are used again.
    """
    import psutil

    try:
        process = psutil.Process(working.pid)
        return (
            process.status() != psutil.STATUS_ZOMBIE
            and process.create_time() <= working.t + _STARTED_SLACK
            and "compare" in process.cmdline()
        )
    except (psutil.Error, ValueError, OverflowError):
        return False


def judged(plan: Plan | None, working: Working | None, outcome: Outcome | None, liveness: Liveness) -> State:
    """The state of a comparison by its files and its process."""
    if working is not None and working.phase not in ("done", "stopped", "failed"):
        if liveness.holds(working):
            return "running"
        return "done" if outcome is not None else "gone"
    if working is not None and working.phase == "failed":
        return "failed"
    if outcome is not None:
        return "done"
    if working is not None and working.phase == "stopped":
        return "stopped"
    return "planned" if plan is not None else "unreadable"


def read_whole(path: Path, kind: type[Known]) -> Known | None:
    """The content of a JSON file that may be some megabytes, or None where it is missing or not of that kind."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            return msgspec.json.decode(file.read(MOST_RESULT), type=kind)
    except (OSError, TypeError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def stamp_of(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written anew; None where it is not there."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
