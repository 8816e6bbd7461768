"""From another trainer's config to a recipe, and what became of each key."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from finetui_core.errors import InputError, Problem
from finetui_core.recipe.exchange import axolotl, llamafactory, trl
from finetui_core.recipe.exchange.config_file import Config, read_config
from finetui_core.recipe.exchange.conversion import Carried, Conversion, Differs, Left, dotted
from finetui_core.recipe.faults import validate
from finetui_core.recipe.load import parse_recipe
from finetui_core.recipe.table import option_table, table_names
from finetui_core.recipe.wording import printable

TRAINERS = ("trl", "axolotl", "llamafactory")
NAMES = {"trl": "TRL", "axolotl": "axolotl", "llamafactory": "LLaMA-Factory"}
_IMPORTERS: dict[str, Callable[[Conversion], None]] = {
    "trl": trl.import_trl,
    "axolotl": axolotl.import_axolotl,
    "llamafactory": llamafactory.import_llamafactory,
}
_MARKS = {"axolotl": axolotl.MARKS, "llamafactory": llamafactory.MARKS, "trl": trl.MARKS}


@dataclass(frozen=True, slots=True)
class Imported:
    """A recipe as text, and the three lists."""

    trainer: str
    guessed: bool
    text: str
    carried: tuple[Carried, ...]
    left: tuple[Left, ...]
    differs: tuple[Differs, ...]


def import_config(path: Path, trainer: str | None, folder: Path) -> Imported:
    """Read a config and make the recipe that does the same; `folder` is where the recipe will lie.

    Raises InputError that names every key without which no recipe can be made.
    """
    config = read_config(path)
    guessed = trainer is None
    trainer = trainer or guess(config)
    if trainer == "trl":
        config = _underscored(config)
    c = Conversion(config, NAMES[trainer], folder)
    _IMPORTERS[trainer](c)
    problems = [
        Problem(f"{one.key}: {one.why}", config.where(_path(one.key, config))) for one in c.left if one.stops
    ]
    problems += _faults(c)
    if problems:
        raise InputError(problems)
    left = tuple(sorted(c.left, key=lambda one: one.line))
    text = recipe_text(c, path, left)
    parse_recipe(text, "the new recipe", folder)  # what it contradicts in itself is refused, as in any recipe
    carried = tuple(sorted(c.carried, key=lambda one: one.line))
    return Imported(trainer, guessed, text, carried, left, tuple(c.differs))


def guess(config: Config) -> str:
    """The trainer whose own keys the config has most of."""
    counts = {name: len(marks & config.values.keys()) for name, marks in _MARKS.items()}
    best = max(counts, key=lambda name: counts[name])
    if counts[best] == 0:
        hint = "say whose it is: --from trl, axolotl or llamafactory"
        raise InputError(Problem("no key tells which trainer this config belongs to", config.name, hint))
    return best


def _underscored(config: Config) -> Config:
    """TRL takes its keys with dashes too, as on its command line."""
    values = {key.lstrip("-").replace("-", "_"): value for key, value in config.values.items()}
    places = {
        (str(path[0]).lstrip("-").replace("-", "_"), *path[1:]) if path else path: place
        for path, place in config.places.items()
    }
    return Config(config.name, config.folder, values, places)


def _path(key: str, config: Config) -> tuple[str | int, ...]:
    """The path that a dotted key was written from."""
    parts: list[str | int] = []
    for part in key.replace("[", ".[").split("."):
        parts.append(int(part[1:-1]) if part.startswith("[") and part[1:-1].isdigit() else part)
    return tuple(parts)


def _faults(c: Conversion) -> list[Problem]:
    """What our ranges refuse of their values, at the place of the key."""
    problems = []
    for fault in validate(c.recipe).faults:
        origin = c.origin.get((str(fault.path[0]), str(fault.path[1])) if len(fault.path) > 1 else ("", ""))
        if origin is not None:
            problems.append(Problem(f"{dotted(origin)}: {fault.what}", c.config.where(origin), fault.hint))
    return problems


def recipe_text(c: Conversion, source: Path, left: tuple[Left, ...]) -> str:
    """The recipe in TOML; a comment beside each value says where it comes from."""
    lines = [
        f"# Made from {printable(source.name)}, a config of {c.trainer}. What it does not say is ftui's default."
    ]
    for table in table_names():
        options = c.recipe.get(table, {})
        if not options:
            continue
        lines += ["", f"[{table}]"]
        for option in option_table():
            if option.table == table and option.name in options:
                lines.append(_line(c, option.path, options[option.name]))
    if left:
        lines += ["", "# Not carried over:"]
        lines += [f"#   line {one.line}, {printable(one.key)}: {printable(one.why)}" for one in left]
    return "\n".join(lines) + "\n"


def _line(c: Conversion, option: tuple[str, str], value: Any) -> str:
    written = tomlkit.item(value).as_string()
    origin, note = c.origin.get(option), c.notes.get(option, "")
    words = [f"{dotted(origin)}, line {c.config.line(origin)}"] if origin else []
    comment = "; ".join([*words, *([note] if note else [])])
    return f"{option[1]} = {written}" + (f"  # {printable(comment)}" if comment else "")


def lists(done: Imported) -> dict[str, Any]:
    """The three lists as plain JSON values."""
    return {
        "carried_over": [
            {"key": o.key, "line": o.line, "option": o.option, "value": o.value, "note": o.note}
            for o in done.carried
        ],
        "not_carried_over": [{"key": o.key, "line": o.line, "why": o.why} for o in done.left],
        "defaults_that_differ": [
            {"option": o.option, "theirs": o.theirs, "ours": o.ours, "written": o.written}
            for o in done.differs
        ],
    }
