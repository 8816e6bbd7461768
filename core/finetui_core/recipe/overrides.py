"""`--set table.key=value`: options given on the command line, over those of the recipe file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli
import tomlkit

from finetui_core.errors import InputError, Problem
from finetui_core.recipe.faults import OptionPath
from finetui_core.recipe.names import suggest_option, suggest_table
from finetui_core.recipe.paths import DATA_OPTIONS, FILE_OPTIONS, MODEL_NAME, resolve_path
from finetui_core.recipe.table import options_by_path, table_names
from finetui_core.recipe.wording import printable, quote


@dataclass(frozen=True, slots=True)
class Override:
    """One option and its new value; `where` is how it was written, for messages."""

    option: OptionPath
    value: Any
    where: str


def parse_overrides(written: Sequence[str]) -> tuple[list[Override], list[Problem]]:
    """The overrides among `written`, each "table.key=value", and what is wrong with the others.

    A value is TOML; what is not valid TOML is taken as text, so that a path needs no quotes.
    """
    overrides: list[Override] = []
    problems: list[Problem] = []
    for item in written:
        where = f"--set {printable(item)}"
        dotted, equals, text = item.partition("=")
        table, dot, name = (part.strip() for part in dotted.partition("."))
        if not (equals and dot and table and name):
            hint = suggest_option("", table) if table and not dot else "for example --set train.seed=7"
            problems.append(Problem(f"{quote(item)} is not of the form table.key=value", where, hint))
        elif table not in table_names():
            problems.append(Problem(f"unknown table {quote(table)}", where, suggest_table(table)))
        elif (table, name) not in options_by_path():
            what = f"unknown option {quote(name)} in [{table}]"
            problems.append(Problem(what, where, suggest_option(table, name)))
        else:
            overrides.append(Override((table, name), parse_value(text.strip()), where))
    return overrides, problems


def parse_value(text: str) -> Any:
    """A TOML value, or the text itself where it is not one."""
    try:
        values = tomli.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return values["value"] if list(values) == ["value"] else text


def merge(values: dict[str, Any], overrides: Sequence[Override]) -> None:
    """Put overrides into parsed values, in place; a later one wins."""
    for override in overrides:
        table, name = override.option
        options = values.setdefault(table, {})
        if isinstance(options, dict):
            options[name] = override.value


def apply_overrides(text: str, written: Sequence[str]) -> str:
    """Recipe TOML with the overrides written in, comments and order kept.

    Paths become absolute, because in a file they would start at another folder than on the command line.
    Raises InputError for an override that is not one; the values are not checked against their options.
    """
    overrides, problems = parse_overrides(written)
    if problems:
        raise InputError(problems)
    overrides = [Override(item.option, _portable(item), item.where) for item in overrides]
    expected = tomli.loads(text)
    merge(expected, overrides)
    try:
        document = tomlkit.parse(text)
        merge(document, overrides)
        merged = tomlkit.dumps(document)
        faithful = tomli.loads(merged) == expected
    except (tomlkit.exceptions.TOMLKitError, tomli.TOMLDecodeError):
        faithful = False
    return merged if faithful else tomlkit.dumps(expected)


def _portable(override: Override) -> Any:
    if override.option in (MODEL_NAME, *DATA_OPTIONS, *FILE_OPTIONS) and isinstance(override.value, str):
        return resolve_path(override.option, override.value, Path.cwd())
    return override.value
