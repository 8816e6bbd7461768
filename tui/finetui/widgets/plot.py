"""Line charts as rows of braille and text: a pure function from series to rows.

Points are gathered into one column of dots at a time and each column draws all of its range, so that a single
extreme among a million points is still seen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len

from finetui.text import pad, safe
from finetui.widgets.canvas import Canvas
from finetui.widgets.canvas import Row as Row
from finetui.widgets.canvas import Span as Span
from finetui.widgets.scales import (
    LARGEST,
    Scale,
    Unit,
    in_unit,
    log_ticks,
    number,
    rounded_range,
    ticks,
    time_ticks,
    usual_range,
)

Point = tuple[float, float | None]

MARKER = "◆"
_GLYPHS = {"line": "━", "dots": "⠢", "markers": MARKER}
_ABOVE, _BELOW = "↑", "↓"
_MARK_EVERY = 14  # columns between the marks on a line
_LEAST_LEGEND_HEIGHTS = ((14, 3), (9, 2), (0, 1))


@dataclass(frozen=True, slots=True)
class Series:
    """Points in order of x. A y of None, or one that is not finite, is a gap in the line.

    `kind` tells series apart without colour: a joined line, single dots, or marks on a line. With `mark`, a
    line bears this glyph here and there, and markers have its shape. `label` is for the legend. Later series
    are drawn over earlier ones.
    """

    label: str
    style: str
    kind: Literal["line", "dots", "markers"]
    points: tuple[Point, ...]
    mark: str = ""

    @property
    def glyph(self) -> str:
        return self.mark or _GLYPHS[self.kind]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at `x`: a glyph on the x axis, and its meaning in the legend.

    Of several at one place the one with the greatest `weight` is shown.
    """

    x: float
    glyph: str
    words: str
    style: str = "axis"
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """How a chart is seen.

    `window`: the x from and to; all of it if None. `log`: a logarithmic y axis, without what is not above 0.
    `full`: show lone extremes in their place; else they are cut off and named. `steady`: ranges end at round
    numbers, so that little changes while points come in. `y_range`: fixed. `at`: the x of the crosshair.
    """

    title: str = ""
    chosen: bool = False
    unit: Unit = "step"
    y_unit: Unit = "number"
    window: tuple[float, float] | None = None
    log: bool = False
    full: bool = False
    steady: bool = False
    y_range: tuple[float, float] | None = None
    at: float | None = None


def plot(
    series: Sequence[Series], width: int, height: int, *, look: Look | None = None, marks: Sequence[Mark] = ()
) -> tuple[Row, ...]:
    """Draw `series` in `height` rows of `width` cells: legend, curves with y labels, x axis with labels.

    Without a window the x axis spans exactly the finite values. A size too small for axes leaves the legend
    alone; rows are never wider than `width`.
    """
    look = look or Look()
    if width <= 0 or height <= 0:
        return ()
    shown = [point for one in series for point in _finite(one.points, look)]
    if not shown:
        return _filled(
            (*_legend(series, (), look, width, 1), ((safe(" no values yet", width), "muted"),)), height
        )
    y_low, y_high = look.y_range or _y_range([y for _, y in shown], look)
    cut_off = _cut_off(shown, y_low, y_high, look)
    window = look.window or (min(x for x, _ in shown), max(x for x, _ in shown))
    marks = [mark for mark in marks if window[0] <= mark.x <= window[1]]
    most_lines = next(lines for least, lines in _LEAST_LEGEND_HEIGHTS if height >= least)
    legend = _legend(series, [*cut_off, *marks], look, width, most_lines)
    rows = height - 2 - len(legend)
    labels = _y_labels(Scale(y_low, y_high, rows * 4, look.log), look) if rows > 0 else {}
    margin = max((cell_len(label) for label in labels.values()), default=0)
    columns = width - margin - 2
    if rows < 1 or columns < 8:
        return _filled(legend[:height], height)
    canvas = Canvas(columns, rows)
    x, y = Scale(*window, columns * 2), Scale(y_low, y_high, rows * 4, look.log)
    if look.at is not None and window[0] <= look.at <= window[1]:
        canvas.upright(x.dot(look.at), "accent")
    few_points_first = sorted(enumerate(series), key=lambda pair: pair[1].kind != "markers")
    for place, one in few_points_first:  # the straight lines between them must not hide a curve
        _draw(canvas, one, x, y, place)
    for mark in cut_off:
        canvas.mark(x.dot(mark.x), 0 if mark.glyph == _ABOVE else rows * 4 - 1, mark.glyph, mark.style)
    body = [
        (
            (pad(labels.get(index, ""), margin, right=True), "muted"),
            ("┤" if index in labels else "│", "axis"),
            *canvas.row(index),
        )
        for index in range(rows)
    ]
    return (*legend, *body, *_x_axis(x, margin, columns, marks, look))


