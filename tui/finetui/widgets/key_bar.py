"""The line at the foot of a screen that names its keys."""

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events
from textual.strip import Strip
from textual.widget import Widget

from finetui.actions import actions_of, key_name
from finetui.widgets import paint


class KeyBar(Widget):
    """Keys and labels of the actions of `scopes`; a click on one presses its key."""

    COMPONENT_CLASSES = paint.COMPONENT_CLASSES

    def __init__(self, scopes: Sequence[str]) -> None:
        super().__init__()
        self._actions = [action for action in actions_of(*scopes) if action.in_bar]
        self._unavailable: frozenset[str] = frozenset()
        self._labels: dict[str, str] = {}

    def show(self, *, unavailable: frozenset[str], labels: dict[str, str]) -> None:
        """Dim the actions whose ids are `unavailable`; `labels` replaces labels by id."""
        if (unavailable, labels) != (self._unavailable, self._labels):
            self._unavailable, self._labels = unavailable, labels
            self.refresh()

    def render_line(self, y: int) -> Strip:
        spans = [
            span
            for action_id, key, label in self._entries()
            for span in (
                (f" {key}", "muted" if action_id in self._unavailable else "strong"),
                (f" {label} ", "muted" if action_id in self._unavailable else ""),
            )
        ]
        return paint.strip(self, tuple(spans) if y == 0 else (), self.size.width)

    async def on_click(self, event: events.Click) -> None:
        end = 0
        for action, (_, key, label) in zip(self._actions, self._entries(), strict=True):
            end += cell_len(f" {key} {label} ")
            if event.x < end:
                self.app.simulate_key(action.keys[0])
                return

    def _entries(self) -> list[tuple[str, str, str]]:
        return [(a.id, key_name(a.keys[0]), self._labels.get(a.id, a.label)) for a in self._actions]
