"""The user's settings: one TOML file. What is wrong in it is told, and never keeps the program from starting."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from finetui_core.errors import InputError, Problem
from finetui_core.files import private_folder, write_atomically
from finetui_core.folders import config_folder
from finetui_core.keymap import Actions, Keys, read_keymap
from finetui_core.runs.slurm_options import HINT, fault_of
from finetui_core.themes import DEFAULT
from finetui_core.toml_file import Fault, nearest, placed, read_toml, shown

LEAST_REFRESH, MOST_REFRESH = 0.2, 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be set. Seconds between two looks at a run; `keys` holds only the actions with changed keys."""

    theme: str = DEFAULT
    refresh_seconds: float = 1.0
    mouse: bool = True
    keys: Keys = field(default_factory=dict)
    slurm: Mapping[str, str] = field(default_factory=dict)


MEANINGS: Mapping[str, tuple[str, str]] = {
    "theme": (
        "the name of a theme",
        "The colours of the screens; the palette (`:`) changes them too, and writes its choice here.",
    ),
    "refresh_seconds": (
        f"a number from {LEAST_REFRESH:g} to {MOST_REFRESH:g}",
        "How often the screens look at the runs, in seconds. More saves bytes over a slow line.",
    ),
    "mouse": (
        "true or false",
        "Whether clicks and the wheel go to ftui. Without it, the terminal selects text as it does elsewhere.",
    ),
    "keys": (
        "a table of actions with a key or a list of keys each",
        "Other keys for actions. What is not named keeps the keys that it has by itself.",
    ),
    "slurm": (
        "a table of options of sbatch, each a text",
        "What every job of `ftui train --launch slurm` asks for; `--slurm KEY=VALUE` comes before it.",
    ),
}
"""Setting → what it may be, and what it does; for docs/settings.md and the words of the faults."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """`settings` with the default where the file says nothing or something wrong; `problems` tells what."""

    settings: Settings
    problems: tuple[Problem, ...] = ()


def settings_file() -> Path:
    return config_folder() / "settings.toml"


def user_themes_folder() -> Path:
    return config_folder() / "themes"


def load(path: Path, actions: Actions, themes: Collection[str]) -> Loaded:
    """The settings in `path`, or the defaults where there is no such file. Never raises."""
    if not path.exists():
        return Loaded(Settings())
    try:
        file = read_toml(path)
    except InputError as error:
        return Loaded(Settings(), error.problems)
    faults = list(_faults(file.values, themes))
    wrong = {fault.path[0] for fault in faults}
    given = {name: value for name, value in file.values.items() if name in _NAMES and name not in wrong}
    keys, key_faults = read_keymap(given.pop("keys", {}), actions)
    return Loaded(Settings(**given, keys=keys), placed(file, [*faults, *key_faults]))


_NAMES = frozenset(one.name for one in fields(Settings))


def _faults(values: Mapping[str, Any], themes: Collection[str]) -> Iterator[Fault]:
    for name in values:
        if name not in _NAMES:
            yield Fault((name,), f"unknown setting {shown(name)}", nearest(name, _NAMES), at_key=True)
    theme = values.get("theme", DEFAULT)
    if not isinstance(theme, str) or (themes and theme not in themes):
        yield Fault(("theme",), f"there is no theme {shown(theme)}", nearest(str(theme), themes))
    seconds = values.get("refresh_seconds", 1.0)
    if not _is_number(seconds) or not LEAST_REFRESH <= seconds <= MOST_REFRESH:
        yield _wrong("refresh_seconds", seconds)
    if not isinstance(values.get("mouse", True), bool):
        yield _wrong("mouse", values["mouse"])
    slurm = values.get("slurm", {})
    if not isinstance(slurm, dict):
        yield _wrong("slurm", slurm)
        return
    for key, value in slurm.items():
        if fault := fault_of(key, value):
            yield Fault(("slurm", key), fault, HINT)


def _wrong(name: str, value: object) -> Fault:
    default = shown(getattr(Settings(), name))
    hint = f"take the line out for the default, {default}"
    return Fault((name,), f"{name} must be {MEANINGS[name][0]}, not {shown(value)}", hint)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def keep_theme(path: Path, theme: str) -> None:
    """Write `theme` into the settings file; everything else in it, comments too, stays as it is.

    Raises InputError where the file is not TOML, and OSError.
    """
    import tomlkit

    document = tomlkit.parse(read_toml(path).text) if path.exists() else tomlkit.document()
    document["theme"] = theme
    private_folder(path.parent)
    write_atomically(path, tomlkit.dumps(document).encode())