def _filled(rows: tuple[Row, ...], height: int) -> tuple[Row, ...]:
    return (rows + ((),) * (height - len(rows)))[:height]


def _finite(points: Sequence[Point], look: Look) -> list[tuple[float, float]]:
    """The points that can be drawn."""
    least = 0.0 if look.log else -LARGEST
    first, last = look.window or (-LARGEST, LARGEST)
    return [(x, y) for x, y in points if y is not None and least < y < LARGEST and first <= x <= last]


def _y_range(values: Sequence[float], look: Look) -> tuple[float, float]:
    if look.log:
        powers = [math.log10(value) for value in values]
        low, high = (min(powers), max(powers)) if look.full else usual_range(powers)
        return 10.0**low, 10.0**high
    low, high = (min(values), max(values)) if look.full else usual_range(values)
    return rounded_range(low, high) if look.steady else (low, high)


def _cut_off(points: Sequence[tuple[float, float]], low: float, high: float, look: Look) -> list[Mark]:
    """Marks for the greatest value above the range, and the least one below it."""
    highest, lowest = max(points, key=lambda point: point[1]), min(points, key=lambda point: point[1])
    nearly = 1e-9 * max(abs(low), abs(high))
    found = [(_ABOVE, highest)] if highest[1] > high + nearly else []
    found += [(_BELOW, lowest)] if lowest[1] < low - nearly else []
    return [Mark(x, glyph, f"{_value(y, look)} at {_at(x, look)}", "warning") for glyph, (x, y) in found]


def _value(y: float, look: Look) -> str:
    if look.y_unit == "share":
        return in_unit(y, look.y_unit)
    return f"{y:,.0f}" if 1000 <= abs(y) < 1e6 else f"{y:.4g}"


def _at(x: float, look: Look) -> str:
    return f"step {x:,.0f}" if look.unit == "step" else f"{look.unit} {in_unit(x, look.unit, 0.01)}"


def _draw(canvas: Canvas, one: Series, x: Scale, y: Scale, place: int) -> None:
    columns = _columns(one.points, x, y)
    bottom = y.dots - 1
    before: tuple[int, int] | None = None
    for column in columns:
        if column is None:
            before = None
            continue
        at, first, low, high, last = column
        if one.kind == "dots":
            canvas.dot(at, bottom - low, one.style)
            canvas.dot(at, bottom - high, one.style)
            continue
        if before is not None:
            canvas.line(before, (at, bottom - first), one.style)
        for dot in range(low, high + 1):
            canvas.dot(at, bottom - dot, one.style)
        before = (at, bottom - last)
    bears_mark = one.kind == "markers" or bool(one.mark)
    for column in columns if bears_mark else ():
        if column is not None and (one.kind == "markers" or _is_mark_column(column[0], place)):
            canvas.mark(column[0], bottom - column[4], one.glyph, one.style)


