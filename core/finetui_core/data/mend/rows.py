"""One row mended: a pure function of the row and the rules chosen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from finetui_core.data.check.findings import Hit
from finetui_core.data.conversation import Row
from finetui_core.data.mend import faults, roles
from finetui_core.data.mend.choice import Choice
from finetui_core.data.mend.places import with_texts

_ROUNDS = 8  # a mend can bring another fault to light: a text that was all escapes is empty without them


@dataclass(frozen=True, slots=True)
class Mended:
    """`value` is the row after it, None where it is dropped for the last of `done`; `row` is what is trained on.

    `done` names the rules that were mended, `left` those that were chosen and could not be.
    """

    value: dict[str, Any] | None
    row: Row | None
    done: tuple[str, ...]
    left: tuple[str, ...]
    hits: tuple[Hit, ...]


def mend_row(
    value: dict[str, Any] | None, layout: str, source: str, choice: Choice, raw: bytes | None = None
) -> Mended:
    """Mend what `choice` names in one row, until nothing of it is left or nothing changes.

    `raw` is the JSON that `value` was read from, where it is at hand: it makes looking faster.
    """
    done: dict[str, None] = {}
    first: list[Hit] | None = None
    for _ in range(_ROUNDS):
        row, hits = faults.faults_of(value, layout, source, None if done else raw)
        first = hits if first is None else first
        found = dict.fromkeys(hit.rule for hit in hits if hit.rule in choice.mends)
        dropped = next((rule for rule in found if choice.mends[rule] == "drop"), "")
        if dropped:
            return Mended(None, None, (*done, dropped), (), tuple(first))
        if value is None or row is None:
            return Mended(value, row, tuple(done), tuple(found), tuple(first))
        before = value
        for rule in sorted(found, key=lambda rule: _ORDER.index(choice.mends[rule])):
            changed = _MENDS[rule](value, layout)
            if changed != value:
                done[rule] = None
                value = changed
        if value == before:
            break
    return Mended(value, row, tuple(done), tuple(found), tuple(first or ()))


def _texts(change: Callable[[str], str]) -> Callable[[dict[str, Any], str], dict[str, Any]]:
    return lambda value, layout: with_texts(value, layout, change)


_ORDER = ("encoding", "strip_controls", "mask", "roles", "deduplicate", "drop_leaked")
"""Encoding before controls: half of a damaged character may be one."""
_MENDS: dict[str, Callable[[dict[str, Any], str], dict[str, Any]]] = {
    **{rule: _texts(change) for rule, change in faults.TEXT_MENDS.items()},
    "misplaced_system": roles.system_first,
    "repeated_role": roles.one_turn_each,
}
