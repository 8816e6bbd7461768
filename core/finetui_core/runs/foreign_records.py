"""TFRecords: the frames in which TensorBoard's event files hold their messages, read past tears.

A record is the length of its payload (8 bytes), the masked CRC-32C of these 8 bytes, the payload, and its masked
CRC-32C (tensorflow/core/lib/io/record_writer.h; CRC-32C as in RFC 3720, B.4).
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

HEADER, FOOTER = 12, 4
LONGEST = 1 << 20
"""Longer payloads (pictures, graphs) are passed over unread, in bytes."""
_SLICE = 1 << 22
_MASK = 0xA282EAD8
_HEADER_LIKE = re.compile(rb"(?=(?!\0{4})[\s\S]{4}\0{4})")  # a length below 4 GiB, and not 0
_Verdict = Literal["whole", "partial", "bad"]


class RecordTail:
    """Reads the new records of one file; the cost is proportional to the new bytes.

    A record that is still being written is waited for. Bytes that are no record are skipped up to the next
    whole one, and each such place is counted in `tears`. A file that has become shorter is read anew and
    counted in `restarts`; `size` is what it was at the last read, in bytes. With `last`, the first read starts
    at most that many bytes before the end. `more` says that the last read stopped before the end, as asked.
    """

    def __init__(self, path: Path, last: int | None = None) -> None:
        self.path = path
        self.tears = 0
        self.restarts = 0
        self._last = last
        self._offset: int | None = None
        self.size = 0
        self.more = False

    def read(self, most: int | None = None) -> list[bytes]:
        """The payloads completed since the last call, in file order; none where the file cannot be read.

        With `most`, no further record is begun after that many bytes.
        """
        self.more = False
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return []
        try:
            size = os.fstat(descriptor).st_size
            if self._offset is None:
                self._start(descriptor, size)
            elif size < self.size:
                self.restarts += 1
                self._offset = 0
            self.size = size
            return list(self._payloads(descriptor, size, size if most is None else most))
        except OSError:
            return []
        finally:
            os.close(descriptor)

    def _start(self, descriptor: int, size: int) -> None:
        self._offset = 0
        if self._last is not None and size > self._last:
            data = os.pread(descriptor, self._last, size - self._last)
            self._offset = size - self._last + _next(data, 0)

    def _payloads(self, descriptor: int, size: int, most: int) -> Iterator[bytes]:
        offset = self._offset or 0
        stop = offset + most
        while size - offset >= HEADER:
            if offset >= stop:
                self.more = True
                break
            window = min(_SLICE, size - offset, stop - offset + HEADER + LONGEST + FOOTER)
            data = os.pread(descriptor, window, offset)
            if not data:
                break
            payloads, used = self._split(data, stop - offset)
            yield from payloads
            if not used:
                used = self._pass_over(descriptor, data, offset, size)
            if not used:
                break
            offset += used
            self._offset = offset

    def _split(self, data: bytes, most: int) -> tuple[list[bytes], int]:
        """The payloads that begin in the first `most` bytes of `data`, and how many bytes are dealt with."""
        payloads: list[bytes] = []
        at = 0
        while at < min(len(data), most):
            verdict, end = _judge(data, at)
            if verdict == "partial":
                break
            if verdict == "bad":
                self.tears += 1
                at = _next(data, at + 1)
                continue
            payloads.append(data[at + HEADER : end - FOOTER])
            at = end
        return payloads, at

    def _pass_over(self, descriptor: int, data: bytes, offset: int, size: int) -> int:
        """How far to go on past the unfinished record at the beginning of `data`; 0 to wait for its end."""
        length = _length(data, 0)
        if length is None:
            return 0
        end = HEADER + length + FOOTER
        if length > LONGEST and offset + end <= size:
            following = os.pread(descriptor, HEADER, offset + end)
            if len(following) < HEADER or _length(following, 0) is not None:
                return end
        torn = _next(data, 1, whole=True)
        if torn < len(data):
            self.tears += 1
            return torn
        return 0


def masked_crc(data: bytes) -> int:
    """CRC-32C, turned and shifted as TFRecords want it."""
    crc = 0xFFFFFFFF
    table = _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


def _table() -> tuple[int, ...]:
    entries = []
    for entry in range(256):
        for _ in range(8):
            entry = entry >> 1 ^ (0x82F63B78 if entry & 1 else 0)
        entries.append(entry)
    return tuple(entries)


_TABLE = _table()


def _length(data: bytes, at: int) -> int | None:
    """The length in the header at `at`; None where there is no valid header."""
    header = data[at : at + 8]
    if len(data) - at < HEADER or masked_crc(header) != int.from_bytes(data[at + 8 : at + HEADER], "little"):
        return None
    return int.from_bytes(header, "little")


def _judge(data: bytes, at: int) -> tuple[_Verdict, int]:
    """What is at `at`, and where it ends if it is a whole record. Longer ones than LONGEST stay "partial"."""
    if len(data) - at < HEADER:
        return "partial", at
    length = _length(data, at)
    if length is None:
        return "bad", at
    end = at + HEADER + length + FOOTER
    if length > LONGEST or end > len(data):
        return "partial", at
    if masked_crc(data[at + HEADER : end - FOOTER]) != int.from_bytes(data[end - FOOTER : end], "little"):
        return "bad", at
    return "whole", end


def _next(data: bytes, start: int, *, whole: bool = False) -> int:
    """Where the next record begins that is not bad, or is `whole`; what may become one, or the end, if none."""
    for found in _HEADER_LIKE.finditer(data, start):
        verdict, _ = _judge(data, found.start())
        if verdict == "whole" or (verdict == "partial" and not whole and len(data) - found.start() >= HEADER):
            return found.start()
    return len(data) if whole else max(start, len(data) - HEADER + 1)
