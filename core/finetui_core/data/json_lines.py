"""Lines of a file, and the object that each of them holds, in a memory that hostile files cannot exceed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from finetui_core.errors import Problem

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_ROW_BYTES = 16 << 20
"""A longer line, list element, cell or block of text is named and passed over: it is no row of training data.
A million tokens of text have a third of it."""
MAX_KEYS = 100_000
"""The keys of a row; a chat of 10,000 messages has a fifth of it."""
_FEW_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 20


def lines_of(file: BinaryIO, start: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes | None]]:
    """The lines that begin at the bytes from `start` to before `end`, each with the byte where it begins.

    A line longer than `MAX_ROW_BYTES` comes as None, and is never held whole.
    """
    at = start
    if start:
        file.seek(start - 1)
        at += _skip_line(file, MAX_ROW_BYTES if end is None else end - start + 1) - 1
    while end is None or at < end:
        line = file.readline(MAX_ROW_BYTES + 1)
        if not line:
            return
        if len(line) <= MAX_ROW_BYTES or line.endswith(b"\n"):
            yield at, line
            at += len(line)
        else:
            yield at, None
            at += len(line) + _skip_line(file)


def _skip_line(file: BinaryIO, at_most: int | None = None) -> int:
    """Pass over the rest of a line; the number of bytes passed, its end included."""
    passed = 0
    while at_most is None or passed < at_most:
        part = file.readline(_BLOCK_BYTES)
        passed += len(part)
        if not part or part.endswith(b"\n"):
            break
    return passed


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why some bytes are no row. `line` counts from 0 and `column` from 1 within them; 0 where it is not known."""

    what: str
    hint: str = ""
    line: int = 0
    column: int = 0

    def problem(self, path: Path, line: int, column: int = 1) -> Problem:
        """The same as a problem of a file, in which the bytes begin at `line` and `column`."""
        place = f"{path}:{line + self.line}"
        if self.column:
            place += f":{self.column + (0 if self.line else column - 1)}"
        return Problem(self.what, place, self.hint.replace("FILE", str(path)))


TOO_LONG = Unreadable(
    f"the row is longer than {MAX_ROW_BYTES >> 20} MiB",
    "Look whether line ends were lost; split the row, or remove it.",
)


def decoded(raw: bytes) -> dict[str, Any] | Unreadable:
    """One object from its JSON text."""
    if len(raw) > _FEW_BYTES and raw.count(b'":') > MAX_KEYS:  # each would take a hundred bytes of memory
        return Unreadable(f"the row has more than {MAX_KEYS:,} keys", "Remove it, or split it.")
    try:
        value = msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:
        return _explained(raw, error)
    if isinstance(value, dict):
        return value
    return Unreadable(f"the row is {_kind(value)}, not an object", 'Write each row as {"key": value, …}.')


def _kind(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _explained(raw: bytes, fault: Exception) -> Unreadable:
    """Read a bad row once more with the standard library, whose messages carry the column."""
    try:
        json.loads(raw.decode())
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        return not_utf8(before.count(b"\n"), error.start - before.rfind(b"\n"))
    except json.JSONDecodeError as error:
        hint = "Each row must be one whole JSON object."
        return Unreadable(f"not valid JSON: {error.msg}", hint, error.lineno - 1, error.colno)
    except RecursionError:
        return Unreadable("the row is nested too deeply")
    except ValueError as error:
        return Unreadable(f"not valid JSON: {error}")
    return Unreadable(
        f"not valid JSON: {fault}",
        "NaN, Infinity and half of a surrogate pair (\\ud83d alone) are not allowed in JSON.",
    )


def not_utf8(line: int, column: int) -> Unreadable:
    return Unreadable(
        "the text is not UTF-8", "If it is Latin-1, try: iconv -f LATIN1 -t UTF-8 FILE", line, column
    )
