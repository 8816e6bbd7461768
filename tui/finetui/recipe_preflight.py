"""What preflight says of the recipe, as lines of a list: the verdict, what would make it fit, memory, time, cost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from finetui.text import wrapped
from finetui.widgets.lines import wrapped_row
from finetui.widgets.plot import Row, Span
from finetui.widgets.table import Column, Record
from finetui_core import wording
from finetui_core.errors import InputError, first_line
from finetui_core.preflight.devices import find_device, this_machine
from finetui_core.preflight.figures import Fit, Knob, Report, RowLengths
from finetui_core.preflight.history import Compared
from finetui_core.preflight.report import Found, past_runs, quick
from finetui_core.recipe.defaults import default_max_length
from finetui_core.recipe.edit import set_value
from finetui_core.recipe.facts import Facts
from finetui_core.recipe.options import Recipe

LABEL_WIDTH = 9
PREFLIGHT_COLUMNS = (Column("", LABEL_WIDTH), Column("preflight", 20, most=200))
_KNOB = "knob "
_FITS: dict[Fit, tuple[str, str]] = {
    "fits": ("✓", "good"),
    "tight": ("▲", "warning"),
    "does_not_fit": ("✗", "bad"),
}
_FIT_WORDS: dict[Fit, str] = {"fits": "fits", "tight": "tight", "does_not_fit": "does not fit yet"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A recipe and the device it is asked about: "" for this machine, else as it was typed."""

    recipe: Recipe
    facts: Facts
    device: str
    faulty: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """`past` are the runs that calibrate, to be given again; `fault` says why there is no report."""

    asked: Asked
    report: Report | None
    past: Sequence[Compared]
    fault: str = ""


def answer(asked: Asked, root: Path, before: Answer | None) -> Answer:
    """Takes some milliseconds, and reads the past runs where no answer `before` has them. Never raises."""
    runs: Sequence[Compared] = before.past if before is not None else ()
    try:
        runs = past_runs(root) if before is None else runs
        device = find_device(asked.device) if asked.device else this_machine()
        found = Found(lengths=_lengths_still_known(asked, before))
        return Answer(
            asked, quick(asked.recipe, asked.facts, device, found=found, root=root, past=runs), runs
        )
    except InputError as error:
        return Answer(asked, None, runs, str(error.problems[0]))
    except Exception as error:  # in a thread of the screens nobody would hear of it
        return Answer(asked, None, runs, f"preflight failed: {type(error).__name__}: {first_line(error)}")


def _lengths_still_known(asked: Asked, before: Answer | None) -> RowLengths | None:
    """The lengths that a trace counted, while the same rows are read by the same model and none of them is cut."""
    lengths = before.report.lengths if before is not None and before.report is not None else None
    if before is None or lengths is None or not lengths.exact or _rows_of(asked) != _rows_of(before.asked):
        return None
    now, then = _longest_allowed(asked), _longest_allowed(before.asked)
    return lengths if now == then or (lengths.longest <= now and lengths.longest < then) else None


def _rows_of(asked: Asked) -> tuple[object, ...]:
    """What the tokens of the rows follow from, but for the length at which they are cut."""
    model, data = asked.recipe.model, asked.recipe.data
    uncut = data.model_copy(update={"packing": None, "max_length": None})
    return asked.facts, model.name, model.revision, model.chat_template, uncut


def _longest_allowed(asked: Asked) -> int:
    return asked.recipe.data.max_length or default_max_length(asked.facts.context_length)


def knob_of(report: Report, key: str) -> Knob | None:
    """The knob at a line of the list."""
    number = key.removeprefix(_KNOB)
    return report.knobs[int(number)] if key.startswith(_KNOB) and number.isdecimal() else None


def turned(text: str, knob: Knob) -> str:
    """The recipe with all changes of a knob. Raises InputError where one cannot be put in."""
    for change in knob.changes:
        text = set_value(text, change.table, change.key, change.value)
    return text


def verdict_rows(said: Answer | None, tracing: bool, width: int) -> list[Row]:
    """Whether it fits, and by what that is known."""
    if said is None or said.report is None:
        return [((" looking …", "muted"),)] if said is None else [((f" {said.fault}", "warning"),)]
    report = said.report
    rows: list[Row] = []
    if report.verdict is not None:
        mark, style = _FITS[report.verdict.fit]
        rows += wrapped_row(((f" {mark}  ", style), (report.verdict.says, style)), width)
    if tracing:
        return [*rows, ((" the model's own code runs on tensors without content …   t ends it", "accent"),)]
    if report.memory is None:
        return rows
    if report.memory.stage == "formula":
        return [*rows, ((" by the formula   t runs the model's own code", "muted"),)]
    return [*rows, ((f" by a {report.memory.stage} of {wording.duration(report.memory.seconds)}", "muted"),)]


def preflight_records(said: Answer | None, width: int) -> list[Record]:
    """All else, in lines wrapped to `width` cells; the first one of each knob has its key."""
    room = max(20, width - LABEL_WIDTH - 6)
    records: list[Record] = []
    for key, label, (text, style) in _lines(said):
        for part, line in enumerate(wrapped(text, room)):
            first = (label, "strong" if key else "muted") if part == 0 else ("", "")
            name = key if key and part == 0 else f"line {len(records)}"
            records.append(Record(name, (first, (line, style))))
    return records


def _lines(said: Answer | None) -> Iterator[tuple[str, str, Span]]:
    """Key, label and text."""
    report = said.report if said is not None else None
    if said is None or report is None:
        return
    for number, knob in enumerate(report.knobs):
        fit, style = _FIT_WORDS[knob.fit], _FITS[knob.fit][1]
        yield (
            f"{_KNOB}{number}",
            f"{number + 1:>2} enter",
            (f"{knob.name}: {wording.size(knob.peak)}, {fit}", style),
        )
        yield "", "", (f"costs {knob.costs}", "muted")
    device = report.device
    used = f", {wording.size(device.used)} of it in use" if device.used else ""
    yield "", "device", (f"{device.name}, {wording.size(device.memory)}{used}   D asks of another", "")
    yield from _peak_lines(report)
    if report.host_memory is not None:
        yield "", "host", (f"{wording.size(report.host_memory)} of the machine's memory", "")
    for label, part in (("disk", report.disk), ("time", report.duration), ("cost", report.cost)):
        if part is not None and part.says:
            yield "", label, (part.says, "")
    for note in report.notes:
        yield "", "note", (note, "muted")
    if said.asked.faulty:
        yield "", "note", ("an option with a fault counts as its default here", "warning")


def _peak_lines(report: Report) -> Iterator[tuple[str, str, Span]]:
    """The peak of each phase, largest part first."""
    if report.memory is None:
        return
    highest, _ = report.memory.highest
    for phase, kinds in report.memory.peaks.items():
        parts = sorted(((size, kind) for kind, size in kinds.items() if size), reverse=True)
        words = ", ".join(f"{kind} {wording.size(size)}" for size, kind in parts)
        style = "strong" if phase == highest else ""
        yield "", phase, (f"{wording.size(sum(kinds.values()))}: {words}", style)
