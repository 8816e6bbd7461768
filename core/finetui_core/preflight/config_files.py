"""Where a model's config.json is: its folder, the hub cache on disk, or the shipped table. Nothing is downloaded."""

import json
import os
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

LARGEST_CONFIG = 1_000_000  # bytes
_TABLE = Path(__file__).with_name("shapes.toml")
_VARIANT = frozenset(
    [
        "instruct",
        "it",
        "chat",
        "hf",
        "base",
        "pt",
        "bnb",
        "4bit",
        "8bit",
        "unsloth",
        "meta",
        "deduped",
        "2507",
        "awq",
        "gptq",
        "quantized",
        "fp8",
    ]
)
"""Parts of a name that say how a model was tuned or stored, and not how it is built."""


def find_config(name: str, revision: str | None = None) -> tuple[dict[str, Any], str] | None:
    """A model's configuration and where it was read, or None. Never raises."""
    try:
        return _in_folder(Path(name)) or _in_cache(name, revision) or _in_table(name)
    except (OSError, ValueError):
        return None


def is_on_disk(name: str, revision: str | None = None) -> bool:
    """Whether a model's files are in a folder or in the hub cache. Never raises."""
    try:
        return (_in_folder(Path(name)) or _in_cache(name, revision)) is not None
    except (OSError, ValueError):
        return False


def _in_folder(folder: Path) -> tuple[dict[str, Any], str] | None:
    path = folder / "config.json"
    config = _read(path)
    return None if config is None else (config, str(path))


def _read(path: Path) -> dict[str, Any] | None:
    """A JSON object of sane size; None for anything else."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            raw = file.read(LARGEST_CONFIG + 1)
        value = json.loads(raw) if len(raw) <= LARGEST_CONFIG else None
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def hub_cache() -> Path:
    """The folder that huggingface_hub keeps downloads in, by the same variables."""
    if cache := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(cache).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface" / "hub"


def _in_cache(name: str, revision: str | None) -> tuple[dict[str, Any], str] | None:
    parts = name.split("/")
    if len(parts) > 2 or any(part in ("", ".", "..") for part in parts):
        return None
    folder = hub_cache() / "--".join(["models", *parts])
    wanted = revision or "main"
    reference = folder / "refs" / wanted
    if ".." not in Path(wanted).parts and reference.is_file() and reference.stat().st_size < 1000:
        wanted = reference.read_text(encoding="utf-8", errors="replace").strip()
    if "/" in wanted or wanted in (".", ".."):
        return None
    return _in_folder(folder / "snapshots" / wanted)


@lru_cache(maxsize=1)
def _table() -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]], str]:
    """The shipped configurations by their whole name and by the part that all variants share, and their date."""
    with _TABLE.open("rb") as file:
        table = tomllib.load(file)
    exact: dict[str, dict[str, Any]] = {}
    common: dict[str, dict[str, Any]] = {}
    for model in table["models"]:
        config = dict(model["config"])
        if config.get("sliding_window") == 0:
            config["sliding_window"] = None
        for name in model["names"]:
            exact[name.lower()] = config
            common.setdefault(_plain(name), config)
    return exact, common, str(table["as_of"])


def _in_table(name: str) -> tuple[dict[str, Any], str] | None:
    exact, common, as_of = _table()
    config = exact.get(name.lower()) or common.get(_plain(name))
    return None if config is None else (dict(config), f"the shipped table of {as_of}")


def _plain(name: str) -> str:
    """A name without its owner and without what says how the model was tuned or stored."""
    parts = name.lower().rpartition("/")[2].split("-")
    return "-".join(part for part in parts if part not in _VARIANT)


def known_names() -> list[str]:
    """The lower-case names that the shipped table has."""
    return sorted(_table()[0])
