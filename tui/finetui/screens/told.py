"""What a command said when it could not do what was asked: all of it, over the screen below."""

from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen

from finetui.actions import bindings
from finetui.closing import close
from finetui.lines_of import Rows
from finetui.text import safe
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui.widgets.pager import Pager
from finetui.widgets.plot import Row

if TYPE_CHECKING:
    from finetui.app import Studio


class Told(ModalScreen[None]):
    """Shows `text` below a title in some style, wrapped, to be scrolled and copied."""

    BINDINGS = bindings("told")
    SCOPES = ("told", "log")

    def __init__(self, title: str, text: str, *, style: str = "bad") -> None:
        super().__init__(id="told")
        self._title = title
        self._text = text
        self._style = style

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Lines((((f" {self._title}", self._style), ("   ↑ ↓ scroll", "muted")),))
            yield Pager()
        yield KeyBar(("told",))

    def on_mount(self) -> None:
        pager = self.query_one(Pager)
        rows = [_row(line) for line in self._text.splitlines()]
        pager.show(Rows(lambda width: rows), follows=False)
        pager.focus()

    def action_close(self) -> None:
        if not self.query_one(Pager).leave_search():
            close(self)

    def action_copy(self) -> None:
        cast("Studio", self.app).copy(safe(self._text, keep="\n"))


def _row(line: str) -> Row:
    """Wrapped lines begin where the line does."""
    words = line.lstrip(" ")
    return (" " * (1 + len(line) - len(words)), ""), (words, "")
