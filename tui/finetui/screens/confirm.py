"""A question before something that cannot be taken back."""

from textual.app import ComposeResult
from textual.screen import ModalScreen

from finetui.actions import bindings
from finetui.closing import close
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines


class Confirm(ModalScreen[bool]):
    """Dismissed with True for yes and False for no."""

    BINDINGS = bindings("confirm")

    def __init__(self, question: str) -> None:
        super().__init__(id="confirm")
        self._question = question

    def compose(self) -> ComposeResult:
        yield Lines((((" ", ""), (self._question, "strong")),), id="question", tail=True)
        yield KeyBar(("confirm",))

    def action_yes(self) -> None:
        close(self, True)

    def action_no(self) -> None:
        close(self, False)
