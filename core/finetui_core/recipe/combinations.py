"""Several values for an option, as `ftui sweep --set` takes them, and every combination of such values."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from finetui_core.errors import InputError, Problem
from finetui_core.recipe.document import read_text
from finetui_core.recipe.load import check_recipe
from finetui_core.recipe.options import Recipe
from finetui_core.recipe.overrides import parse_overrides, parse_value
from finetui_core.recipe.wording import printable, quote

MOST = 200
"""Runs that one sweep may have."""
_CLOSES = {"[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Combination:
    """One run of a sweep: all that is set over the recipe, and in words what tells it from the others."""

    overrides: tuple[str, ...]
    label: str
    recipe: Recipe


def split_values(text: str) -> list[str]:
    """`text` at its commas, but for those inside brackets and quotes; an unclosed one lasts to the end."""
    values, start, inside, quoted, at = [], 0, 0, "", 0
    while at < len(text):
        letter = text[at]
        if quoted:
            at += letter == "\\" and quoted == '"'  # what follows it closes nothing
            quoted = "" if letter == quoted else quoted
        elif letter in "\"'":
            quoted = letter
        elif letter in _CLOSES:
            inside += 1
        elif letter in _CLOSES.values():
            inside = max(0, inside - 1)
        elif letter == "," and not inside:
            values.append(text[start:at].strip())
            start = at + 1
        at += 1
    return [*values, text[start:].strip()]


def combine(written: Sequence[str]) -> tuple[list[tuple[str, ...]], list[str], list[Problem]]:
    """Each combination as overrides, the last option changing fastest; the options that vary; and what is wrong.

    `written` are "table.key=value,value,…".
    """
    axes: list[list[str]] = []
    varied: list[str] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for item in written:
        where = f"--set {printable(item)}"
        dotted, equals, text = item.partition("=")
        name = ".".join(part.strip() for part in dotted.split("."))
        values = split_values(text) if equals else []
        problems += _faults(values, where)
        if name in seen:
            hint = "name it once, with all its values"
            problems.append(Problem(f"{quote(name)} is given several times", where, hint))
        seen.add(name)
        if len(values) > 1:
            varied.append(name)
        axes.append([f"{name}={value}" for value in values] if equals else [item])
    number = 1
    for axis in axes:
        number *= len(axis)
    if number > MOST:
        hint = f"a sweep has up to {MOST}; vary fewer options at once"
        problems.append(Problem(f"these values make {number:,} runs", hint=hint))
        axes = [axis[:1] for axis in axes]
    return list(product(*axes)), varied, problems


def _faults(values: Sequence[str], where: str) -> list[Problem]:
    problems = []
    if len(values) > 1 and "" in values:
        problems.append(Problem("a value is missing between two commas", where, "take one comma away"))
    parsed = [parse_value(value) for value in values]
    for at, value in enumerate(values):
        if any(type(one) is type(parsed[at]) and one == parsed[at] for one in parsed[:at]):
            problems.append(Problem(f"the value {quote(value)} is given twice", where, "name it once"))
    return problems


def checked_combinations(
    recipe_file: Path, written: Sequence[str], fixed: Sequence[str] = (), *, least: int = 2
) -> list[Combination]:
    """Every combination with its checked recipe; `fixed` overrides come last in each.

    Raises InputError with every problem of every combination, each told once.
    """
    text = read_text(recipe_file)
    combinations, varied, problems = combine(written)
    if len(combinations) < least and not problems:
        hint = "give an option several values, as in --set train.learning_rate=1e-5,2e-5,5e-5"
        problems.append(Problem("nothing varies, so there is nothing to compare", hint=hint))
    found: list[Combination] = []
    faults: dict[Problem, None] = dict.fromkeys(problems)
    for overrides in combinations:
        complete = (*overrides, *fixed)
        checked = check_recipe(text, printable(recipe_file), recipe_file.parent, complete)
        faults |= dict.fromkeys(checked.problems)
        found.append(Combination(complete, _label(overrides, varied), checked.recipe))
    if faults:
        raise InputError(list(faults))
    return found


def _label(overrides: Sequence[str], varied: Sequence[str]) -> str:
    """The leaf names and values of what varies; the table's name too where two tables share a leaf name."""
    leaves = [name.rpartition(".")[2] for name in varied]
    settings, _ = parse_overrides(overrides)
    words = []
    for setting, written in zip(settings, overrides, strict=False):
        dotted = ".".join(setting.option)
        if dotted in varied:
            name = setting.option[1] if leaves.count(setting.option[1]) == 1 else dotted
            words.append(f"{name}={written.partition('=')[2]}")
    return ", ".join(words)
