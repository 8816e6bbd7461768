"""The questions, their weights and their sources, read from TOML that a team can replace."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from finetui_core.errors import InputError
from finetui_core.toml_file import Fault, nearest, placed, read_toml, shown

SHIPPED = Path(__file__).with_name("questions.toml")
UNKNOWN = "unknown"
KINDS: Mapping[str, type] = {
    "prompt_tried": str,
    "failure_kind": str,
    "facts_needed": int,
    "change_rate": str,
    "citations": str,
    "access_or_erasure": bool,
    "corpus": str,
    "base_ok_with_context": str,
    "style": int,
    "format": str,
    "implicit_skill": int,
    "requests_per_month": int,
    "removable_prompt_tokens": int,
    "latency_strict": bool,
    "offline": bool,
    "labelled_examples": int,
    "eval_set": str,
    "ml_skill": str,
    "training_route": str,
}
"""Every question that the rule reads, and the type of its answers."""

Answer = str | int | bool


class Option(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer: what it says in words, and the points it gives to the two needs.

    `then` completes "this would be another verdict …" where work can bring the answer about.
    """

    value: Answer
    says: str
    context: int = 0
    behaviour: int = 0
    source: str = ""
    then: str = ""


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question with options, or one for a count (then `unit` names what is counted).

    Its points count only where the answer to the question `counts_if` gives some.
    """

    key: str
    asks: str
    about: str
    source: str
    options: tuple[Option, ...] = ()
    unit: str = ""
    counts_if: str = ""

    def option(self, answer: Answer) -> Option | None:
        for one in self.options:
            if same(one.value, answer):
                return one
        return None


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    context: int
    behaviour: int
    labelled_examples: int
    economy: int
    small_volume: int
    source: str


class Economy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Points for what a shorter prompt saves: `steps` of (million tokens a month, points), largest first."""

    source: str
    steps: tuple[tuple[int, int], ...]
    latency_strict: int


class Questions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"questions": "question"}):
    """All that the rule weighs, in the order in which it is asked."""

    schema_version: int
    as_of: Any
    thresholds: Thresholds
    sources: dict[str, str]
    questions: tuple[Question, ...]
    economy: Economy

    def question(self, key: str) -> Question:
        return next(one for one in self.questions if one.key == key)

    def cited(self, ids: str) -> tuple[str, ...]:
        """The sources behind "S5, S6", in words."""
        return tuple(self.sources[one] for one in ids.split(", ") if one)


def same(one: Answer, other: Answer) -> bool:
    """Equal in type and value: 1 is not True."""
    return type(one) is type(other) and one == other


@cache
def shipped() -> Questions:
    return read_questions(SHIPPED)


def read_questions(path: Path) -> Questions:
    """Read a file of questions. Raises InputError with every problem: it must ask all that the rule reads."""
    file = read_toml(path)
    try:
        questions = msgspec.convert(file.values, Questions)
    except msgspec.ValidationError as error:
        raise InputError(
            placed(file, [Fault((), f"the questions cannot be used: {error}", _START)])
        ) from error
    if problems := placed(file, _faults(questions)):
        raise InputError(problems)
    return questions


_START = "begin with a copy of the shipped questions: ftui decide --print-questions"


def _faults(questions: Questions) -> Iterator[Fault]:
    keys = [one.key for one in questions.questions]
    for key in KINDS:
        if keys.count(key) != 1:
            yield Fault(
                (), f'the question "{key}" stands there {keys.count(key)} times, and must once', _START
            )
    for index, one in enumerate(questions.questions):
        path = ("question", index)
        if one.key not in KINDS:
            yield Fault((*path, "key"), f"no rule reads {shown(one.key)}", nearest(one.key, KINDS))
            continue
        wrong = [option for option in one.options if type(option.value) is not KINDS[one.key]]
        if wrong or bool(one.options) == bool(one.unit):
            what = f'"{one.key}" needs options of type {KINDS[one.key].__name__}, or a unit for a count'
            yield Fault(path, what, _START)
        for ids in (one.source, *(option.source for option in one.options)):
            yield from _unknown_sources(questions, path, ids)
        for option in one.options:
            if (option.context or option.behaviour) and not option.source:
                what = f'the weight of {shown(option.value)} in "{one.key}" has no source'
                yield Fault(path, what, 'write source = "..." beside it')
    yield from _unknown_sources(questions, ("economy",), questions.economy.source)
    yield from _unknown_sources(questions, ("thresholds",), questions.thresholds.source)


def _unknown_sources(questions: Questions, path: tuple[str | int, ...], ids: str) -> Iterator[Fault]:
    for one in ids.split(", "):
        if one and one not in questions.sources:
            yield Fault(path, f"the source {shown(one)} is not in [sources]", nearest(one, questions.sources))
