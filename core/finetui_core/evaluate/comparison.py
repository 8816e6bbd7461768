"""A comparison from plan to page: every arm answers, answers are scored, and a verdict is written.

It can be killed at any moment and called again: answers that are on disk are not asked for again.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from finetui_core.errors import InputError, Problem, RunFailed, first_line
from finetui_core.evaluate.figures import (
    Answer,
    Arm,
    ArmName,
    ComparisonPaths,
    Judged,
    Phase,
    Plan,
    Prompt,
    Result,
    TestRow,
    Working,
)
from finetui_core.evaluate.kept_answers import read_answers, ready_answers
from finetui_core.evaluate.page import page
from finetui_core.evaluate.scoring import Scoring, score_arm
from finetui_core.evaluate.verdict import decide
from finetui_core.files import write_atomically
from finetui_core.runs.lock import take_file_lock
from finetui_core.runs.records import encode_line, read_small

Say = Callable[[str], None]
Progress = Callable[[int, int], None]
"""(rows answered, rows)."""
Answers = Mapping[ArmName, Sequence[Answer]]
_WRITTEN_EVERY = 0.5  # seconds
_LOCK = "compare.lock"


@dataclass(frozen=True, slots=True)
class Planned:
    """A comparison that can begin. `prompts` are by arm, in the order of the rows."""

    paths: ComparisonPaths
    plan: Plan
    rows: Sequence[TestRow]
    prompts: Mapping[ArmName, Sequence[Prompt]]
    scoring: Scoring
    runs: Path


@dataclass(frozen=True, slots=True)
class Ways:
    """How answers come about. `ask` appends an arm's missing answers to its file; `judge` compares pairs of them."""

    ask: Callable[[Arm, Sequence[Prompt], Sequence[TestRow], Path, Progress], None]
    judge: Callable[[Plan, Sequence[TestRow], Answers, Progress], Sequence[Judged]] | None = None


class Reporter:
    """Keeps working.json current, and tells the person how far an arm is."""

    def __init__(self, path: Path, rows: int, say: Say) -> None:
        self._path, self._say = path, say
        self._written = 0.0
        self._now = Working(os.getpid(), time.time(), "planning", rows=rows)

    def phase(self, phase: Phase, arm: ArmName = "", done: int = 0, message: str = "") -> None:
        self._now = msgspec.structs.replace(
            self._now, t=time.time(), phase=phase, arm=arm, done=done, message=message
        )
        self._write()

    def progress(self, done: int, rows: int) -> None:
        self._now = msgspec.structs.replace(self._now, t=time.time(), done=done, rows=rows)
        if time.monotonic() - self._written >= _WRITTEN_EVERY or done == rows:
            self._write()
            self._say(f"{self._now.arm or self._now.phase}: {done:,} of {rows:,} rows")

    def _write(self) -> None:
        self._written = time.monotonic()
        with suppress(OSError):  # a full disk must not end what is answered
            write_atomically(self._path, msgspec.json.encode(self._now) + b"\n", durable=False)


def run_comparison(planned: Planned, ways: Ways, say: Say) -> Result:
    """Answer what is not answered yet, score it, and write result and page.

    Raises InputError where another process is at it or a metric fails, RunFailed where the base gives no answers;
    what is answered is kept, whatever happens.
    """
    paths = planned.paths
    _make_folders(paths)
    lock = take_file_lock(paths.root / _LOCK)
    if lock is None:
        at_it = read_small(paths.working, Working)
        who = f" (process {at_it.pid})" if at_it else ""
        hint = "it goes on by itself; the Compare station follows it"
        raise InputError(Problem(f"another process is at this comparison{who}", str(paths.root), hint))
    reporter = Reporter(paths.working, planned.plan.rows, say)
    try:
        result = _answer_and_judge(planned, ways, reporter, say)
    except KeyboardInterrupt:
        reporter.phase("stopped", message="stopped; what is answered is kept")
        raise
    except BaseException as error:
        reporter.phase("failed", message=first_line(error))
        raise
    finally:
        os.close(lock)
    reporter.phase("done")
    return result


def _answer_and_judge(planned: Planned, ways: Ways, reporter: Reporter, say: Say) -> Result:
    paths, plan, rows = planned.paths, planned.plan, planned.rows
    reporter.phase("planning")
    ready = ready_answers(paths, plan, planned.runs)
    paths.result.unlink(missing_ok=True)
    _write_plan(planned)
    answers: dict[ArmName, Sequence[Answer]] = {}
    notes: list[str] = []
    for arm in plan.arms:
        reporter.phase("answering", arm.name, ready[arm.name])
        if ready[arm.name]:
            say(f"{arm.name}: {ready[arm.name]:,} of {plan.rows:,} rows are answered already")
        if ready[arm.name] < plan.rows:
            ways.ask(arm, planned.prompts[arm.name], rows, paths.answers(arm.name), reporter.progress)
        given = read_answers(paths.answers(arm.name))
        missing = plan.rows - len(given)
        if missing:
            why = next((one.error for one in reversed(given.values()) if one.error), "it gave no answer")
            notes.append(f"{arm.name} is left out, {missing:,} rows have no answer: {why}")
        else:
            answers[arm.name] = [given[index] for index in range(plan.rows)]
    if plan.arms[0].name not in answers:
        raise RunFailed(notes[0])
    plan = msgspec.structs.replace(
        plan,
        arms=tuple(arm for arm in plan.arms if arm.name in answers),
        notes=(*plan.notes, *notes),
    )
    reporter.phase("judging")
    scores = {arm.name: score_arm(planned.scoring, rows, answers[arm.name], arm.name) for arm in plan.arms}
    results, verdict = decide(plan, rows, answers, scores)
    judged = tuple(ways.judge(plan, rows, answers, reporter.progress)) if ways.judge else ()
    result = Result(plan, results, verdict, scores, judged)
    write_atomically(paths.result, msgspec.json.encode(result) + b"\n")
    write_atomically(paths.page, page(result, rows, answers).encode())
    return result


def _make_folders(paths: ComparisonPaths) -> None:
    try:
        for folder in (paths.root, paths.root / "prompts", paths.root / "answers"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        what = f"the comparison's folder cannot be made: {error.strerror}"
        hint = "name another folder of runs with --runs"
        raise InputError(Problem(what, str(error.filename or paths.root), hint)) from error


def _write_plan(planned: Planned) -> None:
    """Rows and prompts first: whoever reads the plan finds what it speaks of."""
    write_atomically(planned.paths.rows, b"".join(encode_line(row) for row in planned.rows))
    for arm, prompts in planned.prompts.items():
        write_atomically(planned.paths.prompts(arm), b"".join(encode_line(one) for one in prompts))
    write_atomically(planned.paths.plan, msgspec.json.encode(planned.plan) + b"\n")
