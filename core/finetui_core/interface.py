"""What a command has to know about the screens, handed in by them: the core does not import them."""

from dataclasses import dataclass, field
from pathlib import Path

from finetui_core.keymap import Actions
from finetui_core.themes import theme_files


@dataclass(frozen=True, slots=True)
class Interface:
    """The actions that can have keys, and the folder of the themes that come with ftui."""

    actions: Actions = field(default_factory=Actions)
    themes_folder: Path = Path()

    def themes(self, users: Path) -> dict[str, Path]:
        """All themes by name; one of the user's hides one of ours with the same name."""
        return {**theme_files(self.themes_folder), **theme_files(users)}
