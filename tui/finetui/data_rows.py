"""What the Data station says: its rows, findings, histograms and title as lines of text."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import overload

from finetui.data_check import Check
from finetui.data_file import DataFile
from finetui.data_view import DataView
from finetui.launching import as_typed
from finetui.text import wrapped
from finetui.widgets.plot import Row, Span
from finetui.widgets.table import Column, Record
from finetui_core import wording
from finetui_core.data.check.catalogue import RULES
from finetui_core.data.check.findings import Found, Hit
from finetui_core.data.conversation import TextDocument
from finetui_core.data.mend.choice import fix_command
from finetui_core.data.row_filter import OpenedRow, without_secrets

ROW_COLUMNS = (
    Column("row", 8, right=True),
    Column("turns", 5, right=True),
    Column("size", 6, right=True),
    Column("roles", 6, most=9),
    Column("begins", 16, most=70),
    Column("found", 18, most=44),
)
FINDING_COLUMNS = (
    Column("", 9),
    Column("rows", 9, right=True),
    Column("share", 6, right=True),
    Column("finding", 24, most=60),
)
BAR_COLUMNS = (Column("", 18, right=True), Column("rows", 9, right=True), Column("", 10, most=60))
SIGNS: Mapping[str, Span] = {
    "error": ("✗ error", "bad"),
    "warning": ("! warning", "warning"),
    "info": ("· info", "muted"),
}
NO_MEND = "Only you can say what is right: enter shows the rows, e edits one."
NO_FILE: tuple[Row, ...] = (
    (
        ("  ", ""),
        (
            "Here you see the rows of a data set as the model sees them, what is wrong with them, and how to mend "
            "it. Press o to open a file of conversations or texts.",
            "",
        ),
    ),
    (),
    (("  Today, from a shell:", "muted"),),
    (("    ftui data check FILE", "strong"),),
    (("        ", ""), ("says what is wrong, with the rows", "")),
    (("    ftui data fix FILE -o NEW", "strong"),),
    (("        ", ""), ("mends what is safe to mend, into a new file", "")),
)
_BEGINNING = 400
_MOST_ROLES = 9


class RowRecords(Sequence[Record]):
    """A record for each of the rows `numbers`, made when it is drawn; `found` names the rules that are reported."""

    def __init__(
        self,
        file: DataFile,
        numbers: Sequence[int],
        found: Collection[str],
        others: Callable[[int], Sequence[str]],
    ):
        self._file, self.numbers, self._found, self._others = file, numbers, found, others

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> list[Record]: ...
    def __getitem__(self, place: int | slice) -> Record | list[Record]:
        if isinstance(place, slice):
            return [self._record(number) for number in self.numbers[place]]
        return self._record(self.numbers[place])

    def _record(self, number: int) -> Record:
        opened = self._file.open(number)
        if opened is None:
            gone: Span = ("the file no longer has this row", "bad")
            return Record(str(number), ((str(number), "muted"), ("", ""), ("", ""), ("", ""), gone, ("", "")))
        begins: Span = (opened.fault, "bad") if opened.row is None else (beginning(opened), "")
        return Record(
            str(number),
            (
                (str(number), "muted"),
                (str(opened.turns or "–"), ""),
                (wording.size(opened.text.size).replace(" ", ""), "muted"),
                (roles(opened), "muted"),
                begins,
                self._marks(number),
            ),
        )

    def _marks(self, number: int) -> Span:
        """The findings of the row, the gravest first; facts only where the check reports them."""
        rules = dict.fromkeys([*(hit.rule for hit in self._file.hits(number)), *self._others(number)])
        shown = [rule for rule in rules if rule in self._found or RULES[rule].severity != "info"]
        if not shown:
            return "", ""
        glyph, style = SIGNS[RULES[shown[0]].severity]
        return f"{glyph[0]} {', '.join(rule.replace('_', ' ') for rule in shown)}", style


def beginning(opened: OpenedRow) -> str:
    """The first words of a row in one line, without secrets."""
    return " ".join(without_secrets(opened.begins()[:_BEGINNING]).split())


def roles(opened: OpenedRow) -> str:
    """A letter for each turn: s, u, a, t."""
    if isinstance(opened.row, TextDocument):
        return "text"
    letters = "".join(role[0] for role in opened.roles)
    return letters if len(letters) <= _MOST_ROLES else f"{letters[: _MOST_ROLES - 1]}…"


def finding_records(found: Sequence[Found]) -> list[Record]:
    return [
        Record(
            one.rule,
            (
                SIGNS[one.severity],
                (f"{one.count:,}", ""),
                (share(one.share), "muted"),
                (RULES[one.rule].title if one.rule in RULES else one.rule, ""),
            ),
        )
        for one in found
    ]


def share(part: float) -> str:
    return (
        f"{part * 100:.0f} %"
        if part >= 0.1 or not part
        else f"{part * 100:.1f} %"
        if part >= 0.001
        else "<0.1 %"
    )


def title_rows(view: DataView, width: int) -> Sequence[Row]:
    """Which file it is, and how far the check and the search are."""
    file, check, shown = view.file, view.check, len(view.numbers)
    rows = file.rows
    counted = (
        "" if rows.complete else f" so far ({wording.percent(rows.seen / rows.size if rows.size else 1)})"
    )
    first: Row = (
        (f" {rows.path.name}", "strong"),
        (f"   {wording.size(rows.size)}   {rows.rows:,} rows{counted}   {file.layout or file.fault}", ""),
        (f"   {rows.limit}" if rows.limit else "", "warning"),
        ("   next: Recipe" if check.is_sound else "", "accent"),
        (f"   {rows.path.parent}", "muted"),
    )
    if view.change:
        said, style = f"{view.change}: r reads it again", "warning"
    elif not view.is_whole:
        fit = f"{shown:,} {'row fits' if shown == 1 else 'rows fit'}: {view.named}"
        said, style = "   ".join(part for part in (fit, view.searching) if part), "accent"
    else:
        said, style = check.words(), "bad" if check.fault else "muted"
    return first, *_wrapped(said, style, width)


def about_row(view: DataView, number: int, width: int, height: int) -> list[Row]:
    """What was found of the row under the cursor, or else what was found in the file."""
    opened = view.file.open(number)
    if opened is None:
        return []
    found = finding_rows(opened, view.file.hits(number), view.check)
    if found:
        return [(*row, ("  ", ""), *excerpt) for row, excerpt in found][:height]
    return _wrapped(view.check.words(), "muted", width)[:height]


def finding_rows(opened: OpenedRow, hits: Sequence[Hit], check: Check) -> list[tuple[Row, Row]]:
    """Each finding of a row: how grave it is, what it is and where; and what is there."""
    rows: list[tuple[Row, Row]] = []
    for hit in hits:
        where = f"  {hit.path}" if hit.path else ""
        rows.append(((*_named(hit.rule), (where, "muted")), ((hit.excerpt, ""),) if hit.excerpt else ()))
    of_row = {hit.rule for hit in hits}
    for name, example in check.examples_of(opened.text.row):
        if name not in of_row:
            double = check.double_of(opened.text.row)
            other = f"  {named_row(*double)}: d shows both" if double and example.other is not None else ""
            excerpt: Row = ((example.excerpt, ""),) if example.excerpt else ()
            rows.append(((*_named(name), (other, "muted")), excerpt))
    return rows


def named_row(file: str, row: int) -> str:
    """How a row is called, beside rows of the file that is open."""
    return f"row {row} of {Path(file).name}" if file else f"row {row}"


def _named(name: str) -> Row:
    rule = RULES[name]
    return (" ", ""), SIGNS[rule.severity], (f"  {rule.title}", "strong")


def about_finding(view: DataView, one: Found | None, width: int, height: int) -> list[Row]:
    """What the chosen finding is, what it costs, and what mends it."""
    if one is None:
        return []
    rule, listed = RULES[one.rule], len(view.check.rows_of(one.rule))
    examples = "" if listed >= one.count or not listed else f" Enter shows the first {listed:,} of them."
    command = fix_command(one.rule, as_typed(view.file.rows.path), "")
    mend = f"f mends it: {command}" if command else NO_MEND
    said: list[Span] = [
        (f"{rule.explains}{f' {one.note}' if one.note else ''}", ""),
        (f"{rule.costs}{examples}", "muted"),
        (mend, "accent"),
    ]
    rows: list[Row] = [
        (SIGNS[one.severity], (f"   {rule.title}   ", "strong"), (f"rule:{rule.name}", "muted"))
    ]
    explained, costs, mends = (_wrapped(text, style, width) for text, style in said)
    most = max(1, height - 1)
    lines = [*[*explained, *costs][: most - 1], *mends]
    return [((" ", ""), *rows[0]), *lines[:most]]


def _wrapped(text: str, style: str, width: int) -> list[Row]:
    return [((f" {line}", style),) for line in wrapped(text, max(8, width - 1))]
