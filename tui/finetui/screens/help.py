"""The help page: every action of the screen below it, made from the registry."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from finetui.actions import actions_of, bindings, key_name
from finetui.text import pad
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui.widgets.plot import Row


class Help(ModalScreen[None]):
    """What the keys of `scopes` do."""

    BINDINGS = bindings("help")

    def __init__(self, scopes: Sequence[str]) -> None:
        super().__init__(id="help")
        self._rows = help_rows(scopes)

    def compose(self) -> ComposeResult:
        lines = Lines(self._rows)
        lines.styles.height = len(self._rows)
        with VerticalScroll():
            yield lines
        yield KeyBar(("help",))

    def action_close(self) -> None:
        self.dismiss()


def help_rows(scopes: Sequence[str]) -> tuple[Row, ...]:
    """A line for each action: its keys and its sentence."""
    actions = actions_of(*scopes)
    keys = ["/".join(key_name(key) for key in action.keys) for action in actions]
    width = max(len(text) for text in keys)
    return tuple(
        ((f" {pad(text, width)}  ", "strong"), (action.help, ""))
        for text, action in zip(keys, actions, strict=True)
    )
