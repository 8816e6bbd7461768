"""Where the lines of a pager come from: rows in memory, or a text file of any size."""

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar, overload

from finetui.widgets.plot import Row
from finetui_core.secrets import redact

LONGEST = 8192
"""Bytes of a file that are taken as one line at most."""
_PIECE = 1 << 20
_COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")

Thing = TypeVar("Thing")
Line = tuple[int, Row]
"""Where a line begins (a number that grows from line to line), and its text."""


class Source(Protocol):
    """Lines that can be reached from any of them, without counting those before it."""

    def fit(self, width: int) -> None:
        """The lines will be shown in `width` cells."""

    def end(self) -> int:
        """The place after the last line."""

    def after(self, place: int, most: int) -> list[Line]:
        """The lines from `place` on."""

    def before(self, place: int, most: int) -> list[Line]:
        """The last lines that begin before `place`."""

    def find(self, text: str, place: int, step: int, stop: Callable[[], bool]) -> int | None:
        """The nearest line beyond `place`, forwards (1) or backwards (-1), that holds `text`."""


class MadeRows(Sequence[Row]):
    """A row for each of many things, made when it is looked at."""

    def __init__(self, things: Sequence[Thing], make: Callable[[Thing], Row]) -> None:
        self._things, self._make = things, make

    def __len__(self) -> int:
        return len(self._things)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        if isinstance(place, slice):
            return [self._make(thing) for thing in self._things[place]]
        return self._make(self._things[place])


class Rows:
    """Rows in memory; `build` makes them for a width."""

    def __init__(self, build: Callable[[int], Sequence[Row]]) -> None:
        self._build = build
        self._rows: Sequence[Row] = ()

    def fit(self, width: int) -> None:
        self._rows = self._build(width)

    def end(self) -> int:
        return len(self._rows)

    def after(self, place: int, most: int) -> list[Line]:
        return [(at, self._rows[at]) for at in range(place, min(place + most, len(self._rows)))]

    def before(self, place: int, most: int) -> list[Line]:
        return self.after(max(0, place - most), min(most, place))

    def find(self, text: str, place: int, step: int, stop: Callable[[], bool]) -> int | None:
        wanted, fold = _pattern(text)
        places = range(place + 1, len(self._rows)) if step > 0 else range(place - 1, -1, -1)
        for at in places:
            line = "".join(part for part, _ in self._rows[at])
            if wanted in (line.lower() if fold else line):
                return at
        return None


class TextFile:
    """The lines of a file that may grow. A place is a byte offset, so that a file of any size opens at once.

    Of a line that was written over with carriage returns, as progress bars are, the last text is shown.
    Bytes that are no UTF-8 and colour codes are made readable. A file that cannot be read says so in a line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def fit(self, width: int) -> None:
        return None

    def end(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def after(self, place: int, most: int) -> list[Line]:
        lines: list[Line] = []
        content, start = b"", place
        while len(lines) < most:
            end = content.find(b"\n", 0, LONGEST)
            if end < 0 and len(content) < LONGEST:
                more, trouble = self._read(start + len(content), LONGEST * 4)
                if trouble and not lines:
                    return [(0, ((trouble, "bad"),))]
                if not more:
                    return [*lines, (start, _row(content))] if content else lines
                content += more
                continue
            size = LONGEST if end < 0 else end + 1
            lines.append((start, _row(content[:size])))
            content, start = content[size:], start + size
        return lines

    def before(self, place: int, most: int) -> list[Line]:
        lines: list[Line] = []
        while place > 0 and len(lines) < most:
            first = max(0, place - LONGEST)
            content, trouble = self._read(first, place - first)
            if trouble or not content:
                return [(0, ((trouble, "bad"),))] if trouble else lines
            at = content.rfind(b"\n", 0, len(content) - 1) + 1
            lines.insert(0, (first + at, _row(content[at:])))
            place = first + at
        return lines

    def find(self, text: str, place: int, step: int, stop: Callable[[], bool]) -> int | None:
        wanted, fold = _pattern(text)
        pattern = wanted.encode("utf-8", "replace")
        edge = place
        if step > 0:
            edge = next((start for start, _ in self.after(place, 2)[1:]), self.end())
        while not stop():
            first = edge if step > 0 else max(0, edge - _PIECE)
            last = edge + _PIECE if step > 0 else edge
            across = last + len(pattern) - 1  # what is looked for may lie across the end of a piece
            content, _ = self._read(first, (across if step > 0 else min(across, place)) - first)
            found = _search(content.lower() if fold else content, pattern, step)
            if found >= 0:
                return self._line_start(first + found)
            edge = last if step > 0 else first
            if not content or edge <= 0 or edge >= self.end():
                return None
        return None

    def _line_start(self, place: int) -> int:
        first = max(0, place - LONGEST)
        content, _ = self._read(first, place - first)
        return first + content.rfind(b"\n") + 1

    def _read(self, place: int, size: int) -> tuple[bytes, str]:
        """Bytes of the file, and a sentence on why there are none."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            return b"", f"cannot read {self._path}: {error.strerror}"
        try:
            return os.pread(descriptor, size, place), ""
        except OSError as error:
            return b"", f"cannot read {self._path}: {error.strerror}"
        finally:
            with suppress(OSError):
                os.close(descriptor)


def _row(line: bytes) -> Row:
    text = redact(_COLOUR_CODES.sub("", line.decode("utf-8", "backslashreplace").rstrip("\r\n")))
    return ((" ", ""), (text.rpartition("\r")[2], ""))


def _search(content: bytes, pattern: bytes, step: int) -> int:
    return content.find(pattern) if step > 0 else content.rfind(pattern)


def _pattern(text: str) -> tuple[str, bool]:
    """What to look for, and whether capitals do not matter: they do once the text has one."""
    return (text, False) if text != text.lower() else (text.lower(), True)


def highlighted(row: Row, text: str) -> Row:
    """`row` with each place that holds `text` in reverse."""
    wanted, fold = _pattern(text)
    spans = []
    for part, style in row:
        searched = part.lower() if fold and len(part.lower()) == len(part) else part
        start = 0
        while wanted and (at := searched.find(wanted, start)) >= 0:
            spans += [(part[start:at], style), (part[at : at + len(wanted)], "cursor")]
            start = at + len(wanted)
        spans.append((part[start:], style))
    return tuple(span for span in spans if span[0])
