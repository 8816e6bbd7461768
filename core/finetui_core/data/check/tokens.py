"""Rows as tokens, on demand: `python -m finetui_core.data.check.tokens RECIPE [FILE]`.

A line with a row's number, counted from 0, on stdin gives a line of JSON on stdout: {"row": number, "view": ...} or
{"row": ..., "error": {"what", "where", "hint"}}. The tokenizer takes seconds to load and then answers in
milliseconds, so a screen keeps this process for as long as it shows rows. A first line says that it is
ready, {"ready": rows, "chat_template": ...}, or why it never will be, {"error": ...}, and then it exits with 2.
"""

import argparse
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from finetui_core.data.check.row_view import RowView, row_viewer
from finetui_core.data.conversation import Row
from finetui_core.data.formats import CONVERTERS, sniff
from finetui_core.data.json_lines import BYTE_ORDER_MARK, TOO_LONG, Unreadable, decoded, lines_of
from finetui_core.data.readers import RawRow, form_of, read_rows
from finetui_core.data.reading import read_with
from finetui_core.errors import InputError, Problem
from finetui_core.recipe.load import load_recipe
from finetui_core.recipe.options import Recipe

BAD_INPUT = 2
_SNIFFED_ROWS = 100


def rows_of(source: str, format: str) -> tuple[int, Callable[[int], Row | Problem]]:
    """The number of rows, and the function that gives one, or the problem that makes it unusable.

    Of JSON lines only the places are held; of other files the rows, as JSON. Raises InputError for a file that
    cannot be used.
    """
    rows = read_rows(source)
    first = [row.value for row in islice(rows, _SNIFFED_ROWS) if isinstance(row, RawRow)]
    layout = sniff(first, source) if format == "auto" else format
    count, raw_row = _lines(Path(source)) if form_of(source) == "lines" else _held(source)

    def row_at(number: int) -> Row | Problem:
        if not 0 <= number < count:
            return Problem(f"there is no row {number}", source, f"There are {count}, counted from 0.")
        raw = raw_row(number)
        return raw if isinstance(raw, Problem) else CONVERTERS[layout](raw.value, f"{source}:{raw.number}")

    return count, row_at


def _lines(path: Path) -> tuple[int, Callable[[int], RawRow | Problem]]:
    starts, numbers = array("Q"), array("Q")
    with path.open("rb") as file:
        for number, (start, line) in enumerate(lines_of(file), 1):
            if line is None or (line.removeprefix(BYTE_ORDER_MARK) if start == 0 else line).strip():
                starts.append(start)
                numbers.append(number)

    def raw_row(row: int) -> RawRow | Problem:
        with path.open("rb") as file:
            _, line = next(lines_of(file, starts[row]), (0, b""))
        raw = line.removeprefix(BYTE_ORDER_MARK).strip() if line is not None else None
        value = decoded(raw) if raw is not None else TOO_LONG
        if isinstance(value, Unreadable):
            return value.problem(path, numbers[row])
        return RawRow(numbers[row], value)

    return len(starts), raw_row


def _held(source: str) -> tuple[int, Callable[[int], RawRow | Problem]]:
    held = [
        row if isinstance(row, Problem) else (row.number, msgspec.json.encode(row.value, enc_hook=repr))
        for row in read_rows(source)
    ]

    def raw_row(row: int) -> RawRow | Problem:
        item = held[row]
        return item if isinstance(item, Problem) else RawRow(item[0], msgspec.json.decode(item[1]))

    return len(held), raw_row


def shown_rows(recipe: Recipe, file: str | None = None) -> tuple[dict[str, Any], Callable[[int], RowView]]:
    """What is said at first, and the function that shows a row of `file` (data.train if there is none).

    It raises InputError for a row that cannot be shown, as this does where nothing can be.
    """
    options = recipe.data
    source = file or options.train
    same_file = file is None or Path(source) == Path(options.train)
    count, row_at = rows_of(source, options.format if same_file else "auto")
    reading = read_with(recipe)
    view = row_viewer(reading.tokenizer, options, reading.max_length)

    def show(number: int) -> RowView:
        row = row_at(number)
        if isinstance(row, Problem):
            raise InputError(row)
        return view(row)

    return {"ready": count, "chat_template": reading.template_origin}, show


def answers(requests: Iterable[str], show: Callable[[int], RowView]) -> Iterator[dict[str, Any]]:
    """The answer to each request, in order; blank lines ask for nothing."""
    for request in requests:
        asked = request.strip()
        if not asked:
            continue
        if not (asked.isascii() and asked.isdecimal() and len(asked) < 16):
            problem = Problem("this is not the number of a row", hint="Write one number on a line.")
            yield {"row": asked[:80], **error_answer(problem)}
            continue
        number = int(asked)
        try:
            yield {"row": number, "view": show(number)}
        except InputError as error:
            yield {"row": number, **error_answer(error.problems[0])}
        except Exception as error:  # a stranger's template or tokenizer must not end the others' answers
            yield {"row": number, **error_answer(Problem(f"{type(error).__name__}: {error}"))}


def error_answer(problem: Problem) -> dict[str, Any]:
    return {"error": {"what": problem.what, "where": problem.where, "hint": problem.hint}}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m finetui_core.data.check.tokens")
    parser.add_argument("recipe", type=Path)
    parser.add_argument("file", nargs="?")
    options = parser.parse_args()
    try:
        ready, show = shown_rows(load_recipe(options.recipe), options.file)
    except InputError as error:
        _write(error_answer(error.problems[0]))
        return BAD_INPUT
    _write(ready)
    for answer in answers(sys.stdin, show):
        _write(answer)
    return 0


def _write(answer: dict[str, Any]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
