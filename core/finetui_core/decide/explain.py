"""Why a verdict is what it is, how clear it is, what would change it, and what to ask next."""

from collections.abc import Collection, Iterator
from itertools import combinations, product
from math import prod
from random import Random
from typing import Literal

import msgspec

from finetui_core.decide.answers import Answers
from finetui_core.decide.questions import UNKNOWN, Answer, Question, Questions, same
from finetui_core.decide.rule import Contribution, Decision, Verdict, contributions, decide

Clarity = Literal["close", "fair", "clear"]

_READY: dict[str, Answer] = {
    "labelled_examples": 10**6,
    "eval_set": "heldout",
    "prompt_tried": "few_shot_and_retrieval",
    "training_route": "hosted",
    "ml_skill": "strong",
    "corpus": "large",
    "base_ok_with_context": "no",
}
"""The answers that open every gate. Work can bring them about; the other answers describe the task."""
_ALL_WORLDS, _DRAWN_WORLDS = 500, 60
_MOST_FLIPS = 6


class Flip(msgspec.Struct, frozen=True):
    """Answers that would change the verdict, in the smallest way found. `by_work`: work can bring them about."""

    changes: dict[str, Answer]
    verdict: Verdict
    says: str
    by_work: bool


class Explained(msgspec.Struct, frozen=True):
    """A decision with its reasons. `open` are unanswered questions, those first that can still change it."""

    decision: Decision
    clarity: Clarity
    contributions: tuple[Contribution, ...]
    flips: tuple[Flip, ...]
    open: tuple[str, ...]
    can_change: tuple[str, ...]


def explain(answers: Answers, questions: Questions) -> Explained:
    decision = decide(answers, questions)
    unanswered = [one for one in questions.questions if answers[one.key] == UNKNOWN]
    decisive = tuple(one.key for one in unanswered if can_change(one, answers, questions))
    others = tuple(one.key for one in unanswered if one.key not in decisive)
    return Explained(
        decision,
        clarity(decision, questions),
        tuple(contributions(answers, questions)),
        tuple(flips(answers, questions)),
        (*decisive, *others),
        decisive,
    )


def clarity(decision: Decision, questions: Questions) -> Clarity:
    """How far the nearer score is from its threshold: 0 or 1 point is close, 2 fair, more clear."""
    least = questions.thresholds
    distance = min(abs(decision.context - least.context), abs(decision.behaviour - least.behaviour))
    return "close" if distance <= 1 else "fair" if distance == 2 else "clear"


def next_question(
    answers: Answers, questions: Questions, asked: Collection[str] = frozenset()
) -> Question | None:
    """The first question not asked yet whose answer can still change the verdict, None where no answer can.

    To those in `asked` nobody knows an answer: they stay open, and are not asked again.
    """
    open_ones = (one for one in questions.questions if answers[one.key] == UNKNOWN and one.key not in asked)
    return next((one for one in open_ones if can_change(one, answers, questions, asked)), None)


def can_change(
    question: Question, answers: Answers, questions: Questions, asked: Collection[str] = frozenset()
) -> bool:
    """Whether two answers to `question` can still give two verdicts, the other unanswered ones being what they may.

    All their answers are gone through where they are few; else a fixed draw of them, beside the corners: each
    need pushed up or down by all of them, with everything ready and with nothing.
    """
    settled = {question.key, *asked}
    free = [one for one in questions.questions if answers[one.key] == UNKNOWN and one.key not in settled]
    values = values_of(question, questions)
    for world in _worlds(free, questions):
        verdicts = {decide({**answers, **world, question.key: value}, questions).verdict for value in values}
        if len(verdicts) > 1:
            return True
    return False


def _worlds(free: list[Question], questions: Questions) -> Iterator[dict[str, Answer]]:
    choices = [values_of(one, questions) for one in free]
    keys = [one.key for one in free]
    yield {}
    if prod(map(len, choices)) <= _ALL_WORLDS:
        yield from (dict(zip(keys, world, strict=True)) for world in product(*choices))
        return
    for context, behaviour, ready in product((-1, 1), (-1, 1), (False, True)):
        yield {one.key: _pushed(one, context, behaviour, ready, questions) for one in free}
    draw = Random(0)
    for _ in range(_DRAWN_WORLDS):
        yield {key: draw.choice(values) for key, values in zip(keys, choices, strict=True)}


