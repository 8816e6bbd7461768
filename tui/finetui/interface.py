"""What the commands of the core have to know about the screens."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from finetui.actions import keymap_rules
from finetui_core.interface import Interface

if TYPE_CHECKING:
    from finetui_core.evaluate.chat_client import Subject
    from finetui_core.evaluate.chat_protocol import Sampling


def interface(talk: "Callable[[Subject, Sampling, str], int] | None" = None) -> Interface:
    """With `talk`, which opens the screen of a conversation, for the command that needs one."""
    return Interface(keymap_rules(), built_in_themes(), talk)


def built_in_themes() -> Path:
    """The themes that come with ftui: inside the installed package, or beside tui/ in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "themes"
    return installed if installed.is_dir() else package.parents[1] / "themes"
