"""`ftui settings show|path|check`: the settings in force, where they are kept, and what is wrong in them."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from finetui_core.cli.say import data, data_json, talk
from finetui_core.errors import InputError, Problem
from finetui_core.interface import Interface
from finetui_core.settings import Loaded, Settings, load, settings_file, user_themes_folder
from finetui_core.themes import load_theme, theme_files
from finetui_core.toml_file import shown

CHECK_FOUND_ERRORS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        choices=("show", "path", "check"),
        help="show: every setting and its value; path: the files; check: every fault in them",
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    interface: Interface = options.interface
    if options.what == "path":
        return _paths(options.json)
    loaded = load(settings_file(), interface.actions, interface.themes(user_themes_folder()))
    if options.what == "show":
        return _show(loaded, options.json)
    return _check([*loaded.problems, *_theme_problems(interface.themes_folder)], options.json)


def _paths(as_json: bool) -> int:
    places = {"settings": str(settings_file()), "themes": str(user_themes_folder())}
    if as_json:
        data_json(places)
    else:
        for name, place in places.items():
            data(f"{name:<9} {place}")
    return 0


def _show(loaded: Loaded, as_json: bool) -> int:
    settings = _plain(loaded.settings)
    if as_json:
        data_json(settings)
    else:
        for name, value in settings.items():
            if name not in ("keys", "slurm"):
                data(f"{name} = {shown(value)}{_mark(value == getattr(Settings(), name))}")
        for option, value in loaded.settings.slurm.items():
            data(f"slurm.{option} = {shown(value)}")
        for action, keys in loaded.settings.keys.items():
            data(f"keys.{shown(action)} = {shown(list(keys))}")
    if loaded.problems:
        talk(f"{len(loaded.problems)} faults were passed over: ftui settings check names them")
    return 0


def _mark(is_default: bool) -> str:
    return "  # the default" if is_default else ""


def _plain(settings: Settings) -> dict[str, Any]:
    return {**asdict(settings), "keys": {action: list(keys) for action, keys in settings.keys.items()}}


def _theme_problems(built_in: Path) -> list[Problem]:
    found: list[Problem] = []
    for path in theme_files(user_themes_folder()).values():
        try:
            load_theme(path, built_in)
        except InputError as error:
            found += error.problems
    return found


def _check(problems: list[Problem], as_json: bool) -> int:
    if as_json:
        data_json({"ok": not problems, "problems": [asdict(problem) for problem in problems]})
    else:
        for problem in problems:
            data(str(problem))
        talk(f"{len(problems)} faults" if problems else "no fault in the settings and themes")
    return CHECK_FOUND_ERRORS if problems else 0
