"""`ftui recipe show FILE`: each option's value, and whether it was given, is a default, or is left to the run."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetui_core.cli.recipe_check import note
from finetui_core.cli.say import data, data_json, talk
from finetui_core.errors import InputError
from finetui_core.recipe.advice import advise
from finetui_core.recipe.defaults import explain, fill_defaults
from finetui_core.recipe.document import read_text
from finetui_core.recipe.edit import toml_value
from finetui_core.recipe.facts import Facts, look
from finetui_core.recipe.load import Checked, check_recipe
from finetui_core.recipe.table import OptionInfo, option_table, table_names

LEVELS = ("essential", "common", "all")
_NO_VALUE = {"run": "by the run", "default": "none"}
_NEEDS_ROWS = ("train.num_train_epochs", "lora.lora_dropout")


@dataclass(frozen=True, slots=True)
class Shown:
    """`origin` is "given", "default", or "run" where it is decided when the run starts; `value` is then what
    is expected, or None."""

    option: OptionInfo
    value: Any
    origin: str
    why: str


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
    every = _shown(checked, facts)
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


def _shown(checked: Checked, facts: Facts) -> list[Shown]:
    filled = fill_defaults(
        checked.recipe,
        train_rows=facts.rows or 0,
        hidden_size=facts.hidden_size,
        model_type=facts.model_type,
        parameters=None,
        context_length=facts.context_length,
    )
    decided = {one["option"]: one for one in explain(checked.recipe, filled)}
    return [_one(option, checked, decided, facts) for option in option_table()]


def _one(option: OptionInfo, checked: Checked, decided: dict[str, dict[str, Any]], facts: Facts) -> Shown:
    value = getattr(getattr(checked.recipe, option.table), option.name)
    if option.path in checked.given:
        return Shown(option, value, "given", checked.given[option.path])
    if option.dotted in decided:
        found = decided[option.dotted]
        known = facts.rows is not None or option.dotted not in _NEEDS_ROWS
        return Shown(option, found["value"] if known else None, "run", f"{found['why']} ({found['source']})")
    if value is None:
        return Shown(option, None, "default", "none")
    if value != option.default:
        return Shown(option, value, "default", "follows from the method")
    return Shown(option, value, "default", option.source or option.help)
