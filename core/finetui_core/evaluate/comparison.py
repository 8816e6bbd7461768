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
from finetui_core.evaluate.answers_file import read_answers
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
from finetui_core.evaluate.kept_answers import ready_answers
from finetui_core.evaluate.page import page
from finetui_core.evaluate.scoring import Scoring, score_arm
from finetui_core.evaluate.verdict import decide
from finetui_core.files import private_folder, write_atomically
from finetui_core.runs.lock import take_file_lock
from finetui_core.runs.ownership import require_own, require_safe_folder
from finetui_core.runs.paths import RunPaths, is_run
from finetui_core.runs.records import encode_line, read_small

Progress = Callable[[int], None]
"""Told how many rows are done."""
Answers = Mapping[ArmName, Sequence[Answer]]
_WRITTEN_EVERY = 0.5  # seconds
_LOCK = "compare.lock"
_MOST_MISSING = 0.1
"""Share of rows without an answer up to which an arm is judged, those counting as 0."""


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
    """How answers come about. `load` brings the model into memory, `ask` appends an arm's missing answers to its
    file, `judge` compares pairs of answers."""

    ask: Callable[[Arm, Sequence[Prompt], Sequence[TestRow], Path, Progress], None]
    load: Callable[[], None] = lambda: None
    judge: Callable[[Result, Sequence[TestRow], Answers, Path, Progress], Sequence[Judged]] | None = None


@dataclass(frozen=True, slots=True)
class Follower:
    """Who looks on: `say` gets a sentence, `progress` what is under way with rows done and all rows."""

    say: Callable[[str], None] = lambda line: None
    progress: Callable[[str, int, int], None] = lambda what, done, rows: None


class _Reporter:
    """Keeps working.json current, and tells the follower."""

    def __init__(self, path: Path, rows: int, follower: Follower) -> None:
        self._path, self._follower = path, follower
        self._written = 0.0
        self._now = Working(os.getpid(), time.time(), "planning", rows=rows)

    def phase(self, phase: Phase, arm: ArmName = "", message: str = "") -> None:
        self._now = msgspec.structs.replace(
            self._now, t=time.time(), phase=phase, arm=arm, done=0, message=message
        )
        self._write()

    def progress(self, done: int) -> None:
        self._now = msgspec.structs.replace(self._now, t=time.time(), done=done)
        if time.monotonic() - self._written >= _WRITTEN_EVERY or done == self._now.rows:
            self._write()
            self._follower.progress(self._now.arm or self._now.phase, done, self._now.rows)

    def _write(self) -> None:
        self._written = time.monotonic()
        with suppress(OSError):  # a full disk must not end what is answered
            write_atomically(self._path, msgspec.json.encode(self._now) + b"\n", durable=False)


def run_comparison(planned: Planned, ways: Ways, follower: Follower) -> Result:
    """Answer what is not answered yet, score it, and write result and page.

    Raises InputError where another process is at it or a metric fails, RunFailed where the base gives no answers or
    the disk refuses the result; what is answered is kept, whatever happens.
    """
    paths = planned.paths
    _make_folders(paths)
    lock = take_file_lock(paths.root / _LOCK)
    if lock is None:
        at_it = read_small(paths.working, Working)
        who = f" (process {at_it.pid})" if at_it else ""
        hint = "it goes on by itself; the Compare station follows it"
        raise InputError(Problem(f"another process is at this comparison{who}", str(paths.root), hint))
    reporter = _Reporter(paths.working, planned.plan.rows, follower)
    try:
        result = _result(planned, ways, reporter, follower)
        reporter.phase("done")
    except KeyboardInterrupt:
        reporter.phase("stopped", message="stopped; what is answered is kept")
        raise
    except OSError as error:
        reporter.phase("failed", message=first_line(error))
        raise RunFailed(f"the comparison cannot be written: {first_line(error)}") from error
    except BaseException as error:
        reporter.phase("failed", message=first_line(error))
        raise
    finally:
        os.close(lock)
    return result


def _result(planned: Planned, ways: Ways, reporter: _Reporter, follower: Follower) -> Result:
    paths, rows = planned.paths, planned.rows
    reporter.phase("planning")
    ready = ready_answers(paths, planned.plan, planned.runs)
    paths.result.unlink(missing_ok=True)
    _write_plan(planned)
    plan, answers = _answered(planned, ways, ready, reporter, follower)
    reporter.phase("judging")
    scores = {arm.name: score_arm(planned.scoring, rows, answers[arm.name], arm.name) for arm in plan.arms}
    result = Result(plan, *decide(plan, rows, answers, scores), scores)
    if ways.judge is not None:
        judged = ways.judge(result, rows, answers, paths.root / "judged", reporter.progress)
        result = msgspec.structs.replace(result, judged=tuple(judged))
    write_atomically(paths.result, msgspec.json.encode(result) + b"\n")
    write_atomically(paths.page, page(result, rows, answers).encode())
    return result


def _answered(
    planned: Planned, ways: Ways, ready: Mapping[ArmName, int], reporter: _Reporter, follower: Follower
) -> tuple[Plan, Answers]:
    """All answers, and the plan with those arms that gave them. Raises RunFailed where the base gave none."""
    plan, paths = planned.plan, planned.paths
    if any(ready[arm.name] < plan.rows and arm.weights != "endpoint" for arm in plan.arms):
        reporter.phase("loading")
        follower.say(f"loading {plan.model}")
        ways.load()
    answers: dict[ArmName, Sequence[Answer]] = {}
    notes = list(plan.notes)
    for arm in plan.arms:
        reporter.phase("answering", arm.name)
        if ready[arm.name]:
            follower.say(f"{arm.name}: {ready[arm.name]:,} of {plan.rows:,} rows are answered already")
        if ready[arm.name] < plan.rows:
            ways.ask(arm, planned.prompts[arm.name], planned.rows, paths.answers(arm.name), reporter.progress)
        given = read_answers(paths.answers(arm.name))
        errors = [one.error for one in given.values() if one.ended == "error"]
        missing = plan.rows - len(given) + len(errors)
        if arm is plan.arms[0] and missing == plan.rows:
            raise RunFailed(f"{arm.name} gave no answer: {errors[0] if errors else 'nothing was written'}")
        if len(given) < plan.rows or (missing > _MOST_MISSING * plan.rows and arm is not plan.arms[0]):
            why = errors[0] if errors else "nothing was written"
            notes.append(f"{arm.name} is left out, {missing:,} of {plan.rows:,} rows have no answer: {why}")
            follower.say(notes[-1])
        else:
            answers[arm.name] = [given[index] for index in range(plan.rows)]
    arms = tuple(arm for arm in plan.arms if arm.name in answers)
    return msgspec.structs.replace(plan, arms=arms, notes=tuple(notes)), answers


def _make_folders(paths: ComparisonPaths) -> None:
    """Raise InputError where they cannot be made, or must not: in the run of another user, say."""
    run = RunPaths(paths.root.parents[1])
    if is_run(run.root):
        require_own(run)
    else:
        require_safe_folder(paths.root)
    try:
        for folder in (paths.root, paths.root / "prompts", paths.root / "answers"):
            private_folder(folder)
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
