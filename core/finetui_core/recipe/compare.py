"""Which options differ between two recipes, presets or runs."""

import json
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli
from pydantic import ValidationError

from finetui_core.errors import InputError, Problem
from finetui_core.recipe.document import read_text
from finetui_core.recipe.faults import OptionPath
from finetui_core.recipe.load import check_recipe
from finetui_core.recipe.options import Recipe
from finetui_core.recipe.presets import PLACEHOLDERS, preset_text
from finetui_core.recipe.table import option_table
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import content_of


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two; `given` are the options written out, and those in `open` are no part of it."""

    name: str
    recipe: Recipe
    given: Set[OptionPath]
    open: Set[OptionPath] = frozenset()


@dataclass(frozen=True, slots=True)
class Difference:
    """None as a value means that the run decides."""

    option: str
    a: Any
    a_given: bool
    b: Any
    b_given: bool


def compare(a: Side, b: Side) -> list[Difference]:
    """The options with different values, in the order of the reference."""
    found = []
    for option in option_table():
        one, other = (getattr(getattr(side.recipe, option.table), option.name) for side in (a, b))
        if one != other and option.path not in a.open and option.path not in b.open:
            given = (option.path in a.given, option.path in b.given)
            found.append(Difference(option.dotted, one, given[0], other, given[1]))
    return found


def recipe_side(source: Path | str) -> Side:
    """A recipe file, or a preset by its name; files that it names may be absent. Raises InputError."""
    if isinstance(source, str):
        checked = check_recipe(preset_text(source), source, Path())
        return Side(source, checked.recipe, set(checked.given), frozenset(PLACEHOLDERS))
    checked = check_recipe(read_text(source), str(source), source.parent)
    serious = [problem for problem in checked.problems if problem not in checked.absent]
    if serious:
        raise InputError(serious)
    return Side(str(source), checked.recipe, set(checked.given))


def run_side(paths: RunPaths) -> Side:
    """What a run was started with. Raises InputError for a run of another trainer, or where it cannot be read."""
    try:
        recipe = Recipe.model_validate(json.loads(content_of(paths.resolved_recipe)))
        values = tomli.loads(content_of(paths.recipe).decode())
    except (OSError, ValueError, ValidationError) as error:
        problem = Problem("this run has no recipe that can be read", str(paths.root), "compare another one")
        raise InputError(problem) from error
    given = {(table, name) for table, own in values.items() if isinstance(own, dict) for name in own}
    return Side(paths.id, recipe, given)
