"""Merging the attempts of a run: a resumed attempt replaces what lay beyond its checkpoint."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from finetui_core.runs.paths import step_of
from finetui_core.runs.records import Attempt, Record

NOTHING = -1  # a run that was started over keeps no step of its earlier attempts, not even step 0


def cuts(
    attempts: Sequence[Attempt], events: Sequence[Record], first_steps: Mapping[int, int]
) -> dict[int, int | None]:
    """For each attempt the last step that it kept of the earlier ones; None while that is not known.

    Its "resumed" event counts first, since the trainer may have passed over a damaged checkpoint; before
    that event comes, the attempt's own record. In any case what it did itself (`first_steps`: the first
    step in each attempt's metrics) replaces what was there.
    """
    found: dict[int, int | None] = dict.fromkeys(first_steps)
    for attempt in attempts:
        started_over = attempt.resumed_from is None
        found[attempt.attempt] = NOTHING if started_over else step_of(attempt.resumed_from or "")
    for event in events:
        number, step = event.get("attempt"), event.get("step")
        if event.get("type") == "resumed" and isinstance(number, int) and isinstance(step, int):
            found[number] = step
    for number, first in first_steps.items():
        cut = found[number]
        found[number] = first - 1 if cut is None else min(cut, first - 1)
    return found


def limits(cuts: Mapping[int, int | None]) -> dict[int, int | None]:
    """For each attempt the last of its steps that still counts; None where all do."""
    found: dict[int, int | None] = {}
    lowest: int | None = None
    for number in sorted(cuts, reverse=True):
        found[number] = lowest
        cut = cuts[number]
        if cut is not None:
            lowest = cut if lowest is None else min(cut, lowest)
    return found


def within(records: Sequence[Record], limit: int | None) -> Sequence[Record]:
    """The records of one attempt up to the limit. An attempt that went back to a checkpoint did some steps twice."""
    return records if limit is None else [record for record in records if record["step"] <= limit]


def survivors(events: Iterable[Record], keep: Callable[[Record], bool]) -> list[Record]:
    """The events to `keep`, which all have a "step", without those that a run left behind when it went back."""
    found: list[Record] = []
    for event in events:
        if event.get("type") == "rolled_back":
            step = event.get("step")
            while isinstance(step, int) and found and found[-1]["step"] > step:
                found.pop()
        elif keep(event):
            found.append(event)
    return found


def in_order(events: list[Record], troubles: list[Record]) -> list[Record]:
    """Both, by their times; as they come where nothing was amiss."""
    return sorted([*events, *troubles], key=_time) if troubles else events


def _time(event: Record) -> float:
    when = event.get("t")
    return float(when) if isinstance(when, int | float) else 0.0
