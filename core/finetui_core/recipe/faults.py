"""Checking parsed values against the options: every fault at once, in words, by its path in the recipe."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from finetui_core.recipe.names import suggest_choice, suggest_option, suggest_table
from finetui_core.recipe.options import Recipe
from finetui_core.recipe.table import OptionInfo, option_table, options_by_path, table_names
from finetui_core.recipe.wording import quote, show

OptionPath = tuple[str, str]

_MOST_UNKNOWN = 100
_OUT_OF_RANGE = {"greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number"}


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault at a path of the recipe; `at_key` tells whether the name or the value is to blame."""

    path: tuple[str | int, ...]
    what: str
    hint: str
    at_key: bool = False


@dataclass(frozen=True, slots=True)
class Validated:
    """A recipe in which each faulty option has its default, and the faults.

    `doubtful` are the options whose value in `recipe` is not the user's: later checks leave them alone.
    """

    recipe: Recipe
    faults: tuple[Fault, ...]
    doubtful: frozenset[OptionPath]


def validate(values: Mapping[str, Any]) -> Validated:
    """Check names, types and ranges of every option."""
    faults = tuple(_faults_of(values))
    doubtful = frozenset(fault.path[:2] for fault in faults if fault.path[:2] in options_by_path())
    kept = {
        table: {name: value for name, value in options.items() if (table, name) not in doubtful}
        for table, options in values.items()
        if table in table_names() and isinstance(options, dict)
    }
    for table, options in kept.items():
        kept[table] = {name: value for name, value in options.items() if (table, name) in options_by_path()}
    missing = frozenset(
        option.path
        for option in option_table()
        if option.required and option.name not in kept.get(option.table, {})
    )
    for table, name in missing:
        kept.setdefault(table, {})[name] = "missing"
    return Validated(Recipe.model_validate(kept), faults, doubtful | missing)  # type: ignore[arg-type]


def _faults_of(values: Mapping[str, Any]) -> Iterable[Fault]:
    try:
        Recipe.model_validate(values)
    except ValidationError as error:
        by_option: dict[tuple[str | int, ...], list[ErrorDetails]] = {}
        for detail in error.errors(include_url=False):
            by_option.setdefault(detail["loc"][:2], []).append(detail)
        unknown = 0
        for path, details in by_option.items():
            unknown += details[0]["type"] == "extra_forbidden"
            if details[0]["type"] != "extra_forbidden" or unknown <= _MOST_UNKNOWN:
                yield from _describe(path, details, values)
        if unknown > _MOST_UNKNOWN:
            what = f"{unknown:,} names are unknown; only {_MOST_UNKNOWN} of them are told here"
            yield Fault((), what, "is this a recipe of ftui?")


def _describe(
    path: tuple[str | int, ...], details: list[ErrorDetails], values: Mapping[str, Any]
) -> Iterable[Fault]:
    table = str(path[0])
    kind = details[0]["type"]
    if len(path) == 1:
        yield from _describe_table(table, kind, values)
        return
    name = str(path[1])
    if kind == "extra_forbidden":
        what = f"unknown option {quote(name)} in [{table}]"
        yield Fault(path, what, suggest_option(table, name), at_key=True)
    elif kind == "missing":
        yield _missing(options_by_path()[table, name])
    else:
        yield _bad_value(options_by_path()[table, name], values[table][name], kind)


def _describe_table(table: str, kind: str, values: Mapping[str, Any]) -> Iterable[Fault]:
    if kind == "missing":
        yield from (
            _missing(option) for option in option_table() if option.table == table and option.required
        )
    elif kind != "extra_forbidden":
        what = f"{table} must be a table, not {show(values[table])}"
        yield Fault((table,), what, f"write [{table}] on a line of its own, and its options below")
    elif isinstance(values[table], dict):
        yield Fault(
            (table,),
            f"unknown table [{table}]" if table.isidentifier() else f"unknown table {quote(table)}",
            suggest_table(table),
            at_key=True,
        )
    else:
        yield Fault(
            (table,), f"{quote(table)} stands outside every table", suggest_option("", table), at_key=True
        )


def _missing(option: OptionInfo) -> Fault:
    hint = f'write {option.name} = "..." under [{option.table}]. {option.help}'
    return Fault(option.path, f"{option.dotted} is missing", hint, at_key=True)


def _bad_value(option: OptionInfo, value: object, kind: str) -> Fault:
    path: tuple[str | int, ...] = option.path
    label, wanted = option.dotted, option.type
    if value in ("", []):
        return Fault(path, f"{label} must not be empty", f"leave it out, or fill it in. {option.help}")
    if option.kind == "names" and isinstance(value, list):
        index, value = next((i, item) for i, item in enumerate(value) if not isinstance(item, str))
        path, label, wanted = (*path, index), f"{option.dotted}, element {index + 1},", "text"
    what = f"{label} must be {wanted}, not {show(value)}"
    hint = (kind not in _OUT_OF_RANGE and _type_hint(option, value)) or option.help
    return Fault(path, what, hint)


def _type_hint(option: OptionInfo, value: object) -> str:
    """How to write a value of the wrong type, for the slips that people make most."""
    match option.kind, value:
        case "choice", str():
            return suggest_choice(value, option.choices)
        case "names", str():
            return f"for one name write [{quote(value)}]"
        case (("number" | "whole number"), str()) if _is_number(value):
            return f"remove the quotes: {option.name} = {value.strip()}"
        case "whole number", float() if value.is_integer():
            return f"write it without a fraction: {option.name} = {value:.0f}"
        case "switch", (str() | int()) if str(value).strip().lower() in SWITCH_WORDS:
            return f"write {option.name} = {SWITCH_WORDS[str(value).strip().lower()]}"
        case (("text" | "choice"), (int() | float())) if not isinstance(value, bool):
            return "text goes in quotes"
        case _:
            return ""


SWITCH_WORDS = {"true": "true", "yes": "true", "on": "true", "1": "true",
                 "false": "false", "no": "false", "off": "false", "0": "false"}  # fmt: skip


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
