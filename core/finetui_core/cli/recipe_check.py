"""`ftui recipe check FILE`: every fault with its place and the text at fault, and what is advised."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from finetui_core.cli.onward import after_recipe
from finetui_core.cli.say import data, data_json, talk
from finetui_core.errors import InputError, Problem
from finetui_core.recipe.advice import Advice, advise
from finetui_core.recipe.document import read_text
from finetui_core.recipe.facts import look
from finetui_core.recipe.load import Checked, check_recipe
from finetui_core.secrets import redact

DONE, BAD_INPUT = 0, 2
_WIDEST = 100  # characters of a line that is shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the recipe")
    parser.add_argument(
        "--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="as `ftui train` takes it"
    )
    parser.add_argument("--json", action="store_true", help="print problems and advice as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    lines: list[str] = []
    checked: Checked | None = None
    problems: tuple[Problem, ...]
    try:
        text = read_text(options.file)
        lines = text.split("\n")
        checked = check_recipe(text, str(options.file), options.file.parent, options.set)
        problems = checked.problems
    except InputError as error:
        problems = error.problems
    advice = advise(checked.recipe, look(checked.recipe)) if checked is not None else []
    places = [_place(problem, str(options.file)) for problem in problems]
    if options.json:
        data_json(
            {
                "ok": not problems,
                "problems": [
                    {**asdict(problem), **_as_json(place, lines)}
                    for problem, place in zip(problems, places, strict=True)
                ],
                "advice": [asdict(one) for one in advice],
            }
        )
        return BAD_INPUT if problems else DONE
    for problem, place in zip(problems, places, strict=True):
        _show(problem, place, lines)
    for one in advice:
        if one.heed:
            data(f"note: {note(one)}")
    if problems:
        talk(f"{len(problems)} faults" if len(problems) != 1 else "1 fault")
    else:
        talk(f"{options.file}: no fault\n{after_recipe(options.file, options.set)}")
    return BAD_INPUT if problems else DONE


def note(one: Advice) -> str:
    return f"{one.option}: {one.says} ({one.source})"


def _place(problem: Problem, file: str) -> tuple[int, int] | None:
    """Line and column that a problem names in the file."""
    parts = problem.where.removeprefix(file).split(":")
    if problem.where.startswith(file) and len(parts) == 3 and parts[1].isdecimal() and parts[2].isdecimal():
        return int(parts[1]), int(parts[2])
    return None


def _line(place: tuple[int, int] | None, lines: list[str]) -> str:
    return redact(lines[place[0] - 1].rstrip("\r")) if place and place[0] <= len(lines) else ""


def _as_json(place: tuple[int, int] | None, lines: list[str]) -> dict[str, Any]:
    line, column = place or (None, None)
    return {"line": line, "column": column, "text": _line(place, lines) or None}


def _show(problem: Problem, place: tuple[int, int] | None, lines: list[str]) -> None:
    data(f"{problem.where}: {problem.what}" if problem.where else problem.what)
    line = _line(place, lines)
    if place and line.strip() and place[1] <= _WIDEST:
        data(f"    {line[:_WIDEST].replace(chr(9), ' ')}")
        data(f"    {' ' * (place[1] - 1)}^")
    if problem.hint:
        data(f"    {problem.hint}")
