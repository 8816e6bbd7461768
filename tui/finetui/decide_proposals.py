"""Answers that the data at hand gives: the rows that were named here, those of the recipe, or those at Data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from finetui_core import wording
from finetui_core.decide.propose import Proposal, proposals
from finetui_core.errors import InputError

MOST_BYTES = 64_000_000
"""Of a larger file, reading every row would hold up the screens."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The files of the training rows and of those kept apart ("" for none), and when they were written."""

    train: str = ""
    val: str = ""
    written: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Proposed:
    """What was found in `rows`, by question; `fault` says why nothing was."""

    rows: Rows = field(default_factory=Rows)
    found: Mapping[str, Proposal] = field(default_factory=dict)
    fault: str = ""


def rows_in(train: str, val: str = "") -> Rows:
    """The rows as they are now."""
    return Rows(train, val, (_written(train), _written(val)))


def _written(path: str) -> float:
    try:
        return Path(path).stat().st_mtime if path else 0.0
    except OSError:
        return 0.0


def propose(rows: Rows) -> Proposed:
    """Look at the rows. Never raises: what cannot be read gives a fault."""
    if not rows.train or rows.train.startswith("hub:"):
        return Proposed(rows)
    name = Path(rows.train).name
    try:
        size = Path(rows.train).stat().st_size
        if size > MOST_BYTES:
            command = f"ftui decide --data {name}"
            return Proposed(rows, fault=f"{name} has {wording.size(size)}: too much to read here; {command}")
        kept_apart = rows.val if rows.val and not rows.val.startswith("hub:") else None
        return Proposed(rows, {one.key: one for one in proposals(rows.train, kept_apart)})
    except InputError as error:
        return Proposed(rows, fault=f"{name} cannot be read: {error.problems[0].what}")
    except OSError as error:
        return Proposed(rows, fault=f"{name} cannot be read: {error.strerror}")
