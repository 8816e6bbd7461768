"""A question that is answered with a line of text."""

from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from finetui.actions import bindings
from finetui.widgets.field import Field
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui_core.errors import InputError


class Ask(ModalScreen[str | None]):
    """Dismissed with the text, or with None. `check` raises InputError on a text that will not do."""

    BINDINGS = bindings("ask")
    SCOPES = ("ask",)

    def __init__(self, question: str, text: str, check: Callable[[str], object]) -> None:
        super().__init__(id="ask")
        self._question = question
        self._text = text
        self._check = check

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Lines((((f" {self._question}", "strong"),),))
            yield Field(self._text, compact=True, select_on_focus=False)
            yield Lines(id="fault")
        yield KeyBar(self.SCOPES)

    def on_input_submitted(self) -> None:
        self.action_accept()

    def action_accept(self) -> None:
        text = self.query_one(Input).value
        try:
            self._check(text)
        except InputError as error:
            problem = error.problems[0]
            said = f" {problem.what}: {problem.hint}" if problem.hint else f" {problem.what}"
            self.query_one("#fault", Lines).show([((said, "warning"),)])
        else:
            self.dismiss(text)

    def action_cancel(self) -> None:
        self.dismiss(None)
