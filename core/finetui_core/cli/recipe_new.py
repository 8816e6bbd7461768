"""`ftui recipe new PATH`: a commented recipe from a preset."""

import argparse
import os
from pathlib import Path
from shlex import quote

from finetui_core.cli.say import data_json, talk
from finetui_core.errors import InputError
from finetui_core.recipe.edit import set_value
from finetui_core.recipe.load import check_recipe
from finetui_core.recipe.presets import PLACEHOLDERS, preset_names, preset_purpose, preset_text
from finetui_core.recipe.saving import write_new_recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    purposes = "\n".join(f"  {name:<6} {preset_purpose(name)}" for name in preset_names())
    parser.epilog = f"Presets:\n{purposes}"
    parser.add_argument("path", type=Path, metavar="PATH", help="the new file; none is ever written over")
    parser.add_argument(
        "--preset", default="lora", metavar="NAME", help="where to start from (default: lora)"
    )
    parser.add_argument("--model", metavar="M", help="a model folder, or a hub id such as owner/name")
    parser.add_argument("--train", metavar="F", help="the training rows")
    parser.add_argument("--val", metavar="F", help="the rows that are kept apart")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    path: Path = options.path
    text = preset_text(options.preset)
    left = []
    for (table, key), given in zip(PLACEHOLDERS, (options.model, options.train), strict=True):
        if given is None:
            left.append(f"{table}.{key}")
        else:
            text = set_value(text, table, key, _from(path.parent, given))
    if options.val is not None:
        text = set_value(text, "data", "val", _from(path.parent, options.val))
    checked = check_recipe(text, str(path), path.parent)
    problems = [
        problem
        for problem in checked.problems
        if not any(
            checked.given.get(option) == problem.where and ".".join(option) in left for option in PLACEHOLDERS
        )
    ]
    if problems:
        raise InputError(problems)
    write_new_recipe(path, text)
    if options.json:
        data_json({"path": str(path), "preset": options.preset, "fill_in": left})
    else:
        fill = f"; fill in {' and '.join(left)}" if left else ""
        talk(
            f"{path}: written from the preset {options.preset}{fill}. Next: ftui recipe check {quote(str(path))}"
        )
    return 0


def _from(folder: Path, given: str) -> str:
    """A path of the command line as it is written in a recipe in `folder`; hub names stay as they are."""
    path = Path(given).expanduser()
    if path.is_absolute() or not (path.exists() or given.startswith((".", "~"))):
        return str(path) if given.startswith("~") else given
    relative = os.path.relpath(path.absolute(), folder.absolute())
    return relative if path.exists() or relative.startswith(".") else f"./{relative}"
