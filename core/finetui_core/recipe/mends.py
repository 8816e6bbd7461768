"""The change that takes a fault of a recipe away: the nearest name, the value as it was meant, or the default."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from finetui_core.errors import InputError
from finetui_core.recipe.document import similar_file
from finetui_core.recipe.edit import rename, rename_table, set_value, toml_value, unset
from finetui_core.recipe.faults import SWITCH_WORDS, OptionPath
from finetui_core.recipe.load import Checked, Located
from finetui_core.recipe.names import folded, meant_option, meant_table
from finetui_core.recipe.paths import resolve_path
from finetui_core.recipe.table import OptionInfo, options_by_path, table_names
from finetui_core.recipe.wording import printable


@dataclass(frozen=True, slots=True)
class Mend:
    """What would be done, in words, the text after it, and the option (or the table, of "") that is then right."""

    says: str
    text: str
    path: OptionPath


def mend(text: str, checked: Checked, fault: Located, folder: Path) -> Mend | None:
    """How a fault of `text` can be taken away without asking for more; None where that is not known.

    `folder` is where relative paths start. Whatever else the text holds keeps every byte.
    """
    for says, path, change in _ways(text, checked, fault, folder):
        try:
            return Mend(says, change(), path)
        except InputError:
            continue
    return None


Way = tuple[str, OptionPath, Callable[[], str]]


def _ways(text: str, checked: Checked, fault: Located, folder: Path) -> Iterator[Way]:
    match fault.path:
        case (str(name),) if name not in table_names():
            yield from _unknown_table(text, checked, name)
        case (str(table), str(key), *_) if table in table_names():
            option = options_by_path().get((table, key))
            if option is None:
                yield from _unknown_option(text, table, key)
            elif option.path in checked.given:
                yield from _value(text, checked, fault, option, folder)


def _unknown_table(text: str, checked: Checked, name: str) -> Iterator[Way]:
    if not isinstance(checked.values[name], dict):
        if (meant := meant_option("", name)) is not None:
            yield f"move it to [{meant[0]}] as {meant[1]}", meant, partial(rename, text, "", name, *meant)
    elif (table := meant_table(name)) is not None:
        yield f"write [{table}]", (table, ""), partial(rename_table, text, name, table)


def _unknown_option(text: str, table: str, key: str) -> Iterator[Way]:
    meant = meant_option(table, key)
    if meant is None:
        return
    says = f"write {meant[1]}" if meant[0] == table else f"move it to [{meant[0]}] as {meant[1]}"
    yield says, meant, partial(rename, text, table, key, *meant)


def _value(text: str, checked: Checked, fault: Located, option: OptionInfo, folder: Path) -> Iterator[Way]:
    written = checked.values[option.table][option.name]
    if fault.absent:
        if isinstance(written, str) and (near := _similar(option, written, folder)) is not None:
            yield f"write {toml_value(near)}", option.path, partial(set_value, text, *option.path, near)
        return
    meant = _meant(option, written)
    if meant is not None and repr(meant) != repr(written):
        yield (
            f"write {printable(toml_value(meant))}",
            option.path,
            partial(set_value, text, *option.path, meant),
        )
    elif not option.required:
        default = (
            "the run then decides"
            if option.default is None
            else f"the default is {toml_value(option.default)}"
        )
        yield f"take it out: {default}", option.path, partial(unset, text, *option.path)


def _similar(option: OptionInfo, written: str, folder: Path) -> str | None:
    """The path as it is written, with the most similar name that is there in place of its last part."""
    try:
        near = similar_file(Path(resolve_path(option.path, written, folder)))
    except (OSError, RuntimeError, ValueError):
        return None
    if near is None or not near.name.isprintable():
        return None
    return (
        f"{written.rstrip('/').rpartition('/')[0]}/{near.name}" if "/" in written.rstrip("/") else near.name
    )


def _meant(option: OptionInfo, value: Any) -> Any | None:
    """The value of the right type that one of the wrong type was meant to be; None where that is not clear."""
    meant: Any = None
    match option.kind, value:
        case "choice", str():
            meant = _nearest(value, option.choices)
        case "names", str() if value:
            meant = _nearest(value, option.choices) or [value]
        case (("number" | "whole number"), str()):
            meant = _number(value)
        case "switch", (str() | int()):
            meant = {"true": True, "false": False}.get(SWITCH_WORDS.get(str(value).strip().lower(), ""))
        case "text", (int() | float()) if not isinstance(value, bool):
            meant = str(value)
    if option.kind == "whole number":
        number = value if isinstance(value, float) else meant
        meant = int(number) if isinstance(number, float) and number.is_integer() else meant
        meant = meant if isinstance(meant, int) else None
    return meant if meant is not None and _in_range(option, meant) else None


def _nearest(word: str, choices: tuple[str, ...]) -> str | None:
    close = get_close_matches(folded(word), choices, n=1)
    return close[0] if close else None


def _number(text: str) -> int | float | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None


def _in_range(option: OptionInfo, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    low, high = option.minimum, option.maximum
    above = low is None or value > low or (value == low and not option.above_minimum)
    below = high is None or value < high or (value == high and not option.below_maximum)
    return above and below  # nan is neither
