"""Where a user's own files live: the XDG base directories (freedesktop.org, basedir 0.8)."""

import os
from pathlib import Path


def config_folder() -> Path:
    """Settings and themes: $XDG_CONFIG_HOME/ftui, or ~/.config/ftui."""
    return _folder("XDG_CONFIG_HOME", ".config")


def state_folder() -> Path:
    """What ftui keeps between two starts: $XDG_STATE_HOME/ftui, or ~/.local/state/ftui."""
    return _folder("XDG_STATE_HOME", ".local/state")


def cache_folder() -> Path:
    """What ftui can make again: $XDG_CACHE_HOME/ftui, or ~/.cache/ftui."""
    return _folder("XDG_CACHE_HOME", ".cache")


def _folder(variable: str, otherwise: str) -> Path:
    """The standard has a relative path in the variable ignored."""
    named = Path(os.environ.get(variable, ""))
    return (named if named.is_absolute() else Path("~").expanduser() / otherwise) / "ftui"
