"""The least and the greatest of any stretch of a long column, at a cost that hardly grows with its length."""

import math
from array import array

BLOCK = 64


class Extremes:
    """Least, greatest, sum and number of values in each block of 64 of a column that only grows; nan is
    left out. They are gathered when they are first asked for."""

    def __init__(self, values: "array[float]") -> None:
        self.values = values
        self._low = array("d")
        self._high = array("d")
        self._sum = array("d")
        self._count = array("d")

    def between(self, start: int, end: int) -> tuple[float, float] | None:
        """(least, greatest) of values[start:end], None where none is a number."""
        if end - start < 4 * BLOCK:
            return _range(self.values[start:end])
        first, last = self._blocks(start, end)
        parts = (
            _range(self.values[start : first * BLOCK]),
            _range(self._low[first:last]),
            _range(self._high[first:last]),
            _range(self.values[last * BLOCK : end]),
        )
        known = [part for part in parts if part is not None]
        return (min(low for low, _ in known), max(high for _, high in known)) if known else None

    def mean(self, start: int, end: int) -> float | None:
        """The mean of the numbers in values[start:end], None where there are none."""
        if end - start < 4 * BLOCK:
            total, count = _sum(self.values[start:end])
        else:
            first, last = self._blocks(start, end)
            head, tail = _sum(self.values[start : first * BLOCK]), _sum(self.values[last * BLOCK : end])
            total = head[0] + sum(self._sum[first:last]) + tail[0]
            count = head[1] + sum(self._count[first:last]) + tail[1]
        return total / count if count else None

    def _blocks(self, start: int, end: int) -> tuple[int, int]:
        """The whole blocks within a stretch, gathered."""
        for block in range(len(self._low), end // BLOCK):
            part = self.values[block * BLOCK : (block + 1) * BLOCK]
            low, high = _range(part) or (math.nan, math.nan)
            total, count = _sum(part)
            self._low.append(low)
            self._high.append(high)
            self._sum.append(total)
            self._count.append(count)
        first = -(-start // BLOCK)
        return first, max(first, end // BLOCK)


def _range(values: "array[float]") -> tuple[float, float] | None:
    if not values:
        return None
    if math.isnan(sum(values)):
        values = array("d", [value for value in values if not math.isnan(value)])
    return (min(values), max(values)) if values else None


def _sum(values: "array[float]") -> tuple[float, float]:
    """(sum, how many) of the numbers."""
    total = sum(values)
    if math.isnan(total):
        known = [value for value in values if not math.isnan(value)]
        return sum(known), len(known)
    return total, len(values)
