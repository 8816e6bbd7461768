"""Themes: one TOML file each, which gives a colour to every meaning that the screens know.

A file may name a theme that comes with ftui as its `base`, and then give only the colours that differ.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetui_core.errors import InputError, Problem
from finetui_core.toml_file import Fault, nearest, placed, read_toml, shown

COLOURS: Mapping[str, str] = {
    "background": "behind everything",
    "panel": "behind the first line, the line of keys and what opens over a screen",
    "foreground": "text",
    "muted": "text of less weight: labels, times, hints",
    "axis": "the axes of charts, and lines between areas",
    "accent": "what is chosen, what is under way",
    "good": "running, finished, a better value",
    "warning": "paused, stalled, silent, and notices that warn",
    "bad": "failed, killed, died, and errors",
    "raw": "the points of a curve behind its mean",
    "train": "the training curve",
    "validation": "the validation curve",
    **{
        f"run-{number}": f"the curve of run {number} where several lie over each other"
        for number in range(1, 7)
    },
}
"""What has a colour, and what it says: grounds and text, states, the curves of one run and of several."""
DEFAULT, DEFAULT_LIGHT = "ftui-dark", "ftui-light"

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_DARK_HINT = "take the line out for that of the base"
_COLOUR_HINT = 'write it as "#rrggbb", such as "#5fafff"'


@dataclass(frozen=True, slots=True)
class Theme:
    """`colours` has an entry "#rrggbb" for each of `COLOURS`."""

    name: str
    dark: bool
    colours: Mapping[str, str]


def theme_files(folder: Path) -> dict[str, Path]:
    """The themes in `folder` by name; none where it does not exist or cannot be read."""
    try:
        return {path.stem: path for path in sorted(folder.glob("*.toml"))}
    except OSError:
        return {}


def load_theme(path: Path, built_in: Path) -> Theme:
    """Read a theme; the theme that it builds on is looked up in the folder `built_in`.

    Raises InputError with every fault: a name that means nothing, a colour that is none, a colour that is
    missing in a file without a base.
    """
    file = read_toml(path)
    problems = placed(file, _faults(file.values, built_in))
    if problems:
        raise InputError(problems)
    dark = file.values.get("dark")
    base = _base(file.values, path, built_in)
    colours = {**(base.colours if base else {}), **file.values.get("colours", {})}
    if missing := [name for name in COLOURS if name not in colours]:
        hint = f'give them, or write base = "{DEFAULT}" to take them from there'
        raise InputError(Problem(f"colours are missing: {', '.join(missing)}", str(path), hint))
    return Theme(path.stem, (base.dark if base else True) if dark is None else dark, colours)


def _base(values: Mapping[str, Any], path: Path, built_in: Path) -> Theme | None:
    """A theme of the user's without a base builds on the default one."""
    if path.parent == built_in:
        return None
    name = values.get("base", DEFAULT_LIGHT if values.get("dark") is False else DEFAULT)
    return load_theme(theme_files(built_in)[name], built_in)


def _faults(values: Mapping[str, Any], built_in: Path) -> Iterator[Fault]:
    known = ("base", "dark", "colours")
    for name in values:
        if name not in known:
            yield Fault((name,), f"unknown name {shown(name)}", nearest(name, known), at_key=True)
    if not isinstance(values.get("dark", True), bool):
        yield Fault(("dark",), f"dark must be true or false, not {shown(values['dark'])}", _DARK_HINT)
    base = values.get("base", DEFAULT)
    if not isinstance(base, str) or base not in theme_files(built_in):
        hint = nearest(str(base), theme_files(built_in))
        yield Fault(("base",), f"there is no theme {shown(base)} to build on", hint)
    colours = values.get("colours", {})
    if not isinstance(colours, dict):
        yield Fault(("colours",), f"colours must be a table, not {shown(colours)}", "write [colours]")
        return
    for name, colour in colours.items():
        if name not in COLOURS:
            what = f"no colour is called {shown(name)}"
            yield Fault(("colours", name), what, nearest(name, COLOURS), at_key=True)
        elif not (isinstance(colour, str) and _COLOUR.fullmatch(colour)):
            yield Fault(("colours", name), f"{name} must be a colour, not {shown(colour)}", _COLOUR_HINT)
