"""Any row of a file on demand, at any size: a sparse index of where rows begin, built slice by slice.

Nothing is mapped into memory: a mapped file that another machine shortens ends the process that looks at it.
"""

import os
import threading
import time
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import msgspec

from finetui_core.data.json_lines import BYTE_ORDER_MARK
from finetui_core.data.readers import RawRow, form_of, read_rows
from finetui_core.errors import InputError, Problem

MOST_BYTES = 4 << 20
"""Of a longer row only the beginning is given."""
MOST_HELD_BYTES = 128 << 20
"""Of a file that cannot be read from any place (CSV, Parquet, a JSON list, text) so much is kept in memory."""
_BLOCK = 1 << 18
_EVERY = 64  # rows between two places of the index, where a block holds more of them
_SPANS_KEPT = 8
_MARGIN = (
    4096  # bytes at the start and before the indexed end that tell whether a grown file is still the same
)


@dataclass(frozen=True, slots=True)
class RowText:
    """One row as JSON text. `row` counts from 0, `line` from 1; `size` is that of all of it.

    `fault` says why a row could not be read, where the reader already knows.
    """

    row: int
    line: int
    raw: bytes
    size: int
    fault: str = ""

    @property
    def is_cut(self) -> bool:
        return len(self.raw) < self.size


class RowFile(Protocol):
    """The rows of one file, of which more become known with each call of `read_more`."""

    @property
    def path(self) -> Path: ...

    @property
    def size(self) -> int:
        """Bytes of the file."""

    @property
    def seen(self) -> int:
        """Bytes in which the rows are already known."""

    @property
    def rows(self) -> int:
        """How many rows are already known."""

    @property
    def limit(self) -> str:
        """Why not all rows can be shown; "" where they can."""

    @property
    def complete(self) -> bool:
        """Whether all rows are known."""

    def read_more(self, seconds: float) -> None:
        """Get to know more rows. Raises OSError or InputError where the file cannot be read any more."""

    def row(self, number: int) -> RowText | None:
        """The row `number`; None where it is not known. Raises OSError."""

    def change(self) -> str:
        """What has happened to the file since it was opened, as a sentence; "" where nothing did or it only grew."""

    def close(self) -> None:
        """Give the file back."""


def open_rows(source: str) -> RowFile:
    """The rows of a file; the first ones are already known. Raises InputError where it is unusable."""
    form = form_of(source)
    reader = read_rows(source)
    try:
        file: RowFile = LineFile(Path(source)) if form == "lines" else HeldFile(source, reader)
        file.read_more(0.0)
        first = file.row(0)
        if form == "lines" and first is not None and not first.is_cut and _is_broken(first.raw):
            next(reader, None)  # refuses a file that is one object over several lines
    except OSError as error:
        raise InputError(Problem(f"the file cannot be read: {error.strerror}", source)) from error
    return file


def _is_broken(raw: bytes) -> bool:
    try:
        msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return True
    return False


