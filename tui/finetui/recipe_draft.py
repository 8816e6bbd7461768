"""The text of one recipe while it is edited: two views change it, with one history over both."""

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from finetui_core.recipe.saving import Opened

MOST_KEPT = 20_000_000
"""Characters that the history holds at most."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The text, and where the next character would be typed."""

    text: str
    cursor: int


@dataclass
class Draft:
    """`opened` is the file as it was read, or None for a recipe that is in no file yet; `saved` the text that it
    holds. Relative paths start at `folder`, and `name` stands for the recipe on the screen."""

    opened: Opened | None
    name: str
    folder: Path
    text: str
    saved: str
    cursor: int = 0
    _past: deque[Moment] = field(default_factory=deque)
    _future: list[Moment] = field(default_factory=list)
    _typing: tuple[str, int] | None = None
    _kept: int = 0

    @property
    def unsaved(self) -> bool:
        return self.text != self.saved

    @property
    def newline(self) -> str:
        return "\r\n" if "\r\n" in self.text else "\n"

    def change(self, text: str, cursor: int | None = None, typing: str = "") -> bool:
        """Put another text in place; whether it is another one.

        Changes of one kind of `typing` that follow each other at the cursor are one step of the history. Without
        a `cursor`, it stays at the character where it was.
        """
        if text == self.text:
            self.cursor = self.cursor if cursor is None else cursor
            return False
        at = _carried(self.cursor, self.text, text) if cursor is None else cursor
        if not typing or self._typing != (typing, self.cursor):
            self._keep(Moment(self.text, self.cursor))
        self._future.clear()
        self.text, self.cursor = text, at
        self._typing = (typing, at) if typing else None
        return True

    def undo(self) -> bool:
        """Back by a step; whether there was one."""
        if not self._past:
            return False
        self._future.append(Moment(self.text, self.cursor))
        self._take(self._past.pop())
        self._kept -= len(self.text)
        return True

    def redo(self) -> bool:
        """Do again what was undone last; whether there was something."""
        if not self._future:
            return False
        self._keep(Moment(self.text, self.cursor))
        self._take(self._future.pop())
        return True

    def _take(self, moment: Moment) -> None:
        self.text, self.cursor, self._typing = moment.text, moment.cursor, None

    def _keep(self, moment: Moment) -> None:
        self._past.append(moment)
        self._kept += len(moment.text)
        while self._kept > MOST_KEPT:
            self._kept -= len(self._past.popleft().text)


def _carried(cursor: int, before: str, after: str) -> int:
    """The cursor at the same character of a text that was changed in one place before or behind it."""
    shared = min(len(before), len(after), cursor)
    if before[:shared] == after[:shared]:
        return min(cursor, len(after))
    return max(0, min(len(after), cursor + len(after) - len(before)))


def opened_draft(opened: Opened) -> Draft:
    """A file as it was read."""
    return Draft(opened, opened.path.name, opened.path.parent, opened.text, opened.text)


def new_draft(name: str, folder: Path, text: str) -> Draft:
    """A recipe that is in no file yet."""
    return Draft(None, name, folder, text, "")
