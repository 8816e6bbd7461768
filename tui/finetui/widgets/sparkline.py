"""A curve in one line of text."""

import math
from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"
_GAP = " "


def sparkline(values: Sequence[float | None], width: int) -> str:
    """The values from left to right as bars between their least and their greatest; a gap where none is finite.

    Where there are more values than cells, a cell shows the mean of its share. The text is as long as the
    shorter of both.
    """
    cells = min(width, len(values))
    means = [
        _mean(values[at * len(values) // cells : (at + 1) * len(values) // cells]) for at in range(cells)
    ]
    known = [mean for mean in means if mean is not None]
    if not known:
        return _GAP * cells
    low, extent = min(known), max(known) - min(known)
    return "".join(_GAP if mean is None else _bar(mean - low, extent) for mean in means)


def _mean(values: Sequence[float | None]) -> float | None:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not finite:
        return None
    mean = math.fsum(value / len(finite) for value in finite)
    return mean if abs(mean) < 1e300 else None


def _bar(above: float, extent: float) -> str:
    """Equal values are drawn at half height."""
    return (
        _BARS[min(len(_BARS) - 1, int(above / extent * len(_BARS)))] if extent else _BARS[len(_BARS) // 2 - 1]
    )
