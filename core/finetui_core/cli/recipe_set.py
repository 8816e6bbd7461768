"""`ftui recipe set FILE TABLE.KEY=VALUE …`: change options in the file; all else in it keeps every byte."""

import argparse
from pathlib import Path
from typing import Any

from finetui_core.cli.say import data_json, talk
from finetui_core.errors import InputError, Problem
from finetui_core.recipe.document import parse_toml
from finetui_core.recipe.edit import set_value, toml_value, unset
from finetui_core.recipe.load import check_recipe
from finetui_core.recipe.overrides import parse_overrides
from finetui_core.recipe.saving import open_recipe, save_recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the recipe")
    parser.add_argument(
        "values", nargs="*", metavar="TABLE.KEY=VALUE", help="an option and its value, written as in the file"
    )
    parser.add_argument(
        "--unset", action="append", default=[], metavar="TABLE.KEY", help="take an option out of the file"
    )
    parser.add_argument("--json", action="store_true", help="print what was changed as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    if not options.values and not options.unset:
        raise InputError(Problem("nothing to change", "", "for example: train.seed=7, or --unset train.seed"))
    settings, faults = parse_overrides(options.values)
    taken_out, other_faults = parse_overrides([f"{name}=0" for name in options.unset])
    problems = [
        Problem(problem.what, problem.where.removeprefix("--set ").removesuffix("=0"), problem.hint)
        for problem in (*faults, *other_faults)
    ]
    if problems:
        raise InputError(problems)
    opened = open_recipe(options.file)
    name, folder = str(options.file), options.file.parent
    text = opened.text
    before = parse_toml(text, name)
    for setting in settings:
        text = set_value(text, *setting.option, setting.value)
    for setting in taken_out:
        text = unset(text, *setting.option)
    _refuse_new_faults(name, folder, opened.text, text)
    if text != opened.text:
        save_recipe(opened, text)
    changes = _changes(before, parse_toml(text, name))
    if options.json:
        data_json({"path": name, "changed": changes})
    elif not changes:
        talk(f"{name}: nothing changed")
    for change in [] if options.json else changes:
        old, new = (
            "left out" if change[side] is None else toml_value(change[side]) for side in ("before", "after")
        )
        talk(f"{change['option']}: {old} → {new}")
    return 0


def _refuse_new_faults(name: str, folder: Path, before: str, after: str) -> None:
    """Raise the faults that the change would bring; those that were there already are left to be mended."""
    known = {(problem.what, problem.hint) for problem in check_recipe(before, name, folder).problems}
    found = check_recipe(after, name, folder).problems
    new = [problem for problem in found if (problem.what, problem.hint) not in known]
    if new:
        raise InputError(new)


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    flat = [
        {
            f"{table}.{name}": value
            for table, own in values.items()
            if isinstance(own, dict)
            for name, value in own.items()
        }
        for values in (before, after)
    ]
    return [
        {"option": name, "before": flat[0].get(name), "after": flat[1].get(name)}
        for name in {**flat[0], **flat[1]}
        if flat[0].get(name) != flat[1].get(name)
    ]