class LineFile:
    """A file with a row in each line that is not blank.

    Every block of the file, and every 64th row in it, has an entry in three arrays: the number of the first row that
    begins there, the byte where it begins, and its line.
    """

    limit = ""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(self._descriptor)
        self._identity = (status.st_dev, status.st_ino)
        self._changed = status.st_mtime_ns
        self.size = status.st_size
        self.seen = 0
        self._rows, self._offsets, self._lines = array("Q"), array("Q"), array("Q")
        self._whole_rows = self._whole_lines = 0
        self._begun, self._is_blank = 0, True  # the line that the seen bytes end in
        self._margins = (b"", b"")
        self._lock = threading.Lock()  # a search reads rows in a thread while others are drawn
        self._spans: dict[int, tuple[int, list[tuple[int, bytes, int]]]] = {}

    @property
    def rows(self) -> int:
        return self._whole_rows + (self.complete and not self._is_blank)

    @property
    def complete(self) -> bool:
        return self.seen >= self.size

    def read_more(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self.size = max(self.size, os.fstat(self._descriptor).st_size)
        while not self.complete:
            block = os.pread(self._descriptor, _BLOCK, self.seen)
            if not block:
                self.size = self.seen
                break
            self._take(block)
            if time.monotonic() >= until:
                break
        self._margins = self._read_margins(self.seen)

    def _take(self, block: bytes) -> None:
        first, *others = block.split(b"\n")
        start = self.seen
        self.seen += len(block)
        if not start:
            first = first.removeprefix(BYTE_ORDER_MARK)
        was_blank = self._is_blank and (not first or first.isspace())
        if not others:
            self._is_blank = was_blank
            return
        *whole, last = others
        second = start + block.index(b"\n") + 1
        starts = list(accumulate((len(line) + 1 for line in whole), initial=second))
        blanks = [was_blank, *(not line or line.isspace() for line in whole)]
        begins = [self._begun, *starts[:-1]]
        if any(blanks):
            kept = [at for at, blank in enumerate(blanks) if not blank]
        else:
            kept = list(range(len(blanks)))
        places = [
            *range(min(1, len(kept))),
            *range(1, len(kept), _EVERY),
        ]  # the first may be a long line's end
        chosen = [kept[place] for place in places]
        self._rows.extend(self._whole_rows + place for place in places)
        self._offsets.extend(begins[at] for at in chosen)
        self._lines.extend(self._whole_lines + at + 1 for at in chosen)
        self._whole_rows += len(kept)
        self._whole_lines += len(blanks)
        self._begun, self._is_blank = starts[-1], not last or last.isspace()

    def row(self, number: int) -> RowText | None:
        if not 0 <= number < self.rows:
            return None
        if number == self._whole_rows:  # the last line has no end
            size = self.seen - self._begun
            raw = os.pread(self._descriptor, min(size, MOST_BYTES), self._begun)
            return _row_text(number, self._whole_lines + 1, raw, size)
        place = bisect_right(self._rows, number) - 1
        with self._lock:
            span = self._span(place)
        within = number - self._rows[place]
        if within >= len(span):
            return None  # the file was changed in its place
        line, raw, size = span[within]
        return _row_text(number, line, raw, size)

    def _span(self, place: int) -> list[tuple[int, bytes, int]]:
        """(line, beginning, size) of the rows from one entry of the index to the next."""
        start = self._offsets[place]
        end = self._offsets[place + 1] if place + 1 < len(self._offsets) else self._begun
        kept = self._spans.get(place)
        if kept is not None and kept[0] == end:
            return kept[1]
        content = os.pread(self._descriptor, min(end - start, _BLOCK + MOST_BYTES), start)
        rows, at, line = [], 0, self._lines[place]
        while at < len(content):
            stop = content.find(b"\n", at)
            raw = content[at : stop if stop >= 0 else len(content)]
            if raw and not raw.isspace():
                rows.append((line, raw[:MOST_BYTES], len(raw) if stop >= 0 else end - start - at - 1))
            if stop < 0:
                break
            at, line = stop + 1, line + 1
        if len(self._spans) >= _SPANS_KEPT:
            self._spans.pop(next(iter(self._spans)), None)
        self._spans[place] = end, rows
        return rows

    def change(self) -> str:
        try:
            named = self.path.stat()
        except OSError:
            return "The file is no longer there"
        if (named.st_dev, named.st_ino) != self._identity:
            return "The file was replaced"
        if named.st_size < self.seen:
            return "The file has become shorter"
        if named.st_mtime_ns != self._changed:
            with suppress(OSError):
                if self._read_margins(self.seen) != self._margins:
                    return "The file was rewritten"
            self._changed = named.st_mtime_ns
            self.size = max(self.size, named.st_size)
        return ""

    def _read_margins(self, seen: int) -> tuple[bytes, bytes]:
        before = max(0, seen - _MARGIN)
        return (
            os.pread(self._descriptor, min(seen, _MARGIN), 0),
            os.pread(self._descriptor, seen - before, before),
        )

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._descriptor)
        self._descriptor = -1


def _row_text(number: int, line: int, raw: bytes, size: int) -> RowText:
    text = raw.removeprefix(BYTE_ORDER_MARK) if line == 1 else raw
    text = text.rstrip(b"\r\n") if len(raw) >= size else text
    return RowText(number, line, text, len(text) if len(raw) >= size else size)


class HeldFile:
    """The rows of a file that can only be read from its start, kept as JSON text up to a limit."""

    def __init__(self, source: str, reader: Iterator[RawRow | Problem]) -> None:
        self.path = Path(source)
        self.size = self.path.stat().st_size
        self._stamp = self._now()
        self._reader: Iterator[RawRow | Problem] | None = reader
        self._held: list[RowText] = []
        self._bytes = 0
        self.limit = ""

    @property
    def seen(self) -> int:
        """Only known at the end, since readers do not tell how far they are."""
        return self.size if self.complete else 0

    @property
    def rows(self) -> int:
        return len(self._held)

    @property
    def complete(self) -> bool:
        return self._reader is None

    def read_more(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._reader is not None:
            item = next(self._reader, None)
            if item is None:
                self._reader = None
                break
            text = self._text(item)
            self._held.append(text)
            self._bytes += len(text.raw) + 128
            if self._bytes > MOST_HELD_BYTES:
                self._reader = None
                self.limit = f"only the first {self.rows:,} rows: ftui data convert makes JSON lines of it"
            if time.monotonic() >= until and self.rows % _EVERY == 0:
                break

    def _text(self, item: RawRow | Problem) -> RowText:
        if isinstance(item, Problem):
            line = item.where.rpartition(":")[2]
            return RowText(self.rows, int(line) if line.isdigit() else 0, b"", 0, item.what)
        raw = msgspec.json.encode(item.value, enc_hook=str)
        return RowText(self.rows, item.number, raw[:MOST_BYTES], len(raw))

    def row(self, number: int) -> RowText | None:
        return self._held[number] if 0 <= number < self.rows else None

    def change(self) -> str:
        try:
            return "" if self._now() == self._stamp else "The file was changed"
        except OSError:
            return "The file is no longer there"

    def _now(self) -> tuple[int, int, int]:
        status = self.path.stat()
        return status.st_ino, status.st_size, status.st_mtime_ns

    def close(self) -> None:
        self._reader = None
