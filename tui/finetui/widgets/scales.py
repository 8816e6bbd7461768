"""From values to dots, and the round numbers that stand beside an axis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

LARGEST, SMALLEST = 1e300, 1e-300
"""Beyond these a difference or a quotient may overflow: a larger value is a gap, a smaller range is flat."""

Unit = Literal["step", "epoch", "tokens", "time", "share", "number"]

_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_FEW = 20
_TYPICAL = 0.05
_REACH = 1.5


@dataclass(frozen=True, slots=True)
class Scale:
    """Data range → dots: `low` is dot 0, `high` is the last of `dots`. A range without extent is half-way."""

    low: float
    high: float
    dots: int
    log: bool = False

    def dot(self, value: float) -> int:
        start, low, per_unit = self.line()
        return int(start + ((math.log10(value) if self.log else value) - low) * per_unit)

    def line(self) -> tuple[float, float, float]:
        """(a, low, b) such that a value's dot is int(a + (value - low) * b), of its logarithm where `log`."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        extent = high - low
        return (0.5, low, (self.dots - 1) / extent) if extent > SMALLEST else (self.dots // 2 + 0.5, low, 0.0)


def usual_range(values: Sequence[float]) -> tuple[float, float]:
    """The range of `values` without lone extremes, so that one spike does not flatten all else.

    The middle nine tenths count as usual, and what lies within one and a half times their extent beyond
    them (as the whiskers of a box plot, Tukey 1977). Fewer than 20 values are all usual.
    """
    ordered = sorted(values)
    if len(ordered) < _FEW:
        return ordered[0], ordered[-1]
    beside = int(_TYPICAL * len(ordered))
    low, high = ordered[beside], ordered[-1 - beside]
    reach = _REACH * (high - low)
    if reach <= SMALLEST:
        return ordered[0], ordered[-1]
    return (
        next(value for value in ordered if value >= low - reach),
        next(value for value in reversed(ordered) if value <= high + reach),
    )


def rounded_range(low: float, high: float, parts: int = 24) -> tuple[float, float]:
    """`low` and `high` moved outwards to round numbers, so that an axis stays where it is for a while."""
    step = _step(low, high, parts)
    if not step:
        return low, high
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`, at most `wanted`."""
    if wanted < 1 or not (-LARGEST < low <= high < LARGEST):
        return []
    if high - low < SMALLEST:
        return [float(low)]
    step = _step(low, high, wanted)
    return _multiples(low, high, step) if step else []


def time_ticks(low: float, high: float, wanted: int) -> list[float]:
    """Seconds that are round in minutes, hours or days."""
    for step in _SECONDS:
        if (high - low) / step <= max(1, wanted):
            return _multiples(low, high, step) if high - low >= 1 else ticks(low, high, wanted)
    return [day * 86400 for day in ticks(low / 86400, high / 86400, wanted)]


def log_ticks(low: float, high: float, wanted: int) -> list[float]:
    """Powers of ten, with 2 and 5 times them where there is room; every second or third where there is little."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3)):
        found = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
        within = _within(found, low, high)
        if len(within) <= wanted:
            return within
    for stride in range(1, last - first + 2):
        powers = (power for power in range(first, last + 1) if power % stride == 0)
        within = _within([10.0**power for power in powers], low, high)
        if len(within) <= wanted:
            return within
    return []


def _within(values: Sequence[float], low: float, high: float) -> list[float]:
    return [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]


def _step(low: float, high: float, wanted: int) -> float | None:
    if high - low < SMALLEST:
        return None
    exponent = math.floor(math.log10((high - low) / wanted))
    for power in range(exponent, exponent + 3):
        for factor in (1.0, 2.0, 5.0):
            step = factor * 10.0**power
            if step < SMALLEST or max(abs(low), abs(high)) / step > 2**52:
                continue
            first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
            if last - first + 1 <= wanted:
                return step
    return None


def _multiples(low: float, high: float, step: float) -> list[float]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def number(value: float, step: float) -> str:
    """Write `value` with as many digits as tell it from a neighbour `step` away."""
    size = max(abs(value), abs(step))
    if size and not 1e-4 <= size < 1e6:
        return f"{value:.3g}"
    if not step:
        return f"{value:.4g}"
    return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def in_unit(value: float, unit: Unit, step: float = 0.0) -> str:
    """`value` as it is written beside an axis of that unit; `step` is the distance to its neighbour."""
    if unit == "time":
        return _clock(value, step)
    if unit == "share":
        return f"{value * 100:.0f} %"
    if unit in ("step", "tokens"):
        return _short(value, step)
    return number(value, step)


def _clock(seconds: float, step: float) -> str:
    if seconds < 60 and step < 60:
        return f"{number(seconds, step or 1)} s"
    minutes = seconds / 60
    if seconds < 3600:
        return f"{number(minutes, min(1.0, step / 60) if step % 60 else 1)} min"
    if seconds < 86400 * 2:
        return f"{int(minutes // 60)}:{int(minutes % 60):02d} h"
    return f"{number(seconds / 86400, max(0.1, step / 86400))} d"


def _short(value: float, step: float) -> str:
    """Counts with k, M and G for thousands."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * size or (abs(value) >= size and not step % (size / 10)):
            return f"{number(value / size, (step or size) / size)}{letter}"
    return number(value, step)
