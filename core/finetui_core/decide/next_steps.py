"""What to do after the verdict, and with which command."""

from collections.abc import Iterator
from shlex import quote

import msgspec

from finetui_core.decide.answers import Answers
from finetui_core.decide.questions import Questions
from finetui_core.decide.rule import Decision, few_shot_tried, not_ready

ROWS = "ROWS.jsonl"
"""Stands for the training data in a command, where it is not known."""


class Step(msgspec.Struct, frozen=True):
    """`station` is where the studio does it, `command` what does it from a shell; "" where neither can."""

    says: str
    station: str = ""
    command: str = ""


def next_steps(
    decision: Decision, answers: Answers, questions: Questions, rows: str = ROWS
) -> tuple[Step, ...]:
    """The steps in their order; `rows` is the training data, where it is known."""
    steps = {
        "prompt_first": _prompt,
        "rag": _retrieval,
        "fine_tune": _training,
        "both": _both,
        "not_yet": _collecting,
    }[decision.verdict]
    measured = (_MEASURE,) if decision.verdict != "not_yet" else ()
    named = quote(rows)
    return tuple(
        msgspec.structs.replace(step, command=step.command.replace(ROWS, named))
        for step in (*steps(decision, answers, questions), *measured)
    )


def _prompt(decision: Decision, answers: Answers, questions: Questions) -> Iterator[Step]:
    if answers["eval_set"] != "heldout":
        yield _KEEP_APART
    if not few_shot_tried(answers):
        yield Step(
            "Put 3 to 8 worked examples into the prompt and count how many held-out answers are right."
        )
    if answers["format"] == "schema":
        yield Step("Let the server keep the schema (constrained decoding): it holds in all answers.")
    if decision.context >= questions.thresholds.context:
        yield Step("Put the whole text in front of the request, and turn prompt caching on.")
    if answers["failure_kind"] == "unknown":
        yield Step("Sort ten failures: a missing fact, or an answer that is done wrongly?")


def _retrieval(decision: Decision, answers: Answers, questions: Questions) -> Iterator[Step]:
    if answers["eval_set"] != "heldout":
        yield _KEEP_APART
    yield Step("Look up passages for each request; begin with plain word search (BM25).")
    if answers["base_ok_with_context"] != "yes":
        yield Step(
            "Paste the right passage by hand into ten requests: if answers are right then, lookup is all."
        )
    if decision.behaviour >= questions.thresholds.behaviour:
        yield Step("Measure with retrieval first; if the form is still wrong, ask again here.", "decide")


def _training(decision: Decision, answers: Answers, questions: Questions) -> Iterator[Step]:
    yield Step("Look at the rows as the model will see them.", "data", f"ftui data check {ROWS}")
    yield Step(
        "Write a recipe, and see whether it fits.",
        "recipe",
        f"ftui recipe new my.toml --model MODEL --train {ROWS}",
    )
    yield Step("Train, and keep the best checkpoint.", "train", "ftui train my.toml")


def _both(decision: Decision, answers: Answers, questions: Questions) -> Iterator[Step]:
    yield Step(
        "Put passages into the training rows, the right one among wrong ones, as they will be looked up: a model "
        "tuned without them gets worse with retrieval."
    )
    yield from _training(decision, answers, questions)


def _collecting(decision: Decision, answers: Answers, questions: Questions) -> Iterator[Step]:
    if answers["corpus"] in ("none", "unwritten") and "written" in decision.because:
        yield Step("Write the knowledge down: one page per topic, dated, with an owner.")
    for missing in not_ready(answers, questions):
        yield _KEEP_APART if "kept apart" in missing else Step(f"{missing[0].upper()}{missing[1:]}.")


_KEEP_APART = Step(
    "Keep rows apart that nothing is trained on, 200 of them if you can.",
    "data",
    f"ftui data split {ROWS} -o train.jsonl held_out.jsonl --val-fraction 0.2",
)
_MEASURE = Step(
    "Measure it against the other ways on the rows kept apart.", "compare", "ftui compare my.toml"
)
