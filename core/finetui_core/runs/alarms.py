"""The alarms of a run that stand: raised, and not over yet."""

from collections.abc import Iterable, Mapping
from typing import Any

Record = Mapping[str, Any]

ENDED_BY = {"checkpoint": "checkpoint", "samples": "samples"}
"""Kinds whose ground is gone once an event of another type comes."""
_FIELDS = ("kind", "severity", "step", "message", "go_back_to", "remedy")


def standing_alarms(events: Iterable[Record]) -> list[Record]:
    """The newest alarm of each kind that nothing has ended, the gravest first, and of those the newest."""
    standing: dict[str, Record] = {}
    for event in events:
        kind = str(event.get("kind", ""))
        if event.get("type") == "alarm":
            standing.pop(kind, None)
            standing[kind] = event
        elif event.get("type") == "alarm_over":
            standing.pop(kind, None)
        else:
            standing = {
                name: one for name, one in standing.items() if ENDED_BY.get(name) != event.get("type")
            }
    newest_first = list(standing.values())[::-1]
    return sorted(newest_first, key=lambda one: not is_grave(one))


def is_grave(alarm: Record) -> bool:
    """Whether something should be done now. An alarm without a severity is about what already failed."""
    return alarm.get("severity") != "watch"


def kind_in_words(alarm: Record) -> str:
    return str(alarm.get("kind") or "alarm").replace("_", " ")


def severity_in_words(alarm: Record) -> str:
    return str(alarm.get("severity") or "act")


def gist(alarm: Record) -> str:
    """The sentence without the evidence in brackets behind it."""
    return str(alarm.get("message", "")).partition(" (")[0]


def go_back_to(alarm: Record) -> int | None:
    """The step of the best evaluation, where one is better than what came after it."""
    step = alarm.get("go_back_to")
    return step if isinstance(step, int) and not isinstance(step, bool) else None


def as_facts(alarms: Iterable[Record]) -> list[dict[str, Any]]:
    """Ready for JSON."""
    return [{name: alarm.get(name) for name in _FIELDS} for alarm in alarms]
