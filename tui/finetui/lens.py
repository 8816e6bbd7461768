"""What part of a run the charts show, and how; each key makes a new lens from the old one."""

import math
from dataclasses import dataclass, replace

from finetui.curves import AXES, Axis

SMOOTHINGS = (None, 1, 10, 50, 200, 1000)
"""Values that are averaged: None fits the length of the run, 1 is the raw curve alone."""
_ZOOM = 2.0
_PAN = 0.25
_LEAST_SHARE = 1e-7


@dataclass(frozen=True, slots=True)
class Lens:
    """`span` is the part of the x axis in view (from, to), None for all of it; with `follows` its end stays at
    the newest point. `at` is the step that the crosshair reads. `log` and `full` hold ids of charts."""

    axis: Axis = "step"
    smoothing: int | None = None
    span: tuple[float, float] | None = None
    follows: bool = False
    at: float | None = None
    log: frozenset[str] = frozenset()
    full: frozenset[str] = frozenset()

    def window(self, low: float, high: float) -> tuple[float, float]:
        """What is in view of a run that reaches from `low` to `high`."""
        if self.span is None:
            return low, high
        start, end = self.span
        return (high - (end - start), high) if self.follows else (start, end)


def zoomed(lens: Lens, low: float, high: float, center: float | None, *, out: bool = False) -> Lens:
    """Half or twice as much in view, around `center`, or at the newest point."""
    start, end = lens.window(low, high)
    width = (end - start) * (_ZOOM if out else 1 / _ZOOM)
    if width >= high - low:
        return replace(lens, span=None, follows=False)
    if width < (high - low) * _LEAST_SHARE:
        return lens
    at_end = center is None and (lens.span is None or lens.follows)
    middle = (start + end) / 2 if center is None else center
    new_start = high - width if at_end else min(max(low, middle - width / 2), high - width)
    return replace(lens, span=(new_start, new_start + width), follows=at_end)


def panned(lens: Lens, low: float, high: float, direction: int) -> Lens:
    """A quarter of the view to the left (-1) or the right (1); at the end it follows again."""
    if lens.span is None:
        return lens
    start, end = lens.window(low, high)
    move = direction * _PAN * (end - start)
    move = max(low - start, min(move, high - end))
    return replace(lens, span=(start + move, end + move), follows=end + move >= high)


def next_axis(lens: Lens, possible: tuple[Axis, ...]) -> Lens:
    """The next axis that the run has numbers for, all of it in view."""
    order = [axis for axis in AXES if axis in possible] or ["step"]
    place = order.index(lens.axis) if lens.axis in order else -1
    return replace(lens, axis=order[(place + 1) % len(order)], span=None, follows=False)


def next_smoothing(lens: Lens) -> Lens:
    place = SMOOTHINGS.index(lens.smoothing)
    return replace(lens, smoothing=SMOOTHINGS[(place + 1) % len(SMOOTHINGS)])


def toggled(ids: frozenset[str], one: str) -> frozenset[str]:
    return ids ^ {one}


def fitting_smoothing(points: int) -> int:
    """How many values are averaged in a run of so many points: a round number, about a fiftieth."""
    if points < 20:
        return 1
    wanted = max(5.0, points / 50)
    power: int = 10 ** int(math.log10(wanted))
    return next(size for size in (power, 2 * power, 5 * power, 10 * power) if size >= wanted)
