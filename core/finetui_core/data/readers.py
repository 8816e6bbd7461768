"""Files → raw rows, each with its line; faults carry the place where they are.

JSON is read by our own loop and not by a data-frame reader: those name no line for a bad row, and let through
rows that a trainer later drops. The stored bytes that were checked here are the ones that are trained on.
"""

import csv
import difflib
import json
import re
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from finetui_core.data import tables
from finetui_core.errors import InputError, Problem

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
HUB_PREFIX = "hub:"
_HEAD_BYTES = 65536
_SPACE = re.compile(r"[ \t\r\n]*")
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
}


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as it stands in the file. `number` is its line, or its row number (from 1) in a binary file."""

    number: int
    value: dict[str, Any]


def read_rows(source: str) -> Iterator[RawRow | Problem]:
    """Read the rows of a file, or of `hub:owner/name#split`, lazily and in order.

    The suffix decides: .parquet, .arrow, .feather, .csv, .tsv, .txt (a row per block of lines between blank
    lines); everything else is JSON, one object a line or one array of objects. Local files never touch the
    network. A row that cannot be read comes as a Problem in its place. Raises InputError where the file
    itself is unusable.
    """
    if source.startswith(HUB_PREFIX):
        return _numbered(tables.hub_rows(source.removeprefix(HUB_PREFIX)))
    path = Path(source)
    head = _checked_head(path)
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _numbered(tables.parquet_rows(path))
    if suffix in (".arrow", ".feather"):
        return _numbered(tables.arrow_rows(path))
    _refuse_other_encodings(head, path)
    if suffix in (".csv", ".tsv"):
        return _read_csv(path, "\t" if suffix == ".tsv" else ",")
    if suffix == ".txt":
        return _read_blocks(path)
    if head.removeprefix(BYTE_ORDER_MARK).lstrip().startswith(b"["):
        return _read_array(path)
    return _read_lines(path)


def _numbered(values: Iterator[dict[str, Any]]) -> Iterator[RawRow]:
    return (RawRow(number, value) for number, value in enumerate(values, 1))


def _unusable(path: Path, what: str, hint: str) -> InputError:
    return InputError(Problem(what, str(path), hint))


def _checked_head(path: Path) -> bytes:
    """The first bytes of a regular, readable file that is not empty. Raises InputError otherwise."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise _unusable(path, "this is a folder, not a file", "Name one file inside it.")
        if not stat.S_ISREG(status.st_mode):
            raise _unusable(
                path,
                "this is a pipe or a device, not a file",
                "Save the rows to a file first: they are read twice.",
            )
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except PermissionError as error:
        raise _unusable(path, "no permission to read this file", f"Try: chmod u+r {path}") from error
    except (OSError, ValueError) as error:
        raise _unusable(path, _reason(error), _nearest(path)) from error
    if not head:
        raise _unusable(path, "the file is empty", "Check that whatever wrote it has finished.")
    return head


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "there is no such file"
    return f"the file cannot be read: {getattr(error, 'strerror', None) or error}"


def _nearest(path: Path) -> str:
    """What the missing file was probably meant to be."""
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except (OSError, ValueError):
        is_hub_id = len(path.parts) == 2 and not path.suffix
        return (
            f'For a hub data set write "hub:{path}".' if is_hub_id else f"There is no folder {path.parent}."
        )
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"Did you mean {path.parent / near[0]}?" if near else f"Look in {path.parent.absolute()}."


def _refuse_other_encodings(head: bytes, path: Path) -> None:
    """Raise InputError for what is not UTF-8 text: packed files, UTF-16, misnamed tables, binaries."""
    for magic, kind in _PACKED.items():
        if head.startswith(magic):
            raise _unusable(
                path, f"the file is packed with {kind}", "Unpack it first and name the unpacked file."
            )
    if head.startswith(b"PAR1"):
        raise _unusable(path, "the file is a Parquet table", "Rename it so that its name ends in .parquet.")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _unusable(
            path,
            "the text is UTF-16, and must be UTF-8",
            f"Try: iconv -f UTF-16 -t UTF-8 {path} > utf8.jsonl",
        )
    first_line = head.split(b"\n", 1)[0]
    if b"\0" in first_line:
        raise _unusable(
            path, "the file is binary, not text", "Rows must be UTF-8 text, or a .parquet or .arrow file."
        )


def _read_lines(path: Path) -> Iterator[RawRow | Problem]:
    rows = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            stripped = (line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line).strip()
            if not stripped:
                continue
            row = _decoded(stripped, path, number)
            if rows == 0 and isinstance(row, Problem) and stripped.startswith(b"{"):
                _refuse_one_object(path)
            rows += 1
            yield row


def _decoded(raw: bytes, path: Path, line: int) -> RawRow | Problem:
    """One object from its JSON text, which begins at `line`."""
    try:
        value = msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:
        return _explained(raw, path, line, error)
    if not isinstance(value, dict):
        return Problem(
            f"the row is {_kind(value)}, not an object",
            f"{path}:{line}",
            'Write each row as {"key": value, …}.',
        )
    return RawRow(line, value)


