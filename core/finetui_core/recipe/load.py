"""From a recipe file to a checked Recipe, or to every problem in it with file, line and column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from finetui_core.errors import InputError, Problem
from finetui_core.recipe.checks import contradictions, settle_quantize
from finetui_core.recipe.document import parse_toml, read_text
from finetui_core.recipe.faults import Fault, OptionPath, validate
from finetui_core.recipe.options import Recipe
from finetui_core.recipe.overrides import merge, parse_overrides
from finetui_core.recipe.paths import private_faults, resolve_paths
from finetui_core.recipe.positions import Place, Positions, find_positions
from finetui_core.recipe.secret_values import refuse_secrets
from finetui_core.recipe.wording import printable


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe file; paths in the result are absolute.

    `overrides` are "table.key=value" as given with `--set`. Raises InputError with all problems at once.
    """
    return parse_recipe(read_text(path), printable(path), path.parent, overrides)


def parse_recipe(text: str, name: str, folder: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Check recipe TOML that may not be in a file yet.

    `name` stands for the file in messages; `folder` is where its relative paths start. Raises InputError.
    """
    checked = check_recipe(text, name, folder, overrides)
    if checked.problems:
        raise InputError(checked.problems)
    return checked.recipe


@dataclass(frozen=True, slots=True)
class Checked:
    """A recipe with what is wrong in it; a faulty option has its default in `recipe`.

    `given` has the options that were written, with their place: "file:line:column" or "--set ...". Of the
    `problems`, those in `absent` are only about files and folders that are not where the recipe says. `located`
    has the problems of the text, in its order; `values` is the text as TOML reads it.
    """

    recipe: Recipe
    given: Mapping[OptionPath, str]
    problems: tuple[Problem, ...]
    absent: frozenset[Problem]
    located: tuple["Located", ...]
    positions: Positions
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Located:
    """A problem of the text, with the path of what is at fault and the place where that is written, if it is."""

    problem: Problem
    path: tuple[str | int, ...]
    place: Place | None
    absent: bool


def check_recipe(text: str, name: str, folder: Path, overrides: Sequence[str] = ()) -> Checked:
    """All that is known of a recipe's text, with its problems. Raises InputError where it is not TOML, and where it
    holds a secret: then with nothing else, since other messages would quote it."""
    refuse_secrets(text, name, overrides)
    settings, bad_overrides = parse_overrides(overrides)
    try:
        values = parse_toml(text, name)
        positions = find_positions(text)
    except InputError as error:
        raise InputError((*error.problems, *bad_overrides)) from error
    except RecursionError as error:
        raise InputError((Problem("a value is nested too deeply", name), *bad_overrides)) from error
    merge(values, settings)
    written = _Written(name, folder, positions, {override.option: override.where for override in settings})
    recipe, faults, absent = _check(values, written)
    given = {option: written.where(Fault(option, "", "")) for option in _given(values)}
    missing = frozenset(written.problem(fault) for fault in absent)
    located = []
    for fault in sorted(faults, key=written.order):
        problem = written.problem(fault)
        located.append(Located(problem, fault.path, written.place(fault), problem in missing))
    problems = (*(one.problem for one in located), *bad_overrides)
    return Checked(recipe, given, problems, missing, tuple(located), positions, values)


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain JSON values; `Recipe.model_validate` reads it back."""
    return recipe.model_dump(mode="json")


@dataclass(frozen=True, slots=True)
class _Written:
    """Where each option was written: at a place in a file, or with `--set`."""

    file: str
    folder: Path
    positions: Positions
    overridden: Mapping[OptionPath, str]

    def folder_of(self, option: OptionPath) -> Path:
        return Path.cwd() if option in self.overridden else self.folder

    def place(self, fault: Fault) -> Place | None:
        """The place of a fault, or that of the table it belongs to, or None where nothing was written."""
        keys, values = self.positions.keys, self.positions.values
        if not fault.at_key and fault.path in values:
            return values[fault.path]
        return keys.get(fault.path) or keys.get(fault.path[:1])

    def where(self, fault: Fault) -> str:
        place = self.place(fault)
        override = self.overridden.get(cast(OptionPath, fault.path[:2]))
        return override or (f"{self.file}:{place[0]}:{place[1]}" if place else self.file)

    def problem(self, fault: Fault) -> Problem:
        return Problem(fault.what, self.where(fault), fault.hint)

    def order(self, fault: Fault) -> tuple[bool, Place]:
        """Faults of the file come by place, then those of overrides."""
        return fault.path[:2] in self.overridden, self.place(fault) or (0, 0)


def _given(values: Mapping[str, Any]) -> set[OptionPath]:
    return {
        (table, name) for table, options in values.items() if isinstance(options, dict) for name in options
    }


def _check(values: Mapping[str, Any], written: _Written) -> tuple[Recipe, list[Fault], list[Fault]]:
    """The recipe, all faults, and those of them that are about absent files."""
    validated = validate(values)
    recipe, path_faults = resolve_paths(validated.recipe, written.folder_of, validated.doubtful)
    given = _given(values)
    clashes = [
        Fault(
            next((option for option in clash.options if option in given), clash.options[0]),
            clash.what,
            clash.hint,
        )
        for clash in contradictions(recipe, given, validated.doubtful)
    ]
    private = private_faults(recipe, validated.doubtful)
    return settle_quantize(recipe), [*validated.faults, *path_faults, *private, *clashes], path_faults
