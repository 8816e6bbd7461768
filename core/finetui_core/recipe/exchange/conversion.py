"""What became of each key: carried over, not carried over and why, or a default that differs.

A trainer's module reads keys through a Conversion; whatever it did not read is listed at the end, so that
no key can be lost without a word.
"""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetui_core.recipe.exchange.config_file import Config
from finetui_core.recipe.faults import OptionPath
from finetui_core.recipe.table import options_by_path
from finetui_core.recipe.wording import quote, show


@dataclass(frozen=True, slots=True)
class Carried:
    """A key whose value stands in the recipe now."""

    key: str
    line: int
    option: str
    value: Any
    note: str = ""


@dataclass(frozen=True, slots=True)
class Left:
    """A key that is not in the recipe, and why; with `stops` no recipe can be made without it."""

    key: str
    line: int
    why: str
    stops: bool = False


@dataclass(frozen=True, slots=True)
class Differs:
    """An option that the config leaves out, where that means something else there and here.

    `written` tells whether the recipe has the other trainer's value written out.
    """

    option: str
    theirs: str
    ours: str
    written: bool


@dataclass(slots=True)
class Conversion:
    """The config being read and the recipe being filled."""

    config: Config
    trainer: str
    folder: Path
    """The folder of the new recipe, where its relative paths will start."""
    recipe: dict[str, dict[str, Any]] = field(default_factory=dict)
    origin: dict[OptionPath, tuple[str | int, ...]] = field(default_factory=dict)
    notes: dict[OptionPath, str] = field(default_factory=dict)
    carried: list[Carried] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    differs: list[Differs] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def get(self, key: str) -> Any:
        """The value of a key, None where it is left out or empty; the key counts as read."""
        self.used.add(key)
        value = self.config.values.get(key)
        return None if value in ("", [], {}) else value

    def has(self, key: str) -> bool:
        return self.get(key) is not None

    def first(self, *keys: str) -> str:
        """The first of several names of one key that the config uses, or the first name."""
        return next((key for key in keys if self.has(key)), keys[0])

    def number(self, key: str) -> float | None:
        value = self.get(key)
        if value is None:
            return None
        number = as_number(value)
        if number is None:
            self.leave(key, f"must be a number, not {show(value)}", stops=True)
        return number

    def whole(self, key: str) -> int | None:
        number = self.number(key)
        if number is None:
            return None
        if not number.is_integer():
            self.leave(key, f"must be a whole number, not {show(self.config.values[key])}", stops=True)
            return None
        return int(number)

    def switch(self, key: str) -> bool | None:
        value = self.get(key)
        if value is None or isinstance(value, bool):
            return value
        word = str(value).strip().lower()
        if word in ("true", "false", "yes", "no", "on", "off", "1", "0"):
            return word in ("true", "yes", "on", "1")
        self.leave(key, f"must be true or false, not {show(value)}", stops=True)
        return None

    def word(self, key: str) -> str | None:
        value = self.get(key)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bool):  # YAML 1.1 reads the word `no` as false
            return "yes" if value else "no"
        if isinstance(value, int | float):
            return str(value)
        self.leave(key, f"must be text, not {show(value)}", stops=True)
        return None

    def names(self, key: str) -> list[str] | None:
        """A list of text, also written as one text with commas."""
        value = self.get(key)
        if isinstance(value, str):
            return [name.strip() for name in value.split(",") if name.strip()]
        if value is None or (isinstance(value, list) and all(isinstance(name, str) for name in value)):
            return value
        self.leave(key, f"must be a list of text, not {show(value)}", stops=True)
        return None

    def carry(self, key: str | tuple[str | int, ...], option: str, value: Any, note: str = "") -> None:
        path = key if isinstance(key, tuple) else (key,)
        option_path = self._write(option, value)
        self.origin[option_path] = path
        self.notes[option_path] = note
        self.carried.append(Carried(dotted(path), self.config.line(path), option, value, note))

    def leave(self, key: str | tuple[str | int, ...], why: str, *, stops: bool = False) -> None:
        path = key if isinstance(key, tuple) else (key,)
        self.left.append(Left(dotted(path), self.config.line(path), why, stops))

    def assume(self, option: str, value: Any, why: str = "") -> None:
        """Write the other trainer's default for an option that the config leaves out."""
        default = options_by_path()[table_of(option)].default
        if value == default:
            return
        option_path = self._write(option, value)
        self.notes[option_path] = f"{self.trainer}'s default"
        note = f" ({why})" if why else ""
        self.differs.append(Differs(option, f"{show_value(value)}{note}", ours_in_words(option), True))

    def differ(self, option: str, theirs: str, ours: str) -> None:
        """A difference that the recipe cannot write out."""
        self.differs.append(Differs(option, theirs, ours, False))

    def drop(self, option: str, why: str) -> None:
        """Take a carried option back out of the recipe."""
        table, name = table_of(option)
        self.recipe.get(table, {}).pop(name, None)
        self.origin.pop((table, name), None)
        self.differs = [one for one in self.differs if one.option != option]
        for one in [one for one in self.carried if one.option == option]:
            self.carried.remove(one)
            self.left.append(Left(one.key, one.line, why))

    def value(self, option: str) -> Any:
        table, name = table_of(option)
        return self.recipe.get(table, {}).get(name, options_by_path()[table, name].default)

    def _write(self, option: str, value: Any) -> OptionPath:
        table, name = table_of(option)
        self.recipe.setdefault(table, {})[name] = value
        return table, name

    def leave_the_rest(
        self, stops: Mapping[str, str], reasons: Mapping[str, str], prefixes: Mapping[str, str]
    ) -> None:
        """List every key that nothing has read: those that stop, those known, and the unknown ones."""
        known = {*self.used, *stops, *reasons}
        named = [*(one.key for one in self.carried), *(one.key for one in self.left)]
        listed = {key.partition(".")[0].partition("[")[0] for key in named}
        for key, value in self.config.values.items():
            if value in (None, "", [], {}) or key in listed:
                continue
            if key in self.used:
                self.leave(key, "it is so here too, or has no effect beside the other keys")
                continue
            if key in stops:
                if value is not False and value not in ("none", "null", 0):
                    self.leave(key, stops[key], stops=True)
                else:
                    self.leave(key, "switched off there, and there is no such thing here")
            elif key in reasons:
                self.leave(key, reasons[key])
            elif found := next((prefix for prefix in prefixes if key.startswith(prefix)), ""):
                self.leave(key, prefixes[found])
            else:
                close = difflib.get_close_matches(key, known - {key}, n=1, cutoff=0.85)
                meant = f"; was {quote(close[0])} meant?" if close else ""
                self.leave(key, f"nothing here corresponds to it{meant}")


def as_number(value: Any) -> float | None:
    """A finite number, also one that YAML 1.1 reads as text, such as 1e-5."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def table_of(option: str) -> OptionPath:
    table, _, name = option.partition(".")
    return table, name


def dotted(path: tuple[str | int, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def show_value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return show(value).removeprefix("the text ")


def ours_in_words(option: str) -> str:
    """What leaving an option out means here."""
    default = options_by_path()[table_of(option)].default
    return "decided when the run starts" if default is None else show_value(default)
