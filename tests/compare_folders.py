"""Comparison folders as `ftui compare` would leave them, without a model and of any length."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from comparisons import ARMS, a_plan
from finetui_core.evaluate.figures import (
    Answer,
    ArmName,
    ArmResult,
    ComparisonPaths,
    Plan,
    Prompt,
    Result,
    Score,
    TestRow,
    Verdict,
    Working,
)
from finetui_core.evaluate.statistics import compare, wilson
from run_folders import START

QUESTION = "Sort this ticket, number {}: the parcel is late again"
REFERENCE = "delivery"
SAYS = "Take the tuned model: it answers better than the model as it is, by 40 points (21 to 58)."


def rows(number: int) -> list[TestRow]:
    system = {"role": "system", "content": "You sort tickets."}
    return [
        TestRow(
            at,
            f"val.jsonl:{at + 1}",
            (system, {"role": "user", "content": QUESTION.format(at + 1)}),
            REFERENCE,
        )
        for at in range(number)
    ]


def answer(index: int, *, right: bool) -> Answer:
    text = REFERENCE if right else f"I think that ticket {index + 1} is about billing"
    return Answer(index, text, "end", 60, 2 if right else 9, 0.25, 3.5, 2, 8)


def write_comparison(
    folder: Path,
    right: Mapping[ArmName, Sequence[bool]],
    *,
    rows_asked: Sequence[TestRow] | None = None,
    answers: Mapping[ArmName, Sequence[Answer]] | None = None,
    working: Working | None = None,
    finished: bool = True,
    **changes: object,
) -> ComparisonPaths:
    """A comparison in which each arm has these rows right; the first arm is the base.

    `answers` stand in the place of those that follow from `right`; a comparison that is not `finished` has no
    result; `changes` are made to the plan.
    """
    paths = ComparisonPaths(folder)
    names = list(right)
    asked = list(rows_asked) if rows_asked is not None else rows(len(right[names[0]]))
    changes = {"created": START, "test_file": "val.jsonl", "source": "support.toml", **changes}
    plan = a_plan(names, len(asked), **changes)
    for part in (paths.root, paths.root / "prompts", paths.root / "answers"):
        part.mkdir(parents=True, exist_ok=True)
    paths.plan.write_bytes(msgspec.json.encode(plan))
    write_lines(paths.rows, asked)
    for name in names:
        write_lines(paths.prompts(name), [_prompt(name, row) for row in asked])
        given = answers[name] if answers else [answer(at, right=one) for at, one in enumerate(right[name])]
        write_lines(paths.answers(name), given)
    if finished:
        paths.result.write_bytes(msgspec.json.encode(_result(plan, right)))
        paths.page.write_text("# Is the tuned model better?\n\nYes.\n")
    if working is not None:
        paths.working.write_bytes(msgspec.json.encode(working))
    paths.log.write_text("loading the model\n")
    return paths


def write_lines(path: Path, lines: Sequence[msgspec.Struct]) -> None:
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))


def _prompt(name: ArmName, row: TestRow) -> Prompt:
    shots: tuple[Mapping[str, str], ...] = ()
    if name in ("few_shot", "retrieved", "tuned_retrieved"):
        shots = (
            {"role": "user", "content": "an earlier ticket"},
            {"role": "assistant", "content": "billing"},
        )
    return Prompt(row.index, (*row.prompt[:1], *shots, *row.prompt[1:]), ("train.jsonl:7",) if shots else ())


def _result(plan: Plan, right: Mapping[ArmName, Sequence[bool]]) -> Result:
    scores = {name: [float(one) for one in given] for name, given in right.items()}
    names = list(scores)
    against = [None, *compare([scores[name] for name in names[1:]], scores[names[0]])]
    count = max(1, plan.rows)
    arms = tuple(
        ArmResult(
            ARMS[name],
            plan.rows,
            0,
            {plan.metric: Score(sum(scores[name]) / count, wilson(sum(scores[name]), plan.rows))},
            2.5,
            0.731,
            0.98,
            0.25 * plan.rows,
            62 * plan.rows,
            one,
        )
        for name, one in zip(names, against, strict=True)
    )
    last = arms[-1]
    judgement = last.against_base.judgement if last.against_base else "no_difference_shown"
    reasons = ("Its interval lies above zero.", "It asks for no examples, so that an answer costs less.")
    verdict = Verdict(names[-1], judgement, SAYS, reasons, ("Export the adapter: ftui export.",))
    return Result(plan, arms, verdict, {name: {plan.metric: tuple(scores[name])} for name in names})


def drawn(share: float, number: int, seed: int) -> list[bool]:
    generator = random.Random(seed)
    return [generator.random() < share for _ in range(number)]


def usual(number: int = 60) -> dict[ArmName, list[bool]]:
    """Three arms, of which the last is much better."""
    shares = {"zero_shot": 0.4, "few_shot": 0.5, "tuned": 0.85}
    return {name: drawn(share, number, at) for at, (name, share) in enumerate(shares.items())}
