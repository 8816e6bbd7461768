"""The elements of a file that is one JSON array, in a memory of one element."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from finetui_core.data.json_lines import BYTE_ORDER_MARK, MAX_ROW_BYTES, TOO_LONG, Unreadable, decoded

_BLOCK_BYTES = 1 << 20
_SPACE = re.compile(rb"[ \t\r\n]*+")
_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+[\[\]{}]', re.DOTALL)
_SCALAR = re.compile(rb'(?:[^",\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+(?=[,\[\]{}])', re.DOTALL)
_REST_IS_LOST = "The rows from this place on could not be read."


@dataclass(frozen=True, slots=True)
class Element:
    """The bytes of one element, or what ended the reading. It begins at the byte `at` of the file, at `line` and
    `column`, which count from 1."""

    raw: bytes | Unreadable
    at: int
    line: int
    column: int


class _Text:
    """The part of the file that is held in memory: `raw` from the place `at` on is not read yet,
    `dropped` bytes of the file stand before it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        block = file.read(_BLOCK_BYTES)
        self.raw = block.removeprefix(BYTE_ORDER_MARK)
        self.dropped = len(block) - len(self.raw)
        self.at, self.line, self.column = 0, 1, 1

    def pass_to(self, place: int) -> bytes:
        """Go on to `place`; what was passed."""
        passed = self.raw[self.at : place]
        self.line += passed.count(b"\n")
        last_line = passed[passed.rfind(b"\n") + 1 :]
        self.column = len(last_line.decode(errors="replace")) + (1 if b"\n" in passed else self.column)
        self.at = place
        return passed

    def read_on(self) -> bool:
        """Hold more of the file, twice as much as now, so that a long element is looked through twice at most."""
        block = self._file.read(max(_BLOCK_BYTES, len(self.raw) - self.at))
        self.dropped += self.at
        self.raw, self.at = self.raw[self.at :] + block, 0
        return bool(block)

    def next_sign(self) -> bytes:
        """The next character that is no white space; b"" at the end of the file."""
        while True:
            space = _SPACE.match(self.raw, self.at)
            self.pass_to(space.end() if space else self.at)
            if self.at < len(self.raw):
                return self.raw[self.at : self.at + 1]
            if not self.read_on():
                return b""

    def element(self) -> bytes | Unreadable:
        """Pass the element that begins here. Nothing is passed where it has no end, or is too long."""
        is_nested = self.raw[self.at : self.at + 1] in (b"{", b"[")
        length = depth = 0
        while True:
            matched = (_BRACKET if is_nested else _SCALAR).match(self.raw, self.at + length)
            if matched:
                length = matched.end() - self.at
                if is_nested:
                    depth += 1 if self.raw[matched.end() - 1] in b"{[" else -1
                if depth == 0:
                    return self.pass_to(matched.end())
            elif len(self.raw) - self.at > MAX_ROW_BYTES:
                return TOO_LONG
            elif not self.read_on():
                unreadable = decoded(self.raw)
                return unreadable if isinstance(unreadable, Unreadable) else Unreadable("the list has no end")


def elements_of(file: BinaryIO) -> Iterator[Element]:
    """The elements of the array that the file holds; the last one says why there are no more, if there should be."""
    text = _Text(file)
    text.next_sign()
    text.pass_to(text.at + 1)
    if text.next_sign() != b"]":
        while True:
            sign = text.next_sign()
            at, line, column = text.dropped + text.at, text.line, text.column
            raw = text.element() if sign != b"]" else decoded(b"")
            if not isinstance(raw, bytes):
                assert isinstance(raw, Unreadable)
                yield _lost(raw, at, line, column)
                return
            yield Element(raw, at, line, column)
            sign = text.next_sign()
            if sign == b"]":
                break
            if sign != b",":
                fault = Unreadable("not valid JSON: Expecting ',' or ']'", column=1)
                yield _lost(fault, text.dropped + text.at, text.line, text.column)
                return
            text.pass_to(text.at + 1)
            text.next_sign()
    text.pass_to(text.at + 1)
    if text.next_sign():
        fault = Unreadable("not valid JSON: something follows the end of the list", column=1)
        yield _lost(fault, text.dropped + text.at, text.line, text.column)


def _lost(fault: Unreadable, at: int, line: int, column: int) -> Element:
    return Element(Unreadable(fault.what, _REST_IS_LOST, fault.line, fault.column), at, line, column)
