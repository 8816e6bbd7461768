"""What was asked of a run from here, and what came of it; and why nothing can be asked."""

from collections.abc import Mapping, Sequence
from typing import Any

from finetui import hosted_rows, states
from finetui.widgets.plot import Row, Span
from finetui_core.runs.paths import ARCHIVE, TRASH

COMMANDS = ("checkpoint", "pause", "evaluate", "stop", "sample", "abort")
MOST_SHOWN = 3
_LOOKED_AT = 500  # events from the end

_STAGES = {
    "acknowledged": ("asked → acknowledged", "accent"),
    "done": ("asked → acknowledged → done", "good"),
    "refused": ("asked → refused", "warning"),
}

Record = Mapping[str, Any]


def why_not(view: Any, command: str = "") -> str:
    """Why the run takes no commands, or not this one; "" where it does."""
    if view is None:
        return "the run is not open yet"
    if view.read_only:
        return "this run can only be watched: it belongs to another trainer"
    if view.state.state == "queued":
        return "the run waits in the queue"
    if view.state.state not in states.LIVE:
        return f"the run is over ({states.state_words(view.state.state)[0]})"
    return hosted_rows.ONLY_CANCELLED if view.hosted and command in hosted_rows.NEVER_TAKEN else ""


def why_not_continue(view: Any, being_continued: bool) -> str:
    """Why no further attempt of the run can be started; "" where one can."""
    if view is None or view.read_only:
        return why_not(view)
    state = view.state.state
    if being_continued:
        return "it is being continued"
    if state == "queued":
        return "it waits in the queue, which starts it"
    if state == "finished" and not view.hosted:
        return "it is finished: start a new run with more epochs"
    if state == "silent":
        return "it may still run on another machine"
    if state in states.LIVE:
        return f"it is {states.state_words(state)[0].split(' ', 1)[1]}"
    if view.paths.root.parent.name in (ARCHIVE, TRASH):
        return "it was put away: bring it back first"
    return hosted_rows.why_over(view) if view.hosted else ""


def why_not_export(view: Any, being_exported: bool) -> str:
    """Why nothing of the run can be written elsewhere; "" where it can."""
    if view is None or view.read_only:
        return why_not(view)
    if being_exported:
        return "it is being exported"
    if not view.summary().get("last_checkpoint"):
        return "it has no checkpoint yet"
    return ""


def command_row(asked: Sequence[tuple[str, str]], events: Sequence[Record]) -> Row:
    """The last commands, given as (id, name), each with how far it has come."""
    latest = {str(event.get("id")): event for event in events[-_LOOKED_AT:] if event.get("type") == "control"}
    spans: list[Span] = []
    for command_id, command in asked[-MOST_SHOWN:]:
        event = latest.get(command_id, {})
        words, style = _STAGES.get(str(event.get("status")), ("asked", "accent"))
        note = f" ({event['note']})" if event.get("note") else ""
        spans += [("   " if spans else " ", ""), (f"{command}: {words}{note}", style)]
    return tuple(spans)
