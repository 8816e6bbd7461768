"""Everything that can be done here, found by typing a part of its name."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.fuzzy import FuzzySearch
from textual.screen import ModalScreen
from textual.widgets import Input

from finetui.actions import actions_of, bindings, keys_of
from finetui.closing import close
from finetui.text import pad
from finetui.widgets.choices import Choices
from finetui.widgets.field import Field
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.plot import Row
from finetui_core.keymap import Keys

TITLE_WIDTH, KEYS_WIDTH = 26, 12
_NOT_LISTED = frozenset({"studio.palette", "studio.leave"})
_TITLE_COUNTS = 3.0
"""How much more a match in the title says than one in the sentence."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A line of the palette: an action by its id, or a theme by its name. `reason`: why it cannot be done now."""

    kind: Literal["action", "theme"]
    name: str
    title: str
    keys: str
    help: str
    reason: str = ""


class Palette(ModalScreen[Choice | None]):
    """Dismissed with what was chosen, or with None."""

    BINDINGS = bindings("palette")

    def __init__(self, choices: Sequence[Choice]) -> None:
        super().__init__(id="palette")
        self._all = tuple(choices)
        self._found = self._all

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Field(placeholder="a part of a name: an action, a station, a theme", compact=True)
            yield Choices()
        yield KeyBar(("palette",))

    def on_mount(self) -> None:
        self.query_one(Choices).show([_row(choice) for choice in self._found])

    def on_input_changed(self, event: Input.Changed) -> None:
        self._found = found(self._all, event.value)
        self.query_one(Choices).show([_row(choice) for choice in self._found])

    def on_input_submitted(self) -> None:
        self.action_run()

    def on_choices_clicked(self) -> None:
        self.action_run()

    def action_run(self) -> None:
        if self._found:
            close(self, self._found[self.query_one(Choices).cursor])

    def action_down(self) -> None:
        self.query_one(Choices).move(1)

    def action_up(self) -> None:
        self.query_one(Choices).move(-1)

    def action_close(self) -> None:
        close(self, None)


def choices_of(
    scopes: Sequence[str], keys: Keys, unavailable: Mapping[str, str], themes: Iterable[str]
) -> list[Choice]:
    """Every action of `scopes`, those of the screen before those that are everywhere, and every theme."""
    actions = [
        Choice(
            kind="action",
            name=action.id,
            title=f"go to {action.label}" if action.does.startswith("station") else action.label,
            keys=keys_of(action),
            help=action.help,
            reason=unavailable.get(action.id, ""),
        )
        for action in actions_of(*sorted(scopes, key=("table", "studio").count), keys=keys)
        if action.id not in _NOT_LISTED
    ]
    return actions + [
        Choice("theme", name, f"theme {name}", "", "Use this theme from now on.") for name in themes
    ]


def found(choices: Sequence[Choice], query: str) -> tuple[Choice, ...]:
    """The choices that have the letters of `query` in this order, the nearest first."""
    wanted = query.strip()
    if not wanted:
        return tuple(choices)
    search = FuzzySearch()
    scored = [
        (max(_TITLE_COUNTS * search.match(wanted, one.title)[0], search.match(wanted, one.help)[0]), one)
        for one in choices
    ]
    return tuple(one for score, one in sorted(scored, key=lambda pair: -pair[0]) if score > 0)


def _row(choice: Choice) -> Row:
    style = "muted" if choice.reason else ""
    return (
        (f" {pad(choice.title, TITLE_WIDTH)} ", style),
        (f"{pad(choice.keys, KEYS_WIDTH)} ", style or "strong"),
        (f"({choice.reason}) " if choice.reason else "", "warning"),
        (choice.help, style),
    )
