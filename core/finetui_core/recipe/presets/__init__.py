"""The recipes to start from: TOML files whose first line says what each is for."""

from pathlib import Path

from finetui_core.errors import InputError, Problem
from finetui_core.recipe.names import suggest_word

PLACEHOLDERS = (("model", "name"), ("data", "train"))
"""The options that a preset names only to be filled in."""

_ORDER = ("lora", "qlora", "full", "quick")


def preset_names() -> tuple[str, ...]:
    return _ORDER


def preset_text(name: str) -> str:
    """The recipe's text. Raises InputError, which names the presets, where there is none of this name."""
    if name not in _ORDER:
        raise InputError(Problem(f"there is no preset {name!r}", "", suggest_word(name, _ORDER)))
    return (Path(__file__).parent / f"{name}.toml").read_text(encoding="utf-8")


def preset_purpose(name: str) -> str:
    """What the preset is for, in a sentence."""
    return preset_text(name).splitlines()[0].lstrip("# ")
