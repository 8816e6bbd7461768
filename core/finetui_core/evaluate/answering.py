"""Who answers and who judges: the model itself, or an endpoint that the user has named."""

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from finetui_core.evaluate.answers_file import read_answers
from finetui_core.evaluate.comparison import Answers, Progress, Ways
from finetui_core.evaluate.endpoint import Endpoint, answer_by_endpoint
from finetui_core.evaluate.figures import (
    Answer,
    Arm,
    ArmName,
    Decoding,
    Judged,
    Plan,
    Prompt,
    Result,
    TestRow,
)
from finetui_core.evaluate.judge import Judged as Opinion
from finetui_core.evaluate.judge import Pair, judge_pairs
from finetui_core.evaluate.page import compared_pair
from finetui_core.evaluate.ratings import answers_key
from finetui_core.evaluate.statistics import mcnemar, wilson
from finetui_core.evaluate.subject import Subject
from finetui_core.files import private_folder
from finetui_core.runs.writer import RecordFile

if TYPE_CHECKING:
    from finetui_core.evaluate.engine import Loaded


def ways_of(subject: Subject, plan: Plan, endpoint: Endpoint | None, judge: Endpoint | None) -> Ways:
    """The model is loaded once, when it is first needed: torch is imported only then."""
    decoding = Decoding(plan.max_new_tokens)
    loaded: list[Loaded] = []

    def load() -> None:
        from transformers.utils.logging import disable_progress_bar

        from finetui_core.evaluate import engine

        disable_progress_bar()
        if not loaded:
            checkpoint = subject.checkpoint.path if subject.checkpoint else None
            with without_warnings():
                loaded.append(engine.load(subject.recipe, checkpoint))

    def ask(
        arm: Arm, prompts: Sequence[Prompt], rows: Sequence[TestRow], path: Path, progress: Progress
    ) -> None:
        if arm.weights == "endpoint" and endpoint is not None:
            _ask_endpoint(endpoint, prompts, decoding, path, progress)
            return
        from finetui_core.evaluate import engine

        which: Any = arm.weights
        with without_warnings():
            engine.answer_arm(loaded[0], which, prompts, rows, decoding, path, progress)

    def opinions(
        result: Result, rows: Sequence[TestRow], answers: Answers, folder: Path, progress: Progress
    ) -> Sequence[Judged]:
        assert judge is not None
        return [
            _judged(judge, result, pair, rows, answers, folder, progress) for pair in _judged_pairs(result)
        ]

    return Ways(ask, load, opinions if judge is not None else None)


@contextmanager
def without_warnings() -> Iterator[None]:
    """What libraries say of their own future is nothing to the person who compares or exports."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _ask_endpoint(
    endpoint: Endpoint, prompts: Sequence[Prompt], decoding: Decoding, path: Path, progress: Progress
) -> None:
    done = read_answers(path).keys()
    count = len(done)
    with _records(path) as file:

        def on_answer(answer: Answer) -> None:
            nonlocal count
            count += 1
            file.append(answer)
            progress(count)

        answer_by_endpoint(endpoint, [one for one in prompts if one.index not in done], decoding, on_answer)


def _judged_pairs(result: Result) -> list[tuple[ArmName, ArmName]]:
    """The pair that the verdict is about, and the tuned model against the base where that is another one."""
    base = result.arms[0].arm.name
    tuned = [("tuned", base)] if any(one.arm.name == "tuned" for one in result.arms) else []
    pair = compared_pair(result)
    return list(dict.fromkeys([*([pair] if pair else []), *tuned]))


def _judged(
    judge: Endpoint,
    result: Result,
    pair: tuple[ArmName, ArmName],
    rows: Sequence[TestRow],
    answers: Answers,
    folder: Path,
    progress: Progress,
) -> Judged:
    """The judge's opinion on each row, of which those that are on disk are not asked for again."""
    arm, against = pair
    asked_of = hashlib.sha256(f"{judge.url} {judge.model}".encode()).hexdigest()
    path = folder / f"{arm}-{answers_key(result.plan, pair)}-{asked_of[:8]}.jsonl"
    done = {index: one for index, one in _opinions(path).items() if one.winner is not None}
    pairs = [
        Pair(
            row.index,
            _asked(row),
            row.reference,
            answers[arm][row.index].text,
            answers[against][row.index].text,
        )
        for row in rows
        if row.index not in done
    ]
    with _records(path) as file:

        def on_judged(one: Opinion) -> None:
            done[one.index] = one
            file.append(one)
            progress(len(done))

        judge_pairs(judge, pairs, on_judged)
    winners = [one.winner for one in done.values()]
    wins, losses = winners.count("first"), winners.count("second")
    return Judged(
        arm,
        against,
        wins,
        winners.count("tie"),
        losses,
        winners.count(None),
        wilson(wins, wins + losses),
        mcnemar(wins, losses),
    )


def _asked(row: TestRow) -> str:
    return "\n\n".join(f"{one['role']}: {one.get('content') or ''}" for one in row.prompt)


def _opinions(path: Path) -> dict[int, Opinion]:
    found: dict[int, Opinion] = {}
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return found
    for line in lines:
        try:
            one = msgspec.json.decode(line, type=Opinion)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        found[one.index] = one
    return found


@contextmanager
def _records(path: Path) -> Iterator[RecordFile]:
    private_folder(path.parent)
    file = RecordFile(path)
    try:
        yield file
    finally:
        file.close()