def _pushed(question: Question, context: int, behaviour: int, ready: bool, questions: Questions) -> Answer:
    """The answer that moves the two needs most in the directions given."""
    if question.key in _READY:
        return _READY[question.key] if ready else values_of(question, questions)[0]
    if question.unit:
        return values_of(question, questions)[-1 if behaviour > 0 else 0]
    best = max(question.options, key=lambda one: context * one.context + behaviour * one.behaviour)
    return best.value


def values_of(question: Question, questions: Questions) -> list[Answer]:
    """Its answers; of a count, one on each side of every threshold that it has."""
    if question.options:
        return [option.value for option in question.options]
    if question.key == "labelled_examples":
        return [0, questions.thresholds.labelled_examples]
    if question.key == "requests_per_month":
        return [0, questions.thresholds.small_volume, questions.thresholds.small_volume + 1, 10**9]
    return [0, 10**6]


def flips(answers: Answers, questions: Questions) -> list[Flip]:
    """The smallest changes of answers that give another verdict: single ones, and pairs of what work can change."""
    now = decide(answers, questions).verdict
    found: list[Flip] = []
    for key, value in _alternatives(answers, questions):
        verdict = decide({**answers, key: value}, questions).verdict
        if verdict != now and not _has(found, {key}, verdict):
            found.append(_flip({key: value}, verdict, answers, questions))
    singles = {key for flip in found for key in flip.changes}
    work = [(key, value) for key, value in _alternatives(answers, questions) if key in _READY]
    for (one, first), (other, second) in combinations(work, 2):
        if one == other or one in singles or other in singles:
            continue
        verdict = decide({**answers, one: first, other: second}, questions).verdict
        if verdict != now and not _has(found, {one, other}, verdict):
            found.append(_flip({one: first, other: second}, verdict, answers, questions))
    found.sort(key=lambda flip: (not flip.by_work, len(flip.changes)))
    return found[:_MOST_FLIPS]


def _has(found: list[Flip], keys: set[str], verdict: Verdict) -> bool:
    return any(set(flip.changes) == keys and flip.verdict == verdict for flip in found)


def _alternatives(answers: Answers, questions: Questions) -> Iterator[tuple[str, Answer]]:
    """Other answers to each question, the nearest counts first; where work changes them, only those it leads to."""
    for question in questions.questions:
        given = answers[question.key]
        values = values_of(question, questions)
        if question.unit and isinstance(given, int):
            values.sort(key=lambda value: abs(int(value) - given))
        for value in values:
            if not same(value, given) and _leads_on(question, value, given):
                yield question.key, value


def _leads_on(question: Question, value: Answer, given: Answer) -> bool:
    """Whether `value` may follow: nobody plans for fewer examples, or to un-try a prompt."""
    if question.key not in _READY:
        return True
    if question.unit:
        return not isinstance(given, int) or (isinstance(value, int) and value > given)
    values = [option.value for option in question.options]
    if given not in values or question.key in ("corpus", "base_ok_with_context", "training_route"):
        return bool(question.options[values.index(value)].then)
    return values.index(value) > values.index(given)


def _flip(changes: dict[str, Answer], verdict: Verdict, answers: Answers, questions: Questions) -> Flip:
    says = " and ".join(_says(key, value, answers, questions) for key, value in changes.items())
    return Flip(changes, verdict, says, all(key in _READY for key in changes))


def _says(key: str, value: Answer, answers: Answers, questions: Questions) -> str:
    given = answers[key]
    if key == "labelled_examples" and isinstance(value, int):
        return f"with {value - (given if isinstance(given, int) else 0)} more labelled examples"
    question = questions.question(key)
    option = question.option(value)
    if option is not None and option.then:
        return option.then
    words = option.says if option is not None else f"{value:,} {question.unit}"
    return f'if "{question.asks}" were answered "{words}"'
