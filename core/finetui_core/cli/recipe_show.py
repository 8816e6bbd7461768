"""`ftui recipe show FILE`: each option's value, and whether it was given, is a default, or is left to the run."""

import argparse
from pathlib import Path

from finetui_core.cli.recipe_check import note
from finetui_core.cli.say import data, data_json, talk
from finetui_core.errors import InputError
from finetui_core.recipe.advice import advise
from finetui_core.recipe.document import read_text
from finetui_core.recipe.edit import toml_value
from finetui_core.recipe.facts import look
from finetui_core.recipe.load import check_recipe
from finetui_core.recipe.shown import shown_options
from finetui_core.recipe.table import table_names

LEVELS = ("essential", "common", "all")
_NO_VALUE = {"run": "by the run", "default": "none"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the recipe")
    parser.add_argument(
        "--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="as `ftui train` takes it"
    )
    parser.add_argument(
        "--level", choices=LEVELS, default="common", help="which options; those given are always shown"
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    checked = check_recipe(read_text(options.file), str(options.file), options.file.parent, options.set)
    serious = [problem for problem in checked.problems if problem not in checked.absent]
    if serious:
        raise InputError(serious)
    facts = look(checked.recipe)
    every = shown_options(checked, facts)
    shown = [
        one
        for one in every
        if one.origin == "given" or LEVELS.index(one.option.level) <= LEVELS.index(options.level)
    ]
    advice = {one.option: one for one in advise(checked.recipe, facts)}
    if options.json:
        data_json(
            [
                {
                    "option": one.option.dotted,
                    "value": one.value,
                    "origin": one.origin,
                    "why": one.why,
                    "source": one.option.source,
                    "advice": advice[one.option.dotted].says if one.option.dotted in advice else None,
                }
                for one in shown
            ]
        )
        return 0
    for table in table_names():
        own = [one for one in shown if one.option.table == table]
        if not own:
            continue
        data(f"[{table}]")
        for one in own:
            value = _NO_VALUE[one.origin] if one.value is None else toml_value(one.value)
            data(f"{one.option.name} = {value}  # {one.origin}: {one.why}")
            if one.option.dotted in advice:
                data(f"    # {note(advice[one.option.dotted])}")
        data("")
    if len(shown) < len(every):
        talk(f"{len(every) - len(shown)} more options have their defaults: --level all shows them")
    for problem in checked.problems:
        talk(str(problem))
    return 0
