"""The help page: every action of the screen below it, made from the registry."""

from collections.abc import Mapping, Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from finetui.actions import SCOPES, actions_of, bindings, keys_of
from finetui.closing import close
from finetui.text import pad
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines, wrapped_row
from finetui.widgets.plot import Row
from finetui_core.keymap import Keys


class Help(ModalScreen[None]):
    """What the keys of `scopes` do; `unavailable` has the reason for each action that cannot be done now."""

    BINDINGS = bindings("help")

    def __init__(self, scopes: Sequence[str], keys: Keys, unavailable: Mapping[str, str]) -> None:
        super().__init__(id="help")
        self._rows = help_rows(scopes, keys, unavailable)

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield self._page(Lines())
        yield KeyBar(("help",))

    def on_resize(self) -> None:
        self._page(self.query_one(Lines))

    def _page(self, lines: Lines) -> Lines:
        """All sentences in `lines`, wrapped: the height of the page follows from its width."""
        rows = [line for row in self._rows for line in wrapped_row(row, self.app.size.width - 1)]
        lines.styles.height = len(rows)
        lines.show(rows)
        return lines

    def action_close(self) -> None:
        close(self)

    def action_down(self) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=1, animate=False)

    def action_up(self) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=-1, animate=False)

    def action_page_down(self) -> None:
        self.query_one(VerticalScroll).scroll_page_down(animate=False)

    def action_page_up(self) -> None:
        self.query_one(VerticalScroll).scroll_page_up(animate=False)


def help_rows(
    scopes: Sequence[str], keys: Keys | None = None, unavailable: Mapping[str, str] | None = None
) -> tuple[Row, ...]:
    """A heading for each scope, and a line for each of its actions: its keys and its sentence."""
    actions = {scope: actions_of(scope, keys=keys) for scope in scopes}
    width = max(len(keys_of(action)) for some in actions.values() for action in some)
    rows: list[Row] = []
    for scope, some in actions.items():
        if some:
            rows.append(((f" {SCOPES.get(scope, scope)}", "accent"),))
        for action in some:
            reason = (unavailable or {}).get(action.id)
            style = "" if reason is None else "muted"
            rows.append(((f"   {pad(keys_of(action), width)}  ", style or "strong"), (action.help, style)))
            if reason:
                rows.append(((" " * (width + 5), ""), (f"Not now: {reason}.", "warning")))
    return tuple(rows)
