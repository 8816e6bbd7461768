"""What the dashboard says of the comparison of a run."""

from pathlib import Path
from typing import TYPE_CHECKING

from finetui.widgets.plot import Span

if TYPE_CHECKING:
    from finetui.compare_list import Watched


class RunComparison:
    """Looks for a comparison of `run`. What it takes to understand one is loaded only once there is one."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._folder = run / "report" / "compare"
        self._watched: Watched | None = None
        self.words: Span = ("", "")

    def refresh(self) -> bool:
        """Read what is new; whether there is something else to say."""
        before, self.words = self.words, self._look()
        return before != self.words

    def _look(self) -> Span:
        if not self._folder.is_dir():
            return "", ""
        from finetui.compare_list import Watched, holds_comparison

        if not holds_comparison(self._folder):
            return "", ""
        self._watched = self._watched or Watched(self._folder, self._run)
        return self._watched.look().words()
