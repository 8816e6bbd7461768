"""The metric files of a run as one row of points: attempts merged, read in slices."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from finetui_core.runs.columns import Columns
from finetui_core.runs.merge import cuts, limits, within
from finetui_core.runs.records import Attempt, Record
from finetui_core.runs.tail import Tail

SLICE = 1 << 18  # bytes read and decoded at a time: about a thousand points, a few milliseconds


class MetricFiles:
    """The points of all attempts in ascending order of steps; what a later attempt did anew is replaced.

    `columns` grows from the first point on. While much is `unread` (bytes), `newest` holds the points at the
    end of the newest file, so that a viewer has something to show at once. `limits` gives for each attempt the
    last step that still counts (None: all do). `path_of` gives the file of an attempt.
    """

    def __init__(self, path_of: Callable[[int], Path]) -> None:
        self.columns = Columns()
        self.newest: Columns | None = None
        self.unread = 0
        self._path_of = path_of
        self._ahead: Tail | None = None
        self._forget()

    def _forget(self) -> None:
        """Begin anew, with a new `columns` so that what was derived from the old one is not taken for it."""
        self.columns = Columns()
        self._tails: dict[int, Tail] = {}
        self._first_steps: dict[int, int] = {}
        self.limits: dict[int, int | None] = {}

    @property
    def skipped(self) -> int:
        """How many lines could not be read."""
        return sum(tail.skipped for tail in self._tails.values())

    def read(
        self,
        numbers: Sequence[int],
        attempts: Sequence[Attempt],
        events: Sequence[Record],
        most: int | None = None,
    ) -> bool:
        """Read what is new in the files of the attempts `numbers`, of at most about `most` bytes, if given.

        True if points came or went. A file that was replaced, or an earlier one that grew, is read anew.
        """
        before = (self.columns, len(self.columns), self.columns.cut)
        while not self._advance(numbers, attempts, events, math.inf if most is None else most):
            self._forget()
        ahead = self._look_ahead(numbers, most)
        return ahead or before != (self.columns, len(self.columns), self.columns.cut)

    def _advance(
        self, numbers: Sequence[int], attempts: Sequence[Attempt], events: Sequence[Record], left: float
    ) -> bool:
        """False where what was read so far no longer holds."""
        if not self._apply(limits(cuts(attempts, events, self._first_steps))):
            return False
        unread = 0
        for number in numbers:
            tail = self._tails.get(number)
            if left <= 0:
                unread += tail.behind if tail else _size(self._path_of(number))
                continue
            tail = self._tails.setdefault(number, Tail(self._path_of(number)))
            for records in _slices(tail, left):
                if tail.restarts or (records and number < max(self._first_steps, default=number)):
                    return False
                if records and number not in self._first_steps:
                    first_steps = {**self._first_steps, number: records[0]["step"]}
                    if not self._apply(limits(cuts(attempts, events, first_steps))):
                        return False
                    self._first_steps = first_steps
                self.columns.extend(within(records, self.limits.get(number)))
                left -= SLICE if records else 0
            unread += tail.behind
            left = 0 if tail.behind else left
        self.unread = unread
        return True

    def _apply(self, found: dict[int, int | None]) -> bool:
        """Drop the points that no longer count; False where points that were dropped count again."""
        old, self.limits = self.limits, found
        if all(found.get(number) == old.get(number) for number in self._first_steps):
            return True
        cut = found.get(max(self._first_steps))
        if cut is None or any(found[n] != _lower(old.get(n), cut) for n in self._first_steps):
            return False
        self.columns.keep_until(cut)
        return True

    def _look_ahead(self, numbers: Sequence[int], most: int | None) -> bool:
        """Keep `newest` while the reading from the start has not arrived."""
        if most is None or not self.unread or (self.newest is None and self.unread <= most):
            changed = self.newest is not None
            self.newest = self._ahead = None
            return changed
        if self._ahead is None or self.newest is None:
            path = next((p for p in map(self._path_of, reversed(numbers)) if _size(p)), None)
            if path is None:
                return False
            self._ahead, self.newest = Tail(path, last=SLICE), Columns()
        new = _points(self._ahead.read())
        self.newest.extend(new)
        return bool(new)


def _slices(tail: Tail, left: float) -> Iterator[list[Record]]:
    """What is new in a file, slice by slice."""
    while left > 0:
        behind = tail.behind
        yield _points(tail.read(SLICE))
        left -= SLICE
        if not tail.behind or tail.behind == behind:
            return


def _points(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if type(record.get("step")) is int]


def _lower(limit: int | None, cut: int) -> int:
    return cut if limit is None else min(limit, cut)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


class Steps(Sequence[Record]):
    """The points of `columns` as records, made when they are asked for. Numbers that were not finite are
    None and named in "nonfinite"."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def __len__(self) -> int:
        return len(self._columns)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        record: dict[str, Any] = self._columns.record(index)
        words = nonfinite_at(self._columns, record) if None in record.values() else {}
        return {**record, "nonfinite": words} if words else record

    def after(self, step: float) -> list[Record]:
        """The points beyond a step."""
        return self[bisect_right(self._columns.column("step"), step) :]


def nonfinite_at(columns: Columns, record: Mapping[str, Any]) -> dict[str, str]:
    """What the numbers of a point were that are not finite: "nan", "inf" or "-inf"."""
    marks = columns.nonfinite[: bisect_left(columns.nonfinite, (record["step"] + 0.5,))]
    latest = {name: word for _, name, word in marks}
    return {name: word for name, word in latest.items() if record.get(name) is None}
