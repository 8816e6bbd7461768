"""From a run's columns to the points of a chart: x axes, the extremes of each column of dots, means."""

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal

from finetui.widgets.plot import Point
from finetui_core.runs.columns import Columns
from finetui_core.runs.extremes import Extremes

Axis = Literal["step", "epoch", "tokens", "time"]
AXES: tuple[Axis, ...] = ("step", "epoch", "tokens", "time")
_SOURCES: Mapping[Axis, str] = {"step": "step", "epoch": "epoch", "tokens": "tokens", "time": "t"}

Window = tuple[float, float]

if TYPE_CHECKING:
    Numbers = array[float]
else:
    Numbers = array


@dataclass(slots=True)
class Curves:
    """What is derived from the columns of a run and kept, since columns only grow.

    `begins` is the time at which the time axis is 0, in unix seconds; nan: that of the first point.
    """

    columns: Columns
    begins: float = math.nan
    _xs: dict[Axis, tuple[Numbers, Numbers]] = field(default_factory=dict)
    _extremes: dict[str, Extremes] = field(default_factory=dict)

    def has(self, axis: Axis) -> bool:
        return _SOURCES[axis] in self.columns.names()

    def xs(self, axis: Axis) -> Numbers:
        """The x of each point: never falling, so that it can be searched. Time in seconds since the start."""
        source = self.columns.column(_SOURCES[axis])
        if axis == "step":
            return source
        known, xs = self._xs.get(axis, (source, array("d")))
        if known is not source:
            xs = array("d")
        new = source[len(xs) :]
        if axis == "time":
            begin = self.begin()
            new = array("d", [value - begin for value in new])
        before = xs[-1] if xs else 0.0
        if axis == "tokens":
            counts = (value if value > 0 else 0.0 for value in new)
            xs.extend(array("d", accumulate(counts, initial=before))[1:])
        else:
            xs.extend(array("d", accumulate(new, max, initial=before))[1:])
        self._xs[axis] = (source, xs)
        return xs

    def begin(self) -> float:
        """The time of the first point, in unix seconds."""
        if math.isnan(self.begins):
            self.begins = next((t for t in self.columns.column("t")[:100] if not math.isnan(t)), math.nan)
        return self.begins

    def extremes(self, name: str) -> Extremes:
        values = self.columns.column(name)
        found = self._extremes.get(name)
        if found is None or found.values is not values:
            found = self._extremes[name] = Extremes(values)
        return found

    def x_of_step(self, step: float, axis: Axis) -> float | None:
        """Where a step lies on an axis: at the last point that is not after it."""
        steps, xs = self.columns.column("step"), self.xs(axis)
        if axis == "step":
            return step
        place = bisect_right(steps, step, 0, min(len(steps), len(xs))) - 1
        return xs[max(0, place)] if len(xs) else None

    def step_at(self, x: float, axis: Axis) -> float | None:
        """The step of the point nearest to `x`."""
        steps, xs = self.columns.column("step"), self.xs(axis)
        length = min(len(steps), len(xs))
        if not length:
            return None
        place = bisect_left(xs, x, 0, length)
        if place == length or (place and x - xs[place - 1] < xs[place] - x):
            place -= 1
        return steps[place]


def sampled(xs: Numbers, extremes: Extremes, window: Window, dots: int) -> list[Point]:
    """The points of a column within `window` that a chart of so many columns of dots can tell apart.

    Of each column of dots the first, least, greatest and last value; the greatest and the least of all at
    their own x. Lines that cross an edge of the window are cut there.
    """
    values = extremes.values
    length = min(len(xs), len(values))
    start, end = bisect_left(xs, window[0], 0, length), bisect_right(xs, window[1], 0, length)
    if end - start <= 4 * dots:
        points = [(xs[place], _known(values[place])) for place in range(start, end)]
    else:
        points = _gathered(xs, extremes, window, dots, (start, end))
    if 0 < start < length and (cut := _crossing(xs, values, start, window[0])):
        points.insert(0, cut)
    if 0 < end < length and (cut := _crossing(xs, values, end, window[1])):
        points.append(cut)
    return points


def _gathered(
    xs: Numbers, extremes: Extremes, window: Window, dots: int, stretch: tuple[int, int]
) -> list[Point]:
    values = extremes.values
    points: list[Point] = []
    place, end = stretch
    width = (window[1] - window[0]) / dots
    greatest, least = (-math.inf, 0, 0), (math.inf, 0, 0)
    for dot in range(1, dots + 1):
        after = bisect_left(xs, window[0] + dot * width, place, end) if dot < dots else end
        if after == place:
            continue
        x, found = xs[place], extremes.between(place, after)
        if found is None:
            points.append((x, None))
        else:
            low, high = found
            points += [
                (x, _known(values[place])),
                (x, low),
                (x, high),
                (xs[after - 1], _known(values[after - 1])),
            ]
            greatest = max(greatest, (high, place, after))
            least = min(least, (low, place, after))
        place = after
    for value, first, after in (greatest, least):
        if math.isfinite(value):
            own = values.index(value, first, after)
            at = points.index((xs[first], value))
            points[at] = (xs[own], value)
    return points


def _crossing(xs: Numbers, values: Numbers, place: int, edge: float) -> Point | None:
    """Where the line from the point before `place` to the one at it crosses `edge`."""
    (x0, x1), (y0, y1) = xs[place - 1 : place + 1], values[place - 1 : place + 1]
    if not x0 < edge < x1 or math.isnan(y0 + y1):
        return None
    return edge, y0 + (y1 - y0) * (edge - x0) / (x1 - x0)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def trailing_means(xs: Numbers, extremes: Extremes, window: Window, dots: int, steps: int) -> list[Point]:
    """For each column of dots the mean of the last `steps` values; a gap where the last value is one."""
    values = extremes.values
    length = min(len(xs), len(values))
    start, end = bisect_left(xs, window[0], 0, length), bisect_right(xs, window[1], 0, length)
    if end - start <= dots:
        places: Sequence[int] = range(start, end)
    else:
        width = (window[1] - window[0]) / dots
        ends = [bisect_left(xs, window[0] + dot * width, start, end) for dot in range(1, dots)]
        places = sorted({place - 1 for place in [*ends, end] if place > start})
    return [(xs[place], _mean_at(extremes, place, steps)) for place in places]


def _mean_at(extremes: Extremes, place: int, steps: int) -> float | None:
    if math.isnan(extremes.values[place]):
        return None
    return extremes.mean(max(0, place + 1 - steps), place + 1)


def evaluation_columns(evaluations: Sequence[Mapping[str, Any]]) -> Columns:
    """The numbers of the evaluations, by step."""
    columns = Columns()
    columns.extend(evaluations)
    return columns
