"""The metrics of a run as columns of numbers: small and quick for a million steps."""

import math
from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

MOST_COLUMNS = 64
"""Quantities that are kept: a file in which every line names new ones must not fill the memory."""
_WHOLE = frozenset({"step", "tokens", "supervised_tokens", "gpu_memory_peak"})


class Columns:
    """Points in ascending order of steps, one column of doubles for each quantity.

    What a record lacks, null, and numbers that are not finite are nan. One thread may add while others read:
    "step" grows last, so that every column is at least as long, and columns that were taken are never cut.
    """

    def __init__(self) -> None:
        self._columns: dict[str, array[float]] = {"step": array("d")}
        self.nonfinite: list[tuple[float, str, str]] = []
        """(step, name, "nan", "inf" or "-inf") of the first point of each stretch that is not finite."""
        self.cut = 0
        """How often points were dropped: what was derived from them is to be derived anew."""

    def __len__(self) -> int:
        return len(self._columns["step"])

    def names(self) -> tuple[str, ...]:
        """The quantities that any record had, "step" first."""
        return tuple(self._columns)

    def column(self, name: str) -> "array[float]":
        """The values of one quantity, aligned with column("step"); nan throughout for an unknown name.

        It is the column itself: not to be changed.
        """
        found = self._columns.get(name)
        return array("d", [math.nan]) * len(self) if found is None else found

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one metric record. Without a finite number as "step" it is passed over.

        A step that is not above the last one replaces what was there from that step on.
        """
        step = _finite(record.get("step"))
        if math.isnan(step):
            return
        if len(self) and step <= self._columns["step"][-1]:
            self.keep_until(math.nextafter(step, -math.inf))
        length = len(self)
        for name, value in record.items():
            if name != "step" and type(value) in (int, float) and self._knows(name):
                self._columns[name].append(_finite(value))
        if record.get("nonfinite"):
            self._mark(step, record["nonfinite"])
        for name, column in self._columns.items():
            if name != "step" and len(column) == length:
                column.append(math.nan)
        self._columns["step"].append(step)

    def extend(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Add many records: column by column where all are alike, else one by one."""
        if not self._extend_alike(records):
            for record in records:
                self.append(record)

    def keep_until(self, step: float) -> None:
        """Drop the points after `step`. Columns that were taken before keep them."""
        end = bisect_right(self._columns["step"], step)
        if end < len(self):
            self._columns = {name: values[:end] for name, values in self._columns.items()}
            self.nonfinite = [mark for mark in self.nonfinite if mark[0] <= step]
            self.cut += 1

    def record(self, index: int) -> dict[str, float | int | None]:
        """One point as it would be written: counts as whole numbers, None for nan. Raises IndexError."""
        place = range(len(self))[index]
        return {name: _written(name, values[place]) for name, values in self._columns.items()}

    def _knows(self, name: str) -> bool:
        """Make a column for a quantity that first comes up; False where there are too many."""
        if name not in self._columns:
            if len(self._columns) >= MOST_COLUMNS:
                return False
            self._columns = {**self._columns, name: array("d", [math.nan]) * len(self)}
        return True

    def _mark(self, step: float, marks: object) -> None:
        """Note which values were not finite, where the one before was."""
        length = len(self)
        for name, word in marks.items() if isinstance(marks, Mapping) else ():
            if word in ("nan", "inf", "-inf") and isinstance(name, str) and name != "step":
                before = self._columns[name][length - 1] if length and self._knows(name) else 0.0
                if not math.isnan(before):
                    self.nonfinite.append((step, name, word))

    def _extend_alike(self, records: Sequence[Mapping[str, Any]]) -> bool:
        """Add records that have exactly the known quantities, all of them finite; False for others."""
        steps = self._columns["step"]
        if not records or not steps:
            return False
        try:
            added = {name: array("d", [record[name] for record in records]) for name in self._columns}
        except (KeyError, TypeError, OverflowError):
            return False
        alike = all(len(record) == len(added) for record in records)
        ascending = steps[-1] < added["step"][0] and all(one < two for one, two in pairwise(added["step"]))
        if not alike or not ascending or not all(math.isfinite(sum(values)) for values in added.values()):
            return False
        for name, values in reversed(added.items()):  # "step", the first, last
            self._columns[name].extend(values)
        return True


def _finite(value: object) -> float:
    """`value` as a finite number, else nan."""
    if type(value) is not float and type(value) is not int:
        return math.nan
    try:
        number = float(value)
    except OverflowError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def _written(name: str, value: float) -> float | int | None:
    if math.isnan(value):
        return None
    return int(value) if name in _WHOLE and value.is_integer() else value
