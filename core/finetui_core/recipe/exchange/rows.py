"""Data sets that another trainer's config names: local files, hub data sets, and their layout."""

import re
from pathlib import Path
from typing import Any

from finetui_core.data.formats import SHAREGPT_ROLES
from finetui_core.recipe.exchange.common import local
from finetui_core.recipe.exchange.conversion import Conversion

LOADERS = {"json", "csv", "parquet", "arrow"}
"""Words that stand in place of a hub data set's name when `data_files` names the files."""
_SUFFIXES = (".json", ".jsonl", ".csv", ".parquet", ".arrow")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
_SPLIT = re.compile(r"([\w.-]+)(\[.*\])?", re.ASCII)
_KEYS_READ = ("messages", "conversations", "conversation")

Path_ = tuple[str | int, ...]


def carry_rows(
    c: Conversion, option: str, path: Path_, name: Any, split: Any = None, split_path: Path_ = ()
) -> bool:
    """Write a data set into `data.train` or `data.val`; False where it cannot be named here."""
    if not isinstance(name, str) or not name:
        c.leave(path, "must be the name of a data set", stops=True)
        return False
    found = local(c, name)
    if found is not None and found.is_dir():
        c.leave(path, "a folder; a recipe names one file of it", stops=True)
        return False
    if found is not None:
        c.carry(path, option, portable(found, c.folder))
        if isinstance(split, str) and (slice_ := split.partition("[")[1:]) and slice_[0]:
            c.leave(split_path, "a slice of the rows; the whole file is read here")
        return True
    if name.endswith(_SUFFIXES) or name.startswith((".", "/", "~")):
        c.leave(path, "there is no such file, seen from the current folder or from the config's", stops=True)
        return False
    if "://" in name or not _HUB_ID.fullmatch(name):
        c.leave(path, "neither a file nor the name of a hub data set; fetch it and name the file", stops=True)
        return False
    c.carry(path, option, f"hub:{name}{_split(c, split, split_path)}")
    return True


def _split(c: Conversion, split: Any, path: Path_) -> str:
    if not isinstance(split, str) or split == "":
        return ""
    match = _SPLIT.fullmatch(split)
    if match is None:
        c.leave(path, "more than one split; the first is read here", stops=False)
        first = re.match(r"[\w.-]+", split)
        return f"#{first[0]}" if first else ""
    if match[2]:
        c.leave(path, f"the slice {match[2]} of the rows; the whole split {match[1]} is read here")
    return f"#{match[1]}"


def portable(path: Path, folder: Path) -> str:
    """A path as a recipe in `folder` names it: relative beneath it, else absolute."""
    folder = folder.resolve()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def one_file(c: Conversion, path: Path_, files: Any) -> str | None:
    """The one file that `data_files` names."""
    if isinstance(files, list) and len(files) == 1:
        files = files[0]
    if isinstance(files, str) and not set(files) & set("*?["):
        return files
    c.leave(path, "more than one file; join them, a recipe has one training file", stops=True)
    return None


def chat_format(
    c: Conversion, at: Path_, messages: str, role: str, content: str, aliases: dict[str, str] | None = None
) -> str | None:
    """The layout of rows with turns, from the names of their fields; `aliases` are their words for roles."""
    if messages not in _KEYS_READ:
        c.leave(at, f"rows have their turns in {messages}; here in {', '.join(_KEYS_READ)}", stops=True)
        return None
    for word, meant in (aliases or {}).items():
        if SHAREGPT_ROLES.get(word) != meant:
            c.leave(at, f"the role {word} for {meant} is not known here: rename it in the rows", stops=True)
            return None
    if (role, content) == ("role", "content"):
        return "messages"
    if (role, content) == ("from", "value"):
        return "sharegpt"
    c.leave(at, f"turns of {role} and {content}; here role and content, or from and value", stops=True)
    return None


def say_others(c: Conversion, paths: list[Path_]) -> None:
    """More than one data set: the first is carried over."""
    for path in paths:
        c.leave(path, "a recipe has one set of training rows: join the files to train on this one too")
