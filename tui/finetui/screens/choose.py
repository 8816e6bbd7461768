"""A question with a few answers to choose from."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen

from finetui.actions import bindings
from finetui.closing import close
from finetui.text import pad
from finetui.widgets.choices import Choices
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines

MOST_ROWS = 12


class Choose(ModalScreen[str | None]):
    """Dismissed with one of the answers, or with None. Each of them has a sentence, which may be empty."""

    BINDINGS = bindings("choose")

    def __init__(self, question: str, answers: Sequence[tuple[str, str]], chosen: str = "") -> None:
        super().__init__(id="choose")
        self._question = question
        self._answers = tuple(answers)
        self._chosen = chosen

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Lines((((" ", ""), (self._question, "strong")),), tail=True, id="asked")
            yield Choices()
        yield KeyBar(("choose",))

    def on_mount(self) -> None:
        width = max(len(answer) for answer, _ in self._answers)
        choices = self.query_one(Choices)
        choices.styles.height = min(MOST_ROWS, len(self._answers))
        choices.show(
            [((f"   {pad(answer, width)}   ", "strong"), (says, "")) for answer, says in self._answers]
        )
        names = [answer for answer, _ in self._answers]
        choices.move(names.index(self._chosen) if self._chosen in names else 0)

    def on_choices_clicked(self) -> None:
        self.action_accept()

    def action_accept(self) -> None:
        close(self, self._answers[self.query_one(Choices).cursor][0])

    def action_cancel(self) -> None:
        close(self, None)

    def action_down(self) -> None:
        self.query_one(Choices).move(1)

    def action_up(self) -> None:
        self.query_one(Choices).move(-1)
