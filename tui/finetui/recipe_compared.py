"""How the recipe differs from its defaults, a preset, the last run or any run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finetui.recipe_seen import Seen
from finetui.widgets.table import Column, Record
from finetui_core.errors import InputError
from finetui_core.recipe.compare import Difference, Side, compare, recipe_side, run_side
from finetui_core.recipe.edit import toml_value
from finetui_core.recipe.options import Recipe
from finetui_core.recipe.presets import PLACEHOLDERS, preset_names
from finetui_core.runs.paths import RunPaths, run_ids

DIFFERENCE_COLUMNS = (
    Column("differs", 24, most=34),
    Column("here", 12, most=40),
    Column("there", 12, most=40),
)
DEFAULTS = "the defaults"
_PRESET = "preset "
_MOST_RUNS = 200


def sources(root: Path) -> list[str]:
    """What can be compared with: defaults, presets, and the newest runs, the last one first."""
    runs = sorted(run_ids(root), reverse=True)[:_MOST_RUNS]
    return [DEFAULTS, *(f"{_PRESET}{name}" for name in preset_names()), *runs]


def differences(seen: Seen, name: str, root: Path) -> Sequence[Difference]:
    """Raises InputError where the other one has no recipe that can be read."""
    assert seen.checked is not None
    here = Side("here", seen.checked.recipe, set(seen.checked.given))
    return compare(here, _side(name, root))


def _side(name: str, root: Path) -> Side:
    if name == DEFAULTS:
        values: Any = {"model": {"name": "-"}, "data": {"train": "-"}}
        return Side(DEFAULTS, Recipe.model_validate(values), set(), frozenset(PLACEHOLDERS))
    if name.startswith(_PRESET):
        return recipe_side(name.removeprefix(_PRESET))
    return run_side(RunPaths(root / name))


def difference_records(seen: Seen, name: str, root: Path) -> list[Record]:
    """A line for each option that differs; one that says so where none does, or why nothing is known."""
    try:
        found = differences(seen, name, root)
    except InputError as error:
        return [Record("", ((error.problems[0].what, "warning"), ("", ""), ("", "")))]
    if not found:
        return [Record("", ((f"no option differs from {name}", "muted"), ("", ""), ("", "")))]
    return [
        Record(
            one.option,
            (
                (one.option, ""),
                (_written(one.a, one.a_given), "train"),
                (_written(one.b, one.b_given), "validation"),
            ),
        )
        for one in found
    ]


def _written(value: Any, given: bool) -> str:
    return f"{'by the run' if value is None else toml_value(value)}{'' if given else ' (default)'}"