def _is_mark_column(dot: int, place: int) -> bool:
    return dot % 2 == 0 and (dot // 2 - 3 * place) % _MARK_EVERY == 2


def _columns(points: Sequence[Point], x: Scale, y: Scale) -> list[tuple[int, int, int, int, int] | None]:
    """Gather points by column of dots: (column, first, lowest, highest, last) in dots; None is a gap.

    Values beyond the scale are drawn at its edge.
    """
    gathered: list[tuple[int, int, int, int, int] | None] = []
    x_start, x_low, x_factor = x.line()
    y_start, y_low, y_factor = y.line()
    least = 0.0 if y.log else -LARGEST
    column, first, low, high, last = -1, 0, 0, 0, 0
    for point_x, point_y in points:
        if point_y is None or not least < point_y < LARGEST or not x.low <= point_x <= x.high:
            if column >= 0:
                gathered += [(column, first, low, high, last), None]
                column = -1
            continue
        at = int(x_start + (point_x - x_low) * x_factor)
        value = math.log10(point_y) if y.log else point_y
        last_before, last = last, int(y_start + max(-0.5, min((value - y_low) * y_factor, y.dots - 1)))
        if at != column:
            if column >= 0:
                gathered.append((column, first, low, high, last_before))
            column, first, low, high = at, last, last, last
        elif last < low:
            low = last
        elif last > high:
            high = last
    if column >= 0:
        gathered.append((column, first, low, high, last))
    return gathered


def _y_labels(scale: Scale, look: Look) -> dict[int, str]:
    """Row from the top → label, for round values; where none fits, for the top and the bottom row."""
    rows = scale.dots // 4
    find = log_ticks if look.log else ticks
    values = find(scale.low, scale.high, max(2, rows // 2))
    if len(values) < 2:
        values = [scale.low, scale.high]
    step = min(abs(values[1] - values[0]), abs(values[-1] - values[-2]))
    return {rows - 1 - scale.dot(value) // 4: _y_label(value, step, look) for value in values}


def _y_label(value: float, step: float, look: Look) -> str:
    if look.y_unit == "share":
        return in_unit(value, "share")
    return f"{value:.3g}" if look.log else number(value, step)


def _x_axis(x: Scale, margin: int, columns: int, marks: Sequence[Mark], look: Look) -> tuple[Row, Row]:
    wanted = max(2, columns // 12)
    values = time_ticks(x.low, x.high, wanted) if look.unit == "time" else ticks(x.low, x.high, wanted)
    if look.unit == "step":
        values = [value for value in values if value.is_integer()]
    values = values or [x.low]
    step = abs(values[1] - values[0]) if len(values) > 1 else 0.0
    line, labels = ["─"] * columns, [" "] * (margin + 1 + columns)
    free_from = 0
    for value in values:
        at = x.dot(value) // 2
        line[at] = "┬"
        label = in_unit(value, look.unit, step)
        start = min(max(0, margin + 1 + at - len(label) // 2), len(labels) - len(label))
        if start >= free_from:
            labels[start : start + len(label)] = label
            free_from = start + len(label) + 1
    spans: list[Span] = [(glyph, "axis") for glyph in line]
    for mark in sorted(marks, key=lambda mark: mark.weight):
        spans[x.dot(mark.x) // 2] = (mark.glyph, mark.style)
    return ((" " * margin, "muted"), ("└", "axis"), *_merged(spans)), (("".join(labels), "muted"),)


def _merged(spans: Sequence[Span]) -> list[Span]:
    """Neighbours of one style joined."""
    merged: list[Span] = []
    for text, style in spans:
        if merged and merged[-1][1] == style:
            merged[-1] = (merged[-1][0] + text, style)
        else:
            merged.append((text, style))
    return merged


def _legend(
    series: Sequence[Series], marks: Sequence[Mark], look: Look, width: int, most_lines: int
) -> tuple[Row, ...]:
    """Title, series and marks, in at most so many lines of `width` cells; the last one is cut."""
    words = {(mark.glyph, mark.words): mark.style for mark in marks}
    entries = [(f" {look.title} ", "title" if look.chosen else "strong")] if look.title else []
    entries += [(f"{one.glyph} {safe(one.label)}", one.style) for one in series]
    entries += [(f"{glyph} {safe(said)}", style) for (glyph, said), style in words.items()]
    lines: list[list[Span]] = [[]]
    left = width
    for text, style in entries:
        gap = "  " if lines[-1] else ""
        if lines[-1] and cell_len(gap + text) > left and len(lines) < most_lines:
            lines.append([])
            gap, left = " ", width
        shown = safe(gap + text, left)
        left -= cell_len(shown)
        lines[-1].append((shown, style))
    return tuple(tuple(line) for line in lines)
