"""The decision on one page of Markdown, to be read, printed or committed."""

from collections.abc import Iterator
from datetime import date

from finetui_core.decide.answers import Answers
from finetui_core.decide.explain import Explained
from finetui_core.decide.next_steps import next_steps
from finetui_core.decide.questions import UNKNOWN, Question, Questions
from finetui_core.decide.rule import Verdict

NAMES: dict[Verdict, str] = {
    "prompt_first": "a better prompt first",
    "rag": "retrieval",
    "fine_tune": "fine-tuning",
    "both": "fine-tuning with retrieval",
    "not_yet": "not yet",
}
CLARITY = {
    "close": "a close call: measure before you build",
    "fair": "fairly clear",
    "clear": "clear",
}
_LARGEST = 2


def headline(explained: Explained) -> str:
    """The verdict in one sentence."""
    decision = explained.decision
    return f"{NAMES[decision.verdict].capitalize()}: {decision.because} ({CLARITY[explained.clarity]})."


def scores(explained: Explained, questions: Questions) -> list[str]:
    """Each need with its points, its threshold, and what gives most of them."""
    lines = []
    for need, words, least in (
        ("context", "Need for context", questions.thresholds.context),
        ("behaviour", "Need for behaviour", questions.thresholds.behaviour),
    ):
        given = [one for one in explained.contributions if one.need == need]
        total = sum(one.points for one in given)
        largest = "; ".join(f"+{one.points} {one.says}" for one in given[:_LARGEST])
        lines.append(f"{words} {total}, of {least} from which it counts{f': {largest}' if largest else ''}")
    return lines


def answered(question: Question, answers: Answers) -> str:
    """The answer in words."""
    answer = answers[question.key]
    if answer == UNKNOWN:
        return "not known"
    option = question.option(answer)
    return option.says if option else f"{answer:,} {question.unit}"


def page(answers: Answers, explained: Explained, questions: Questions, today: date) -> str:
    return "\n".join(_lines(answers, explained, questions, today)) + "\n"


def _lines(answers: Answers, explained: Explained, questions: Questions, today: date) -> Iterator[str]:
    yield from ("# Should this be fine-tuned?", "", f"{today.isoformat()}. **{headline(explained)}**", "")
    yield from (f"- {line}" for line in scores(explained, questions))
    if explained.can_change:
        asks = "; ".join(questions.question(key).asks for key in explained.can_change)
        yield f"- Not answered, and could change the verdict: {asks}"
    if explained.flips:
        yield from ("", "## What would change it", "")
        yield from (f"- {NAMES[flip.verdict].capitalize()} {flip.says}." for flip in explained.flips)
    yield from ("", "## What to do next", "")
    for number, step in enumerate(next_steps(explained.decision, answers, questions), 1):
        yield f"{number}. {step.says}{f' `{step.command}`' if step.command else ''}"
    yield from ("", "## The answers", "", "| question | answer | points | source |", "|---|---|---|---|")
    asked = {question.key for question in questions.questions}
    for question in questions.questions:
        given = [one for one in explained.contributions if one.key == question.key]
        weight = ", ".join(f"{one.need} +{one.points}" for one in given)
        source = given[0].source if given else question.source
        yield f"| {question.asks} | {answered(question, answers)} | {weight} | {source} |"
    beside = [one for one in explained.contributions if one.key not in asked]
    for one in beside:
        yield f"| What a shorter prompt saves | {one.says} | {one.need} +{one.points} | {one.source} |"
    yield from ("", f"## Sources (as of {questions.as_of})", "")
    yield from (f"- {key}: {says}" for key, says in questions.sources.items())
    yield ""
    yield "The rule adds points and opens gates; it has been held against 24 situations, and it measures nothing."
    yield "Measure on your own held-out rows before you rely on it."
