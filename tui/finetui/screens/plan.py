"""What a command would do, to be read before it is done."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen

from finetui.actions import bindings
from finetui.closing import close
from finetui.lines_of import Rows
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui.widgets.pager import Pager
from finetui.widgets.plot import Row


class Plan(ModalScreen[bool]):
    """Dismissed with whether to do it."""

    BINDINGS = bindings("plan")
    SCOPES = ("plan", "log")

    def __init__(self, title: str, text: str) -> None:
        super().__init__(id="plan")
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Lines((((f" {self._title}", "strong"), ("   ↑ ↓ scroll", "muted")),))
            yield Pager()
        yield KeyBar(("plan",))

    def on_mount(self) -> None:
        pager = self.query_one(Pager)
        rows: list[Row] = []
        for line in self._text.splitlines():
            words = line.lstrip(" ")
            rows.append(((" " * (1 + len(line) - len(words)), ""), (words, "")))
        pager.show(Rows(lambda width: rows), follows=False)
        pager.focus()

    def action_accept(self) -> None:
        close(self, True)

    def action_close(self) -> None:
        if not self.query_one(Pager).leave_search():
            close(self, False)
