"""What a command has to know about the screens, handed in by them: the core does not import them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from finetui_core.keymap import Actions
from finetui_core.themes import theme_files

if TYPE_CHECKING:
    from finetui_core.evaluate.chat_client import Subject
    from finetui_core.evaluate.chat_protocol import Sampling


@dataclass(frozen=True, slots=True)
class Interface:
    """The actions that can have keys, and the folder of the themes that come with ftui.

    `talk` opens the screen on which one talks to a model, with a system prompt, and returns the exit code once it is
    left; None where there are no screens.
    """

    actions: Actions = field(default_factory=Actions)
    themes_folder: Path = Path()
    talk: "Callable[[Subject, Sampling, str], int] | None" = None

    def themes(self, users: Path) -> dict[str, Path]:
        """All themes by name; one of the user's hides one of ours with the same name."""
        return {**theme_files(self.themes_folder), **theme_files(users)}
