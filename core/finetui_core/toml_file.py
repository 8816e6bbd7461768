"""A small TOML file of the user's: its values, and its faults by line and column."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetui_core.errors import InputError, Problem

_LARGEST_FILE = 1_000_000  # bytes

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at a path of keys; `at_key` tells whether the name or the value is to blame."""

    path: KeyPath
    what: str
    hint: str = ""
    at_key: bool = False


@dataclass(frozen=True, slots=True)
class TomlFile:
    path: Path
    text: str
    values: dict[str, Any]


def read_toml(path: Path) -> TomlFile:
    """Read and parse; raises InputError where the file cannot be read or is not TOML."""
    import tomli

    try:
        if not path.is_file():
            raise InputError(Problem("this is not a file", str(path), "put a TOML file there"))
        with path.open("rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise InputError(
            Problem(f"cannot be read: {error.strerror}", str(path), "check its permissions")
        ) from error
    if len(raw) > _LARGEST_FILE:
        raise InputError(Problem("the file is too large", str(path), "it has a few lines usually"))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        *above, before = raw[: error.start].decode("utf-8-sig").split("\n")
        where = f"{path}:{len(above) + 1}:{len(before) + 1}"
        raise InputError(Problem("the file is not UTF-8 text", where, "save it as UTF-8")) from error
    try:
        return TomlFile(path, text, tomli.loads(text))
    except (tomli.TOMLDecodeError, RecursionError, ValueError):
        from finetui_core.recipe.document import parse_toml  # has the words for every slip in TOML

        return TomlFile(path, text, parse_toml(text, str(path)))


def placed(file: TomlFile, faults: Iterable[Fault]) -> tuple[Problem, ...]:
    """The faults as problems that name line and column, in the order of the file."""
    found = list(faults)
    if not found:
        return ()
    from finetui_core.recipe.positions import find_positions

    positions = find_positions(file.text)
    problems = []
    for fault in found:
        places = [positions.keys, positions.values] if fault.at_key else [positions.values, positions.keys]
        place = next((places_of[fault.path] for places_of in places if fault.path in places_of), (1, 1))
        problems.append((place, Problem(fault.what, f"{file.path}:{place[0]}:{place[1]}", fault.hint)))
    return tuple(problem for _, problem in sorted(problems, key=lambda one: one[0]))


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint that names what `name` was probably meant to be, or all that it can be."""
    import difflib

    known = sorted(names)
    close = difflib.get_close_matches(name, known, n=1)
    return f'did you mean "{close[0]}"?' if close else f"there are {', '.join(known)}"


def shown(value: object) -> str:
    """A name or a value from the file, in one short line."""
    import json

    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:59]}…"
