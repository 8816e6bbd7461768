"""A question that is answered with a line of text."""

from collections.abc import Callable, Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from finetui.actions import bindings
from finetui.closing import close
from finetui.text import wrapped
from finetui.widgets.field import Field
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui.widgets.plot import Row
from finetui_core.errors import InputError, Problem

MOST_LINES = 6


class Ask(ModalScreen[str | None]):
    """Dismissed with the text, or with None.

    `check` raises InputError on a text that will not do. `complete` gives the text with what a key adds to it.
    """

    BINDINGS = bindings("ask", "path")

    def __init__(
        self,
        question: str,
        text: str,
        check: Callable[[str], object],
        complete: Callable[[str], str] | None = None,
    ) -> None:
        super().__init__(id="ask")
        self._question = question
        self._text = text
        self._check = check
        self._complete = complete
        self.SCOPES = ("ask", "path") if complete else ("ask",)

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
            rows = fault_rows(error.problems, self.size.width - 2)
            fault = self.query_one("#fault", Lines)
            fault.styles.height = len(rows)
            fault.show(rows)
        else:
            close(self, text)

    def action_cancel(self) -> None:
        close(self, None)

    def action_complete(self) -> None:
        field = self.query_one(Input)
        if self._complete is not None:
            field.value = self._complete(field.value)
            field.cursor_position = len(field.value)


def fault_rows(problems: Sequence[Problem], width: int) -> list[Row]:
    """The first problem, with its place in the file that the text names, and how many more there are."""
    first, *others = problems
    place = f"{first.where.rpartition('/')[2]}: " if first.where else ""
    said: list[Row] = [((f" {line}", "warning"),) for line in wrapped(place + first.what, width)]
    said += [((f"   {line}", "muted"),) for line in wrapped(first.hint, width - 2) if first.hint]
    more: list[Row] = [((f" … and {len(others)} more", "warning"),)] if others else []
    return said[: MOST_LINES - len(more)] + more
