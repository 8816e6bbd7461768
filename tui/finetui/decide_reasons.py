"""Why the verdict is what it is, what would change it and what to do next: lines that can be opened."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from finetui.decide_view import View
from finetui.widgets.plot import Row
from finetui.widgets.table import Column, Record
from finetui_core.decide.page import NAMES

REASON_COLUMNS = (Column("", 12), Column("why, and what to do", 20, 300))
Stations = Mapping[str, str]
"""What the stations are called with their keys, by name: "data" -> "3 Data"."""
COMPARE = "compare"


@dataclass(frozen=True, slots=True)
class Reason:
    """A line; `more` is told where it is chosen. Opened, it leads to a `station` or to a `question`."""

    lead: str
    says: str
    style: str = ""
    more: Sequence[str] = ()
    station: str = ""
    question: str = ""


def reasons(view: View, stations: Stations) -> list[Reason]:
    """What was measured, what to do next, what would flip the verdict, what gives points, what is not known."""
    if not view.begun:
        return list(_measured(view, stations))
    return [
        *_measured(view, stations),
        *_steps(view, stations),
        *_flips(view),
        *_points(view),
        *_unknown(view),
    ]


def _measured(view: View, stations: Stations) -> Iterator[Reason]:
    found, where = view.measured, stations[COMPARE]
    if found is None:
        return
    yield _heading(f"measured on {found.rows:,} rows")
    says = found.says
    if found.verdict is not None and view.begun and found.verdict != view.explained.decision.verdict:
        says += (
            f" The answers say {NAMES[view.explained.decision.verdict]}: what was measured counts for more."
        )
    yield Reason(where, says, "accent", (f"rows: {found.test_file}", *found.reasons), station=COMPARE)


def _steps(view: View, stations: Stations) -> Iterator[Reason]:
    yield _heading("what to do next")
    for number, step in enumerate(view.steps, 1):
        here = not step.station or step.station == "decide"
        more = (f"from a shell: {step.command}",) if step.command else ()
        lead = f"{number}." if here else f"{number}. {stations[step.station]}"
        yield Reason(lead, step.says, "", more, station="" if here else step.station)


def _flips(view: View) -> Iterator[Reason]:
    if view.explained.flips:
        yield _heading("what would change it")
    for flip in view.explained.flips:
        key = next(iter(flip.changes))
        kind = "Work can bring this about." if flip.by_work else "That would be another task."
        lead = "by work" if flip.by_work else "other task"
        yield Reason(lead, f"{NAMES[flip.verdict]} {flip.says}", "", (kind,), question=key)


def _points(view: View) -> Iterator[Reason]:
    if view.explained.contributions:
        yield _heading("what gives points")
    for one in view.explained.contributions:
        question = "requests_per_month" if one.key == "economy" else one.key
        more = [f"source: {source}" for source in view.questions.cited(one.source)]
        yield Reason(f"+{one.points} {one.need}", one.says, "", more, question=question)


def _unknown(view: View) -> Iterator[Reason]:
    keys = [key for key in view.explained.can_change if view.states[key] == "not known"]
    if keys:
        yield _heading("not known, and could change it")
    for key in keys:
        question = view.questions.question(key)
        yield Reason("not known", question.asks, "", (question.about,), question=key)


def _heading(text: str) -> Reason:
    return Reason("", text, "title")


def reason_records(found: Sequence[Reason]) -> list[Record]:
    return [
        Record(str(number), (("", ""), (f"── {one.says}", "accent")))
        if one.style == "title"
        else Record(str(number), ((one.lead, "strong"), (one.says, one.style)))
        for number, one in enumerate(found)
    ]


def about_reason(one: Reason, stations: Stations) -> list[Row]:
    """The whole sentence, where enter leads, and what stands behind it."""
    if one.style == "title":
        return []
    rows: list[Row] = [((" ", ""), (one.says, "strong"))]
    if one.station:
        rows.append(((" enter ", "strong"), (f"goes to {stations[one.station]}", "")))
    elif one.question:
        rows.append(((" enter ", "strong"), ("goes to the question", "")))
    return [*rows, *(((" ", ""), (text, "muted")) for text in one.more)]
