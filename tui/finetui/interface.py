"""What the commands of the core have to know about the screens."""

from pathlib import Path

from finetui.actions import keymap_rules
from finetui_core.interface import Interface


def interface() -> Interface:
    return Interface(keymap_rules(), built_in_themes())


def built_in_themes() -> Path:
    """The themes that come with ftui: inside the installed package, or beside tui/ in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "themes"
    return installed if installed.is_dir() else package.parents[1] / "themes"
