"""From which step on a run is no longer bitwise what it would have been undisturbed, and why."""

from collections.abc import Iterable, Mapping
from typing import Any

Record = Mapping[str, Any]


def standing(events: Iterable[Record], limits: Mapping[int, int | None]) -> list[dict[str, Any]]:
    """The `inexact` events that still count, as {step, by, differences}, the lowest step first.

    One whose attempt left nothing behind does not: a later attempt went on from the same step or an earlier one.
    `limits` gives for each attempt the last of its steps that counts, None where all do.
    """
    found = []
    for event in events:
        step, limit = event.get("step"), limits.get(event.get("attempt", 1))
        if event.get("type") == "inexact" and isinstance(step, int) and (limit is None or limit > step):
            found.append({"step": step, "by": event.get("by"), "differences": event.get("differences") or []})
    return sorted(found, key=lambda one: one["step"])


def first_inexact_step(events: Iterable[Record]) -> int | None:
    """The lowest step of `standing`, of events in their order, where the numbers of the attempts are not read."""
    steps: list[int] = []
    for event in events:
        step = event.get("step")
        if isinstance(step, int) and event.get("type") == "resumed":
            steps = [one for one in steps if one < step]
        elif isinstance(step, int) and event.get("type") == "inexact":
            steps.append(step)
    return min(steps, default=None)


def in_words(event: Record) -> str:
    """What differs: "torch 2.13.0, was 2.12.1; threads 4, was 1"."""
    differences = event.get("differences")
    parts = [
        f"{one.get('name')} {one.get('now')}, was {one.get('was')}"
        for one in (differences if isinstance(differences, list) else [])
        if isinstance(one, Mapping)
    ]
    return "; ".join(parts) or str(event.get("by") or "it is not said why")


def headline(step: object) -> str:
    """For headers; "" of a run that is exact all along."""
    return "" if step is None else f"inexact from step {step}"
