"""Where the line of each row stands in a file of JSON lines that another process may be writing."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from finetui_core.runs.tail import LONGEST_LINE

Line = TypeVar("Line", bound=msgspec.Struct)


class Place(msgspec.Struct, frozen=True):
    """What is read of a line of which only the place is wanted."""

    index: int


class LineIndex(Generic[Line]):
    """Finds the newest line of each row by its `index`, and gives each new line to `take`.

    It holds places, not texts, and reads only what is new. A file that was replaced or has become shorter is read
    from its start; `forget` is called before. Lines that are not of `kind`, or longer than LONGEST_LINE, are counted
    in `skipped`; a last line without its end waits for it.
    """

    def __init__(
        self, path: Path, kind: type[Line], take: Callable[[Line], object], forget: Callable[[], object]
    ) -> None:
        self.path = path
        self.skipped = 0
        self.unread = 0
        self.places: dict[int, tuple[int, int]] = {}
        self._decode = msgspec.json.Decoder(kind).decode
        self._take, self._forget = take, forget
        self._inode = 0
        self._offset = 0

    def read(self, most: int) -> bool:
        """Read at most so many new bytes, and the line that they end in; whether a line was found."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            self.unread = 0
            return self._begin(0) if self._offset else False
        try:
            status = os.fstat(descriptor)
            changed = False
            if status.st_ino != self._inode or status.st_size < self._offset:
                changed = self._begin(status.st_ino)
            content = os.pread(descriptor, max(most, 1), self._offset)
            if content and b"\n" not in content:
                content = os.pread(descriptor, LONGEST_LINE, self._offset)
            changed = self._lines(content) or changed
            self.unread = status.st_size - self._offset if changed else 0
            return changed
        except OSError:
            self.unread = 0
            return False
        finally:
            os.close(descriptor)

    def _begin(self, inode: int) -> bool:
        """Start over; whether something was known."""
        known = bool(self._offset)
        self._inode, self._offset, self.skipped = inode, 0, 0
        self.places = {}
        if known:
            self._forget()
        return known

    def _lines(self, content: bytes) -> bool:
        *lines, rest = content.split(b"\n")
        for line in lines:
            self._line(line)
            self._offset += len(line) + 1
        if len(rest) >= LONGEST_LINE:
            self.skipped += 1
            self._offset += len(rest)
            return True
        return bool(lines)

    def _line(self, line: bytes) -> None:
        try:
            one = self._decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.skipped += bool(line.strip())
            return
        self.places[one.index] = self._offset, len(line)  # type: ignore[attr-defined]
        self._take(one)

    def line(self, index: int) -> bytes | None:
        """The line of a row as it is written; None where there is none, or the file has changed."""
        place = self.places.get(index)
        if place is None:
            return None
        with suppress(OSError):
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                return os.pread(descriptor, place[1], place[0])
            finally:
                os.close(descriptor)
        return None
