"""The file that the Data station shows: its rows are opened, and looked at by the rules, when they are drawn."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeVar

from finetui_core.data.check.catalogue import RULES, SEVERITIES
from finetui_core.data.check.findings import Hit
from finetui_core.data.lines import open_rows
from finetui_core.data.row_filter import OpenedRow, hits_of, layout_of, open_row
from finetui_core.errors import InputError

MOST_CHECKED_BYTES = 256 << 10
"""A longer row is not looked at by the rules while it is drawn in a list."""
_KEPT = 400

Thing = TypeVar("Thing")


class DataFile:
    """Raises InputError where the file at `source` is unusable. `fault` says why its layout is not known."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.rows = open_rows(source)
        self.fault = ""
        try:
            self.layout = layout_of(self.rows)
        except InputError as error:
            self.layout, self.fault = "", error.problems[0].what
        self._opened: OrderedDict[int, OpenedRow | None] = OrderedDict()
        self._hits: OrderedDict[int, Sequence[Hit]] = OrderedDict()

    def open(self, number: int) -> OpenedRow | None:
        """A row; None where the file no longer has it."""
        return _kept(self._opened, number, self._open)

    def _open(self, number: int) -> OpenedRow | None:
        try:
            text = self.rows.row(number)
        except OSError:
            return None
        return open_row(text, self.layout, self.source) if text is not None else None

    def hits(self, number: int) -> Sequence[Hit]:
        """What the rules of one row find in it, the gravest first."""
        return _kept(self._hits, number, self._look)

    def _look(self, number: int) -> Sequence[Hit]:
        opened = self.open(number)
        if opened is None or opened.text.size > MOST_CHECKED_BYTES:
            return ()
        return sorted(hits_of(opened, self.layout), key=_grave)


def _grave(hit: Hit) -> int:
    return SEVERITIES.index(RULES[hit.rule].severity) if hit.rule in RULES else len(SEVERITIES)


def _kept(kept: OrderedDict[int, Thing], number: int, make: Callable[[int], Thing]) -> Thing:
    if number in kept:
        kept.move_to_end(number)
        return kept[number]
    kept[number] = made = make(number)
    if len(kept) > _KEPT:
        kept.popitem(last=False)
    return made
