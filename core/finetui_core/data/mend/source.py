"""The rows of a file as they stand in it, one at a time, so that what needs no mending is copied byte for byte."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from finetui_core.data.conversation import Row
from finetui_core.data.formats import CONVERTERS, sniff
from finetui_core.data.json_lines import BYTE_ORDER_MARK, MAX_ROW_BYTES, TOO_LONG, Unreadable, decoded
from finetui_core.data.readers import HUB_PREFIX, RawRow, form_of, read_rows
from finetui_core.errors import InputError, Problem

_SNIFFED = 100


@dataclass(frozen=True, slots=True)
class SourceRow:
    """`raw` are the bytes of the line, its end included, in JSONL; b"" in other files.

    `row` counts from 0 without blank lines, and is -1 for a blank line. `problem` is why there is no `value`. A
    line that is too long to be a row is not held: `raw` is its beginning, `rest` the number of bytes after it.
    """

    row: int
    line: int
    raw: bytes
    value: dict[str, Any] | None
    problem: Problem | None
    rest: int = 0

    def place(self, source: str) -> str:
        return f"{source}:{self.line}" if self.line else source


def is_json_lines(source: str) -> bool:
    """Whether rows can be copied as bytes: one JSON object a line. Raises InputError for unusable files."""
    return form_of(source) == "lines"


def refuse_hub(source: str) -> None:
    """Raise InputError for a data set that is no file here."""
    if source.startswith(HUB_PREFIX):
        hint = f"Save it as a file first: ftui data convert {source} --to messages -o rows.jsonl"
        raise InputError(Problem("only files can be mended", source, hint))


def source_rows(source: str, *, json_lines: bool) -> Iterator[SourceRow]:
    """Each row in order; in JSONL the blank lines too. Memory: one row.

    Raises InputError where the rest of a file could not be read: leaving it out in silence would be a loss.
    """
    if json_lines:
        yield from _lines(Path(source))
        return
    for row, item in enumerate(read_rows(source)):
        if isinstance(item, RawRow):
            yield SourceRow(row, item.number, b"", item.value, None)
        elif item.hint.startswith("The rows from this"):
            raise InputError(item)
        else:
            yield SourceRow(row, _line_of(item, source), b"", None, item)


def decoded_line(raw: bytes, source: str, row: int, line: int) -> SourceRow:
    """One line of a JSONL file as a row."""
    text = (raw.removeprefix(BYTE_ORDER_MARK) if line == 1 else raw).strip()
    if not text:
        return SourceRow(-1, line, raw, None, None)
    value = decoded(text)
    if isinstance(value, Unreadable):
        return SourceRow(row, line, raw, None, value.problem(Path(source), line))
    return SourceRow(row, line, raw, value, None)


def layout_of(source: str, *, json_lines: bool) -> str:
    """The layout of the first rows. Raises InputError when they fit none."""
    if json_lines:
        next(iter(read_rows(source)), None)  # refuses one object over several lines
    readable = (item.value for item in source_rows(source, json_lines=json_lines) if item.value is not None)
    values = list(islice(readable, _SNIFFED))
    if not values:
        raise InputError(Problem("no row of this file can be read", source, f"Try: ftui data check {source}"))
    return sniff(values, source)


def rows_of(source: str) -> Iterator[Row]:
    """The rows of a file that can be trained on, in order. Raises InputError where it cannot be used."""
    json_lines = is_json_lines(source)
    layout = layout_of(source, json_lines=json_lines)
    for item in source_rows(source, json_lines=json_lines):
        if item.value is not None:
            row = CONVERTERS[layout](item.value, item.place(source))
            if not isinstance(row, Problem):
                yield row


def regular_file(source: str) -> Path:
    """The path of a source that is a file. Raises InputError otherwise."""
    refuse_hub(source)
    form_of(source)
    return Path(source)


def _lines(path: Path) -> Iterator[SourceRow]:
    row = 0
    with path.open("rb") as file:
        line = 0
        while raw := file.readline(MAX_ROW_BYTES + 1):
            line += 1
            if len(raw) > MAX_ROW_BYTES and not raw.endswith(b"\n"):
                item = SourceRow(row, line, raw, None, TOO_LONG.problem(path, line), _skip_line(file))
            else:
                item = decoded_line(raw, str(path), row, line)
            row += item.row >= 0
            yield item


def _skip_line(file: BinaryIO) -> int:
    passed = 0
    while part := file.readline(1 << 20):
        passed += len(part)
        if part.endswith(b"\n"):
            break
    return passed


def _line_of(problem: Problem, source: str) -> int:
    number = problem.where.removeprefix(f"{source}:").partition(":")[0]
    return int(number) if number.isdigit() else 0


def decode_text(text: str, where: str) -> dict[str, Any]:
    """One JSON object over several lines. Raises InputError with line and column."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        place = f"{where}:{error.lineno}:{error.colno}"
        raise InputError(Problem(f"not valid JSON: {error.msg}", place, "Nothing was written.")) from error
    except (ValueError, RecursionError) as error:
        raise InputError(Problem(f"not valid JSON: {error}", where, "Nothing was written.")) from error
    if not isinstance(value, dict):
        raise InputError(Problem("the row must be an object", f"{where}:1:1", 'Write it as {"key": value}.'))
    return value
