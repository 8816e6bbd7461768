"""Files → raw rows, each with its line; faults carry the place where they are.

JSON is read by our own loop and not by a data-frame reader: those name no line for a bad row, and let through
rows that a trainer later drops. The stored bytes that were checked here are the ones that are trained on.
"""

import csv
import difflib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from finetui_core.data import tables
from finetui_core.data.json_array import elements_of
from finetui_core.data.json_lines import (
    BYTE_ORDER_MARK,
    MAX_ROW_BYTES,
    TOO_LONG,
    Unreadable,
    decoded,
    lines_of,
    not_utf8,
)
from finetui_core.errors import InputError, Problem

HUB_PREFIX = "hub:"
_HEAD_BYTES = 65536
MOST_COLUMNS = 10_000
MOST_CELL_LINES = 100_000
_SPARSE = 200
"""Times that a file may be larger than what it takes on the disk; file systems that compress reach a tenth of it."""
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
}

Form = Literal["hub", "parquet", "arrow", "csv", "tsv", "txt", "array", "lines"]


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
    form = form_of(source)
    path = Path(source)
    match form:
        case "hub":
            return _numbered(tables.hub_rows(source.removeprefix(HUB_PREFIX)))
        case "parquet" | "arrow":
            return _numbered(tables.table_rows(path, form))
        case "csv" | "tsv":
            return _read_csv(path, "\t" if form == "tsv" else ",")
        case "txt":
            return _read_blocks(path)
        case "array":
            return _read_array(path)
        case "lines":
            return _read_lines(path)


def form_of(source: str) -> Form:
    """How the rows are kept in the source. Raises InputError where it cannot be read."""
    if source.startswith(HUB_PREFIX):
        return "hub"
    path = Path(source)
    head = _checked_head(path)
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return "parquet"
    if suffix in (".arrow", ".feather"):
        return "arrow"
    _refuse_other_encodings(head, path)
    if suffix == ".csv":
        return "csv"
    if suffix == ".tsv":
        return "tsv"
    if suffix == ".txt":
        return "txt"
    return "array" if head.removeprefix(BYTE_ORDER_MARK).lstrip().startswith(b"[") else "lines"


def _numbered(values: Iterator[dict[str, Any] | Problem]) -> Iterator[RawRow | Problem]:
    return (
        value if isinstance(value, Problem) else RawRow(number, value)
        for number, value in enumerate(values, 1)
    )


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
            if _is_hollow(file.fileno(), status):
                raise _unusable(
                    path,
                    f"the file claims {status.st_size:,} bytes, and {512 * status.st_blocks:,} are on the disk",
                    "The rest is a hole, which reads as zero bytes: copy the file again.",
                )
    except PermissionError as error:
        raise _unusable(path, "no permission to read this file", f"Try: chmod u+r {path}") from error
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and path.is_symlink():
            raise _unusable(
                path, f"this is a link to {path.readlink()}, which does not exist", "Name the file itself."
            ) from error
        raise _unusable(path, _reason(error), _nearest(path)) from error
    if not head:
        raise _unusable(path, "the file is empty", "Check that whatever wrote it has finished.")
    return head


def _is_hollow(descriptor: int, status: os.stat_result) -> bool:
    """Whether a file is a hole for the most part, of which gigabytes cost whoever made it nothing.

    A file system that writes late reports too few blocks, but no hole.
    """
    few = status.st_size > _SPARSE * (512 * status.st_blocks + _HEAD_BYTES)
    return few and os.lseek(descriptor, 0, os.SEEK_HOLE) < status.st_size


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
        for number, (at, line) in enumerate(lines_of(file), 1):
            if line is None:
                yield TOO_LONG.problem(path, number)
                continue
            stripped = (line.removeprefix(BYTE_ORDER_MARK) if at == 0 else line).strip()
            if not stripped:
                continue
            value = decoded(stripped)
            if rows == 0 and isinstance(value, Unreadable) and stripped.startswith(b"{"):
                _refuse_one_object(path, stripped)
            rows += 1
            yield value.problem(path, number) if isinstance(value, Unreadable) else RawRow(number, value)


def _refuse_one_object(path: Path, first_line: bytes) -> None:
    """Raise InputError if the whole file is one object over several lines, which is not a list of rows."""
    hint = f"Write one row a line, or one list of rows: jq -c . {path} > rows.jsonl"
    if path.stat().st_size <= MAX_ROW_BYTES:
        try:
            whole = msgspec.json.decode(path.read_bytes().removeprefix(BYTE_ORDER_MARK))
        except (ValueError, RecursionError):
            return
        if not isinstance(whole, dict):
            return
        lists = [key for key, value in whole.items() if isinstance(value, list)]
        if len(lists) == 1:
            hint = (
                f'Save the list under "{lists[0]}" by itself: jq -c \'."{lists[0]}"[]\' {path} > rows.jsonl'
            )
    elif first_line != b"{":
        return
    raise _unusable(path, "the file is one JSON object, not a list of rows", hint)


def _read_array(path: Path) -> Iterator[RawRow | Problem]:
    with path.open("rb") as file:
        for element in elements_of(file):
            value = decoded(element.raw) if isinstance(element.raw, bytes) else element.raw
            if isinstance(value, Unreadable):
                yield value.problem(path, element.line, element.column)
            else:
                yield RawRow(element.line, value)


def _text_lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for number, (at, line) in enumerate(lines_of(file), 1):
            if line is None:
                raise InputError(TOO_LONG.problem(path, number))
            try:
                yield (line.removeprefix(BYTE_ORDER_MARK) if at == 0 else line).decode()
            except UnicodeDecodeError as error:
                raise InputError(not_utf8(0, error.start + 1).problem(path, number)) from error


def _read_blocks(path: Path) -> Iterator[RawRow | Problem]:
    """Plain text: the lines between blank lines are one document."""
    block: list[str] = []
    started = size = 0
    for number, line in enumerate(_text_lines(path), 1):
        if line.strip():
            started = started or number
            size += len(line)
            if size <= MAX_ROW_BYTES:
                block.append(line)
            else:
                block.clear()
        elif started:
            yield _block(block, path, started)
            block, started, size = [], 0, 0
    if started:
        yield _block(block, path, started)


def _block(lines: list[str], path: Path, started: int) -> RawRow | Problem:
    if not lines:
        return TOO_LONG.problem(path, started)
    return RawRow(started, {"text": "".join(lines).strip("\r\n")})


def _read_csv(path: Path, delimiter: str) -> Iterator[RawRow | Problem]:
    """A table with a header line; an empty cell is left out of its row."""
    csv.field_size_limit(MAX_ROW_BYTES)
    started = 1

    def lines() -> Iterator[str]:
        for number, line in enumerate(_text_lines(path), 1):
            if number - started > MOST_CELL_LINES:
                what = f"the row has more than {MOST_CELL_LINES:,} lines"
                hint = "Look for a double quote that is never closed."
                raise InputError(Problem(what, f"{path}:{started}", hint))
            yield line

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    try:
        for cells in reader:
            line, started = started, reader.line_num + 1
            if not cells:
                continue
            if header is None:
                header = cells
                if len(header) > MOST_COLUMNS:
                    what = f"the header has {len(header):,} columns, and the most that are read are {MOST_COLUMNS:,}"
                    raise InputError(Problem(what, f"{path}:{line}", "Keep the columns that hold text."))
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
