"""The file that the Data station shows: its rows are opened, and looked at by the rules, when they are drawn."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

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
        self._opened: _Kept[OpenedRow | None] = _Kept(self._open)
        self._hits: _Kept[Sequence[Hit]] = _Kept(self._look)

    def open(self, number: int) -> OpenedRow | None:
        """A row; None where the file no longer has it."""
        is_last = number == self.rows.rows - 1  # whoever writes the file may not be done with it
        return self._open(number) if is_last else self._opened.get(number)

    def _open(self, number: int) -> OpenedRow | None:
        try:
            text = self.rows.row(number)
        except OSError:
            return None
        return open_row(text, self.layout, self.source) if text is not None else None

    def hits(self, number: int) -> Sequence[Hit]:
        """What the rules of one row find in it, the gravest first."""
        is_last = number == self.rows.rows - 1
        return self._look(number) if is_last else self._hits.get(number)

    def _look(self, number: int) -> Sequence[Hit]:
        opened = self.open(number)
        if opened is None or opened.text.size > MOST_CHECKED_BYTES:
            return ()
        return sorted(hits_of(opened, self.layout), key=_grave)


def row_of(source: str, number: int) -> OpenedRow | None:
    """One row of another file; takes as long as it takes to read to it. Raises InputError and OSError."""
    file = DataFile(source)
    try:
        while number >= file.rows.rows and not file.rows.complete:
            file.rows.read_more(1.0)
        return file.open(number)
    finally:
        file.rows.close()


def _grave(hit: Hit) -> int:
    return SEVERITIES.index(RULES[hit.rule].severity) if hit.rule in RULES else len(SEVERITIES)


class _Kept(Generic[Thing]):
    """What was made of the last few rows; a screen and a search ask at the same time."""

    def __init__(self, make: Callable[[int], Thing]) -> None:
        self._make = make
        self._things: OrderedDict[int, Thing] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, number: int) -> Thing:
        with self._lock:
            if number in self._things:
                self._things.move_to_end(number)
                return self._things[number]
        made = self._make(number)
        with self._lock:
            self._things[number] = made
            if len(self._things) > _KEPT:
                self._things.popitem(last=False)
        return made
