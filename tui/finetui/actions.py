"""Every action of the interface, declared once: bindings, key bar and help page are made from this list."""

from dataclasses import dataclass

from textual.binding import Binding, BindingType

_KEY_NAMES = {
    "question_mark": "?",
    "escape": "esc",
    "down": "↓",
    "up": "↑",
    "pagedown": "page down",
    "pageup": "page up",
}


@dataclass(frozen=True, slots=True)
class Action:
    """Something the user can do.

    `id` is `scope.name`: the screen or widget that binds `scope` has the method `action_<name>`. The first of
    `keys` is the one shown; `label` is for the key bar, `help` a sentence for the help page.
    """

    id: str
    keys: tuple[str, ...]
    label: str
    help: str
    in_bar: bool = True

    @property
    def scope(self) -> str:
        return self.id.partition(".")[0]

    @property
    def name(self) -> str:
        return self.id.partition(".")[2]


ACTIONS = (
    Action("table.open", ("enter",), "open", "Open the chosen line."),
    Action("table.down", ("down", "j"), "down", "Go to the next line.", in_bar=False),
    Action("table.up", ("up", "k"), "up", "Go to the line before.", in_bar=False),
    Action("table.page_down", ("pagedown",), "page down", "Go down by a screenful.", in_bar=False),
    Action("table.page_up", ("pageup",), "page up", "Go up by a screenful.", in_bar=False),
    Action("table.first", ("g", "home"), "first", "Go to the first line.", in_bar=False),
    Action("table.last", ("G", "end"), "last", "Go to the last line.", in_bar=False),
    Action("runs.reload", ("r",), "read again", "Read the folder of runs again now."),
    Action("run.back", ("b", "escape", "backspace"), "back", "Go back to the list. The run goes on."),
    Action("run.checkpoint", ("c",), "checkpoint", "Ask the run to save a checkpoint after this step."),
    Action("run.pause", ("p",), "pause", "Ask the run to pause after this step; again, to go on."),
    Action("run.evaluate", ("e",), "evaluate", "Ask the run to measure the validation loss after this step."),
    Action("run.stop", ("s",), "stop", "Ask the run to save a checkpoint and end; asks you first."),
    Action("run.log", ("l",), "log", "Show the log of the process instead of the events, and back."),
    Action("confirm.yes", ("y",), "yes", "Do it."),
    Action("confirm.no", ("n", "escape"), "no", "Do nothing."),
    Action("help.close", ("escape", "question_mark", "q"), "close", "Close this page."),
    Action("studio.help", ("question_mark",), "help", "Show what every key does here."),
    Action("studio.quit", ("q", "ctrl+q"), "quit", "Leave ftui. Runs go on without it."),
)


def actions_of(*scopes: str) -> list[Action]:
    """The actions of `scopes`, in the order of the scopes."""
    return [action for scope in scopes for action in ACTIONS if action.scope == scope]


def bindings(*scopes: str) -> list[BindingType]:
    """Textual's bindings for `scopes`; `Binding.id` is the action's id."""
    return [
        Binding(",".join(a.keys), a.name, a.label, show=a.in_bar, tooltip=a.help, id=a.id)
        for a in actions_of(*scopes)
    ]


def key_name(key: str) -> str:
    """How `key` is written for people."""
    return _KEY_NAMES.get(key, key)
