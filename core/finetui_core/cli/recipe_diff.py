"""`ftui recipe diff A B`: the options that differ, with both values."""

import argparse
from pathlib import Path
from typing import Any

from finetui_core.cli.say import data, data_json, table, talk
from finetui_core.errors import InputError, Problem
from finetui_core.recipe.compare import Side, compare, recipe_side, run_side
from finetui_core.recipe.edit import toml_value
from finetui_core.recipe.presets import preset_names
from finetui_core.runs.paths import find_run, runs_root


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="a recipe file, the name of a preset, or a run")
    parser.add_argument("b", nargs="?", metavar="B", help="what to compare it with")
    parser.add_argument("--last", action="store_true", help="compare with the newest run")
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")
    parser.add_argument("--json", action="store_true", help="print the differences as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    if (options.b is None) != options.last:
        hint = "ftui recipe diff A B, or ftui recipe diff A --last"
        raise InputError(Problem("give two to compare, or one and --last", "", hint))
    root = options.runs or runs_root()
    sides = [_side(options.a, root), _side("latest" if options.last else options.b, root)]
    differences = compare(*sides)
    if options.json:
        data_json(
            {
                "a": sides[0].name,
                "b": sides[1].name,
                "differences": [
                    {
                        "option": one.option,
                        "a": one.a,
                        "a_given": one.a_given,
                        "b": one.b,
                        "b_given": one.b_given,
                    }
                    for one in differences
                ],
            }
        )
    elif differences:
        rows = [[one.option, _cell(one.a, one.a_given), _cell(one.b, one.b_given)] for one in differences]
        for line in table(["option", sides[0].name, sides[1].name], rows):
            data(line)
    else:
        talk(f"No option differs between {sides[0].name} and {sides[1].name}.")
    return 0


def _cell(value: Any, given: bool) -> str:
    return f"{'left to the run' if value is None else toml_value(value)}{'' if given else ' (default)'}"


def _side(wanted: str, root: Path) -> Side:
    """A file wins over a preset of the same name, and a preset over a run."""
    path = Path(wanted)
    if path.is_file() or (wanted.endswith(".toml") and not path.is_dir()):
        return recipe_side(path)
    if wanted in preset_names():
        return recipe_side(wanted)
    return run_side(find_run(root, wanted))
