"""Reading a TOML file as text and values, and the words for every way in which the file can be bad."""

import difflib
import re
from pathlib import Path
from typing import Any

import tomli

from finetui_core.errors import InputError, Problem
from finetui_core.recipe.names import odd_letter
from finetui_core.recipe.wording import printable

_LARGEST_FILE = 250_000  # bytes; a recipe has some thousand


def read_text(path: Path) -> str:
    """The text of a TOML file; raises InputError where there is none to read."""
    try:
        if path.is_dir():
            raise _bad(path, "this is a folder, not a file", _recipes_in(path))
        if path.is_symlink() and not path.exists():
            raise _bad(path, "this link leads to no file", f"it points to {printable(path.readlink())}")
        if not path.exists():
            raise _bad(path, "there is no such file", nearest_file(path))
        if not path.is_file():
            raise _bad(path, "this is not a regular file", "give the path of a TOML file")
        if path.stat().st_size > _LARGEST_FILE:
            raise _bad(path, "this file is too large for a recipe", "a recipe is a few kilobytes of TOML")
        with path.open("rb") as file:  # it may grow meanwhile
            raw = file.read(_LARGEST_FILE)
    except OSError as fault:
        raise _bad(path, f"the file cannot be read: {fault.strerror}", "check its permissions") from fault
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = raw[: fault.start].count(b"\n") + 1
        problem = Problem("the file is not UTF-8 text", f"{printable(path)}:{line}", "save it as UTF-8")
        raise InputError(problem) from fault
    if not text.strip():
        raise _bad(
            path,
            "the file is empty",
            'a recipe needs at least name = "..." under [model] and train = "..." under [data]',
        )
    return text


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """The values of a TOML text; raises InputError at `name:line:column` where it is not TOML."""
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as fault:
        lines = text.splitlines()
        line = lines[fault.lineno - 1] if fault.lineno <= len(lines) else ""
        raise InputError(
            Problem(
                f"not valid TOML: {fault.msg}", f"{name}:{fault.lineno}:{fault.colno}", _syntax_hint(line)
            )
        ) from fault
    except (RecursionError, ValueError) as fault:
        raise InputError(
            Problem("a value is nested too deeply or is a number too long to read", name, "write it shorter")
        ) from fault


def nearest_file(path: Path) -> str:
    """A hint that names the entry most like the missing one, or says that its folder is missing too."""
    if not path.parent.is_dir():
        return f"its folder {printable(path.parent)} does not exist either"
    close = similar_file(path)
    return f"did you mean {printable(close)}?" if close is not None else "check the path"


def similar_file(path: Path) -> Path | None:
    """The entry of the folder whose name is most like that of the path; None where none is like it."""
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return None
    close = difflib.get_close_matches(path.name, names, n=1)
    return path.parent / close[0] if close else None


def _bad(path: Path, what: str, hint: str) -> InputError:
    return InputError(Problem(what, printable(path), hint))


def _recipes_in(folder: Path) -> str:
    recipes = sorted(entry.name for entry in folder.glob("*.toml"))[:5]
    return printable(f"TOML files in it: {', '.join(recipes)}") if recipes else "give the path of a TOML file"


def _syntax_hint(line: str) -> str:
    """What to change in a line that is not TOML, for the slips that people make most."""
    shown = printable(line.strip())
    key, equals, value = (part.strip() for part in shown.partition("="))
    if odd := odd_letter(key.split("#")[0]):
        return f"a name without quotes has plain letters only: {odd}"
    if not equals and ":" in key:
        return f'TOML writes key = value, not "key: value": {shown[:80]}'
    if re.fullmatch(r"(True|False)\b.*", value):
        return f"TOML writes true and false in small letters: {shown[:80]}"
    if re.fullmatch(r"(None|null|nil|none)\b.*", value):
        return f"TOML has no empty value: leave {key} out"
    if re.match(r"[A-Za-z~./]", value):
        return f"text goes in quotes: {shown[:80]}"
    return f"the line reads: {shown[:80]}" if shown else ""
