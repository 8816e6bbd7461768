"""Rows as tokens, on demand: `python -m finetui_core.data.check.tokens RECIPE [FILE]`.

A line with a row's number, counted from 0, on stdin gives a line of JSON on stdout: {"row": number, "view": ...} or
{"row": ..., "error": {"what", "where", "hint"}}. The tokenizer takes seconds to load and then answers in
milliseconds, so a screen keeps this process for as long as it shows rows. A first line says that it is
ready, {"ready": rows, "chat_template": ...}, or why it never will be, {"error": ...}, and then it exits with 2.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from finetui_core.data.check.row_view import RowView, row_viewer
from finetui_core.data.formats import CONVERTERS, sniff
from finetui_core.data.readers import RawRow, read_rows
from finetui_core.data.reading import read_with
from finetui_core.errors import InputError, Problem
from finetui_core.recipe.load import load_recipe
from finetui_core.recipe.options import Recipe

BAD_INPUT = 2


def rows_of(source: str, format: str) -> tuple[int, Callable[[int], Any]]:
    """The number of rows, and the function that gives one: a Row, or the Problem that makes it unusable.

    Held as JSON, which takes as much memory as the file. Raises InputError for a file that cannot be used.
    """
    stored: list[tuple[int, bytes] | Problem] = []
    first: list[dict[str, Any]] = []
    for row in read_rows(source):
        if isinstance(row, RawRow):
            stored.append((row.number, msgspec.json.encode(row.value, enc_hook=repr)))
            first += [row.value] if len(first) < 100 else []
        else:
            stored.append(row)
    convert = CONVERTERS[sniff(first, source) if format == "auto" else format]

    def row_at(number: int) -> Any:
        if not 0 <= number < len(stored):
            return Problem(f"there is no row {number}", source, f"There are {len(stored)}, counted from 0.")
        item = stored[number]
        if isinstance(item, Problem):
            return item
        line, value = item
        return convert(msgspec.json.decode(value), f"{source}:{line}")

    return len(stored), row_at


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
