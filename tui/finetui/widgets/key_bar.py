"""The line at the foot of a screen that names its keys."""

from collections.abc import Mapping, Sequence, Set

from rich.cells import cell_len
from textual import events
from textual.strip import Strip
from textual.widget import Widget

from finetui.actions import Action, actions_of, key_name
from finetui.widgets import paint
from finetui.widgets.plot import Row

ALWAYS_SHOWN = frozenset({"studio.palette", "studio.help", "studio.quit"})
"""Through these one finds all the others; they stay where there is room for few."""
NOT_NOW = "not possible now"


class KeyBar(Widget):
    """Keys and labels of the actions of `scopes`; a click on one presses its key."""

    def __init__(self, scopes: Sequence[str], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._scopes = tuple(scopes)
        self._reasons: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._hidden: Set[str] = frozenset()

    @property
    def unavailable(self) -> Mapping[str, str]:
        """The reason for each action, by id, that cannot be done now."""
        return self._reasons

    def why_not(self, action: str) -> str:
        """What is told when the action cannot be done now: its label and the reason; "" where it can."""
        reason = self._reasons.get(action)
        if reason is None:
            return ""
        named = action.partition(".")[2].replace("_", " ")
        label = next((one.label for one in actions_of(*self._scopes) if one.id == action), named)
        return f"{self._labels.get(action, label)}: {reason}"

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels that stand in for those of the registry, by id."""
        return self._labels

    def show(
        self,
        *,
        unavailable: Mapping[str, str] | Set[str],
        labels: dict[str, str],
        hidden: Set[str] = frozenset(),
    ) -> None:
        """Put the actions whose ids are `unavailable` in brackets; `labels` replaces labels by id.

        `hidden` are those that never work with what is shown: they leave their room to others.
        A mapping gives the reason for each, which the palette and the help page tell.
        """
        reasons = (
            dict(unavailable) if isinstance(unavailable, Mapping) else dict.fromkeys(unavailable, NOT_NOW)
        )
        if (reasons, labels, hidden) != (self._reasons, self._labels, self._hidden):
            self._reasons, self._labels, self._hidden = reasons, labels, hidden
            self.refresh()

    def render_line(self, y: int) -> Strip:
        spans = [span for action in self._shown() for span in self._words(action)]
        return paint.strip(self, tuple(spans) if y == 0 else (), self.size.width)

    async def on_click(self, event: events.Click) -> None:
        end = 0
        for action in self._shown():
            end += _cells(self._words(action))
            if event.x < end:
                self.app.simulate_key(action.keys[0])
                return

    def _shown(self) -> list[Action]:
        """The actions that there is room for, the first ones first."""
        known = actions_of(*self._scopes, keys=getattr(self.app, "keymap", None))
        actions = [action for action in known if action.in_bar and action.id not in self._hidden]
        left = self.size.width - sum(_cells(self._words(a)) for a in actions if a.id in ALWAYS_SHOWN)
        shown = []
        for action in actions:
            if action.id not in ALWAYS_SHOWN:
                left -= _cells(self._words(action))
            if left >= 0 or action.id in ALWAYS_SHOWN:
                shown.append(action)
        return shown

    def _words(self, action: Action) -> Row:
        key, label = key_name(action.keys[0]), self._labels.get(action.id, action.label)
        if action.id in self._reasons:
            return ((f" {key} ({label}) ", "muted"),)
        return (f" {key}", "strong"), (f" {label} ", "")


def _cells(row: Row) -> int:
    return sum(cell_len(text) for text, _ in row)
