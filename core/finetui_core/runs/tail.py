"""Following a file of JSON lines while another process, perhaps on another host, appends to it."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

from finetui_core.runs.records import Record, decode_line

LONGEST_LINE = 1 << 22
"""Bytes after which a line that has not ended is given up: what a program without newlines writes is no record."""
_SLICE = 1 << 20  # bytes read at a time


class Tail:
    """Reads the new complete records of one file. Its cost is proportional to the new bytes.

    The file is opened anew for each read, which makes NFS ask its server. A file that was replaced or has
    become shorter is read from its start and counted in `restarts`. Lines that are no JSON object, or longer
    than LONGEST_LINE, are skipped and counted in `skipped`; a last line without newline waits for its end. A
    file that cannot be opened has no news. With `last`, the first read starts at most that many bytes before
    the end. `behind` counts the bytes that were there and not read.
    """

    def __init__(
        self,
        path: Path,
        last: int | None = None,
        decode: Callable[[bytes], Record | None] = decode_line,
    ) -> None:
        self.path = path
        self.skipped = 0
        self.restarts = 0
        self.behind = 0
        self._last = last
        self._decode = decode
        self._inode: int | None = None
        self._offset = 0
        self._rest = b""
        self._passes_over = False

    def read(self, most: int | None = None) -> list[Record]:
        """The records completed since the last call, in file order; of at most `most` bytes, if given."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            self.behind = 0
            return []
        try:
            status = os.fstat(descriptor)
            if self._inode is None:
                self._start(descriptor, status.st_size)
            elif status.st_ino != self._inode or status.st_size < self._offset:
                self.restarts += 1
                self._offset, self._rest, self._passes_over = 0, b"", False
            self._inode = status.st_ino
            end = status.st_size if most is None else min(status.st_size, self._offset + most)
            records = self._read_to(descriptor, end)
            failed = self._offset < end  # what cannot be read now is tried again, but not waited for
            self.behind = 0 if failed else status.st_size - self._offset
            return records
        except OSError:
            self.behind = 0
            return []
        finally:
            os.close(descriptor)

    def _start(self, descriptor: int, size: int) -> None:
        """Move to the first line that starts within the last bytes asked for."""
        if self._last is None or size <= self._last:
            return
        offset = size - self._last
        before, newline, _ = os.pread(descriptor, self._last + 1, offset - 1).partition(b"\n")
        self._offset = offset + len(before) if newline else size

    def _read_to(self, descriptor: int, size: int) -> list[Record]:
        records: list[Record] = []
        while self._offset < size:
            try:
                if self._passes_over:
                    self._offset = _next_data(descriptor, self._offset, size)
                piece = os.pread(descriptor, min(_SLICE, size - self._offset), self._offset)
            except OSError:  # the rest can be read later; what was read must not be lost
                break
            if not piece:
                break
            self._offset += len(piece)
            for line in self._lines(piece):
                record = self._decode(line)
                if record is not None:
                    records.append(record)
                elif line.strip():
                    self.skipped += 1
        return records

    def _lines(self, piece: bytes) -> list[bytes]:
        """The lines that end in `piece`, but for the end of one that is passed over."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if lines and self._passes_over:
            self._passes_over = False
            self.skipped += 1
            del lines[0]
        if len(self._rest) > LONGEST_LINE:
            self._passes_over, self._rest = True, b""
        return lines


def _next_data(descriptor: int, offset: int, size: int) -> int:
    """Where a file goes on after a hole, in which no line ends; it may have any size and takes no room."""
    try:
        return min(size, os.lseek(descriptor, offset, os.SEEK_DATA))
    except OSError as error:
        return size if error.errno == errno.ENXIO else offset


def read_records(path: Path) -> list[Record]:
    """All complete records of a file; none where it is missing."""
    return Tail(path).read()
