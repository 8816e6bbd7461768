"""The answers, the verdict and its reasons as lines of the station Decide."""

from collections.abc import Mapping
from pathlib import Path

from finetui.decide_sheet import Sheet
from finetui.decide_view import State, View
from finetui.text import wrapped
from finetui.widgets.plot import Row
from finetui.widgets.table import Column, Record
from finetui_core.decide.page import NAMES, answered, headline
from finetui_core.decide.questions import Question, Questions
from finetui_core.decide.rule import Need

ANSWER_COLUMNS = (
    Column("question", 24, 46),
    Column("answer", 20, 60),
    Column("points", 6, right=True, above=90),
)
_NEEDS: tuple[Need, ...] = ("context", "behaviour")
_SAID: Mapping[State, str] = {
    "answered": "",
    "not known": "not known",
    "to be asked": "to be asked",
    "needless": "not asked: changes nothing",
}
_MOST_BAR = 30
_ONE_LINE = 120
"""Cells in which nearly every verdict has room in one line."""


def title_row(sheet: Sheet, view: View, width: int) -> Row:
    """The file, whether it is saved, and how far the questions are."""
    left = view.count("to be asked")
    spans = [(f" {sheet.name if sheet.opened else 'new answers'}", "strong")]
    if sheet.unsaved:
        spans.append(("   not saved", "warning"))
    spans.append((f"   {view.count('answered')} answered", "muted"))
    spans.append((f"   {left} more can change the verdict" if left else "   nothing more to ask", "muted"))
    if view.proposed.found and width >= _ONE_LINE:
        spans.append((f"   proposals from {Path(view.proposed.rows.train).name}", "accent"))
    return tuple(spans)


# The verdict.


def verdict_rows(view: View, width: int, compare: str, *, flip: bool) -> list[Row]:
    """The verdict and, once nothing more is to be asked, how clear it is and what would flip it; both needs against
    their thresholds; what was measured. While questions are asked, the height stays.

    `compare` is what the station is called with its key."""
    if not view.begun:
        rows = _wrapped_row("No verdict yet.", "Each answer brings it nearer.", "strong", "", width)
    elif view.asking:
        decision = view.explained.decision
        rows = _wrapped_row("So far:", f"{NAMES[decision.verdict]}: {decision.because}", "muted", "", width)
    else:
        rows = _wrapped_row("Verdict:", headline(view.explained), "muted", "strong", width)
    if len(rows) == 1 and width < _ONE_LINE:
        rows.append(())
    rows += [_bar(view, need, width) for need in _NEEDS]
    if flip and view.begun and not view.asking and view.explained.flips:
        first = view.explained.flips[0]
        rows += _wrapped_row("It would be", f"{NAMES[first.verdict]} {first.says}", "muted", "", width)
    return rows + _wrapped_row(
        *_measured(view, compare), "muted", "accent" if view.measured else "muted", width
    )


def _measured(view: View, compare: str) -> tuple[str, str]:
    found = view.measured
    if found is None:
        return "Not measured yet:", f"{compare} does that on your own rows"
    return f"Measured on {found.rows:,} rows:", found.says


def _wrapped_row(label: str, text: str, label_style: str, style: str, width: int) -> list[Row]:
    first, *more = wrapped(f"{label} {text}", max(20, width - 2))
    return [
        ((f" {first[: len(label)]}", label_style), (first[len(label) :], style)),
        *(((f"   {line}", style),) for line in more),
    ]


def _bar(view: View, need: Need, width: int) -> Row:
    """Filled up to the points, with a mark at the threshold; the numbers say the same."""
    decision, least = view.explained.decision, view.questions.thresholds
    points, from_on = getattr(decision, need), getattr(least, need)
    most = max(_most(view.questions, need), from_on, points)
    cells = max(8, min(_MOST_BAR, width - 45))
    filled, mark = round(points / most * cells), round(from_on / most * cells)
    bar = "█" * filled + "░" * (cells - filled)
    reached = points >= from_on
    style = "accent" if reached else "raw"
    return (
        (f" need for {need:<9} ", "muted"),
        (bar[:mark], style),
        ("│", "strong"),
        (bar[mark:], style),
        (f" {points:2}  ", "strong"),
        (
            f"counts: {from_on} or more" if reached else f"counts from {from_on} on",
            "" if reached else "muted",
        ),
    )


def _most(questions: Questions, need: Need) -> int:
    """The most points that all answers together can give."""
    given = sum(
        max((getattr(option, need) for option in one.options), default=0) for one in questions.questions
    )
    return given + (max(points for _, points in questions.economy.steps) if need == "behaviour" else 0)


# The answers.


def answer_records(view: View) -> list[Record]:
    """A line for each question: what was answered, and what that weighs."""
    return [_answer_record(view, question) for question in view.questions.questions]


def _answer_record(view: View, question: Question) -> Record:
    state = view.states[question.key]
    given = [one for one in view.explained.contributions if one.key == question.key]
    points = " ".join(f"+{one.points}{one.need[0].upper()}" for one in given)
    said = answered(question, view.answers) if state == "answered" else _SAID[state]
    style = {"answered": "", "not known": "warning", "to be asked": "accent", "needless": "muted"}[state]
    if state == "to be asked" and question.key in view.proposed.found:
        said = f"{said}; the data says: {answer_words(question, view)}"
    return Record(
        question.key, ((question.asks, "" if state != "needless" else "muted"), (said, style), (points, ""))
    )


def answer_words(question: Question, view: View) -> str:
    """What the data proposes, in words."""
    proposal = view.proposed.found[question.key]
    return answered(question, {question.key: proposal.answer})


def about_question(view: View, key: str) -> list[Row]:
    """All that is known of a question: what it is about, its answer, what that weighs, and from which source."""
    question = view.questions.question(key)
    said = answered(question, view.answers) if view.states[key] == "answered" else _SAID[view.states[key]]
    rows: list[Row] = [
        ((" ", ""), (question.asks, "strong")),
        ((" ", ""), (said, "accent")),
    ]
    given = [one for one in view.explained.contributions if one.key == key]
    rows += [
        ((f" +{one.points} {one.need}: ", "strong"), (_cited(view, one.source), "muted")) for one in given
    ]
    if proposal := view.proposed.found.get(key):
        rows.append(((" the data says: ", "accent"), (f"{answer_words(question, view)}: {proposal.why}", "")))
    rows.append(((" ", ""), (question.about, "")))
    if not given:
        rows.append(((" source: ", "muted"), (_cited(view, question.source), "muted")))
    return rows


def _cited(view: View, source: str) -> str:
    return "; ".join(view.questions.cited(source))