def _kind(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _explained(raw: bytes, path: Path, line: int, fault: Exception) -> Problem:
    """Read a bad row once more with the standard library, whose messages carry the column."""
    try:
        json.loads(raw.decode())
    except UnicodeDecodeError as error:
        return _not_utf8(path, line, error.start + 1)
    except json.JSONDecodeError as error:
        place = f"{path}:{line + error.lineno - 1}:{error.colno}"
        return Problem(f"not valid JSON: {error.msg}", place, "Each line must be one whole JSON object.")
    except RecursionError:
        return Problem("the row is nested too deeply", f"{path}:{line}")
    except ValueError as error:
        return Problem(f"not valid JSON: {error}", f"{path}:{line}")
    return Problem(
        f"not valid JSON: {fault}",
        f"{path}:{line}",
        "NaN, Infinity and half of a surrogate pair (\\ud83d alone) are not allowed in JSON.",
    )


def _not_utf8(path: Path, line: int, column: int) -> Problem:
    return Problem(
        "the text is not UTF-8",
        f"{path}:{line}:{column}",
        f"If it is Latin-1, try: iconv -f LATIN1 -t UTF-8 {path}",
    )


def _refuse_one_object(path: Path) -> None:
    """Raise InputError if the whole file is one object over several lines, which is not a list of rows."""
    try:
        whole = msgspec.json.decode(path.read_bytes().removeprefix(BYTE_ORDER_MARK))
    except (ValueError, RecursionError):
        return
    if not isinstance(whole, dict):
        return
    lists = [key for key, value in whole.items() if isinstance(value, list)]
    if len(lists) == 1:
        hint = f'Save the list under "{lists[0]}" by itself: jq -c \'."{lists[0]}"[]\' {path} > rows.jsonl'
    else:
        hint = f"Write one row a line, or one list of rows: jq -c . {path} > rows.jsonl"
    raise _unusable(path, "the file is one JSON object, not a list of rows", hint)


def _read_array(path: Path) -> Iterator[RawRow | Problem]:
    """The elements of one JSON array. Memory: the file's text and one element at a time."""
    raw = path.read_bytes().removeprefix(BYTE_ORDER_MARK)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        raise InputError(
            _not_utf8(path, before.count(b"\n") + 1, len(before) - before.rfind(b"\n"))
        ) from error
    del raw
    decoder = json.JSONDecoder()
    line, counted = 1, 0
    position = _after_space(text, text.index("[") + 1)
    if text[position : position + 1] == "]":
        yield from _nothing_after(text, position + 1, path)
        return
    while True:
        line, counted = line + text.count("\n", counted, position), position
        try:
            _, end = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            yield _broken_array(text, error.pos, error.msg, path)
            return
        except (ValueError, RecursionError) as error:
            yield _broken_array(text, position, str(error), path)
            return
        yield _decoded(text[position:end].encode(), path, line)
        position = _after_space(text, end)
        delimiter = text[position : position + 1]
        if delimiter == "]":
            yield from _nothing_after(text, position + 1, path)
            return
        if delimiter != ",":
            yield _broken_array(text, position, "Expecting ',' or ']'", path)
            return
        position = _after_space(text, position + 1)


def _after_space(text: str, position: int) -> int:
    matched = _SPACE.match(text, position)
    return matched.end() if matched else position


def _nothing_after(text: str, position: int, path: Path) -> Iterator[Problem]:
    rest = _after_space(text, position)
    if rest < len(text):
        yield _broken_array(text, rest, "something follows the end of the list", path)


def _broken_array(text: str, position: int, reason: str, path: Path) -> Problem:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return Problem(
        f"not valid JSON: {reason}",
        f"{path}:{line}:{column}",
        "The rows from this place on could not be read.",
    )


def _text_lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield (line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line).decode()
            except UnicodeDecodeError as error:
                raise InputError(_not_utf8(path, number, error.start + 1)) from error


def _read_blocks(path: Path) -> Iterator[RawRow]:
    """Plain text: the lines between blank lines are one document."""
    block: list[str] = []
    for number, line in enumerate(_text_lines(path), 1):
        if line.strip():
            block.append(line)
        elif block:
            yield RawRow(number - len(block), {"text": "".join(block).strip("\r\n")})
            block = []
    if block:
        yield RawRow(number - len(block) + 1, {"text": "".join(block).strip("\r\n")})


def _read_csv(path: Path, delimiter: str) -> Iterator[RawRow | Problem]:
    """A table with a header line; an empty cell is left out of its row."""
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(_text_lines(path), delimiter=delimiter, strict=True)
    started = 1
    header: list[str] | None = None
    try:
        for cells in reader:
            line, started = started, reader.line_num + 1
            if not cells:
                continue
            if header is None:
                header = cells
            elif len(cells) != len(header):
                yield Problem(
                    f"the row has {len(cells)} cells, and the header has {len(header)}",
                    f"{path}:{line}",
                    "Put cells that hold the delimiter or a line break in double quotes.",
                )
            else:
                yield RawRow(line, {key: cell for key, cell in zip(header, cells, strict=True) if cell})
    except csv.Error as error:
        yield Problem(
            f"not valid CSV: {error}", f"{path}:{started}", "The rows from this line on could not be read."
        )
