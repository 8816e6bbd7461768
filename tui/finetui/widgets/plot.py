"""Line charts as rows of braille and text: a pure function from series to rows.

Each braille character holds 2x4 dots. Points are gathered into one column of dots at a time and each column
draws all of its range, so that a single extreme among a million points is still seen.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len

from finetui.text import pad, safe

Span = tuple[str, str]
"""A piece of text and the name of its style."""
Row = tuple[Span, ...]
Point = tuple[float, float | None]

LARGEST, SMALLEST = 1e300, 1e-300
"""Beyond these a difference or a quotient may overflow: a larger value is a gap, a smaller range is flat."""

MARKER = "◆"
CHECKPOINT = "▲"
_GLYPHS = {"line": "━", "dots": "⠢", "markers": MARKER}
_DOT_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


@dataclass(frozen=True, slots=True)
class Series:
    """Points in order of x. A y of None, or one that is not finite, is a gap in the line.

    `kind` tells series apart without colour: a joined line, single dots, or marks on a line. `label` is
    for the legend. Later series are drawn over earlier ones.
    """

    label: str
    style: str
    kind: Literal["line", "dots", "markers"]
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class _Scale:
    """Data range → dots: `low` is dot 0, `high` is the last of `dots`. A range without extent is half-way."""

    low: float
    high: float
    dots: int

    def dot(self, value: float) -> int:
        start, per_unit = self.line()
        return int(start + (value - self.low) * per_unit)

    def line(self) -> tuple[float, float]:
        """(a, b) such that a value's dot is int(a + (value - low) * b)."""
        extent = self.high - self.low
        return (0.5, (self.dots - 1) / extent) if extent > SMALLEST else (self.dots // 2 + 0.5, 0.0)


class _Canvas:
    """A grid of characters that is drawn on dot by dot."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.bits = [[0] * width for _ in range(height)]
        self.glyphs = [[""] * width for _ in range(height)]
        self.styles = [[""] * width for _ in range(height)]

    def dot(self, x: int, y: int, style: str) -> None:
        """Set the dot `x` from the left and `y` from the top."""
        column, row = x // 2, y // 4
        self.bits[row][column] |= _DOT_BITS[y % 4][x % 2]
        self.styles[row][column] = style

    def mark(self, x: int, y: int, glyph: str, style: str) -> None:
        self.glyphs[y // 4][x // 2] = glyph
        self.styles[y // 4][x // 2] = style

    def row(self, index: int) -> Row:
        spans: list[Span] = []
        for bits, glyph, style in zip(self.bits[index], self.glyphs[index], self.styles[index], strict=True):
            text = glyph or (chr(0x2800 + bits) if bits else " ")
            if spans and spans[-1][1] == style:
                spans[-1] = (spans[-1][0] + text, style)
            else:
                spans.append((text, style))
        return tuple(spans)


def plot(
    series: Sequence[Series], width: int, height: int, *, checkpoints: Sequence[float] = ()
) -> tuple[Row, ...]:
    """Draw `series` in `height` rows of `width` cells: legend, curves with y labels, x axis with labels.

    x counts steps. The y axis spans exactly the finite values, the x axis exactly their x. `checkpoints` are
    steps, marked on the x axis. A size too small for axes leaves the legend alone; rows are never wider than
    `width`.
    """
    if width <= 0 or height <= 0:
        return ()
    legend = _legend(series, bool(checkpoints), width)
    shown = [point for one in series for point in _finite(one.points)]
    if not shown or height < 4 or width < 16:
        notice: Row = legend if shown else ((safe("no values yet", width), "muted"),)
        return _filled((notice,), height)
    rows = height - 3
    y_low, y_high = min(y for _, y in shown), max(y for _, y in shown)
    labels = _y_labels(_Scale(y_low, y_high, rows))
    margin = max(len(label) for label in labels.values())
    columns = width - margin - 1
    if columns < 4:
        return _filled((legend,), height)
    canvas = _Canvas(columns, rows)
    x = _Scale(min(x for x, _ in shown), max(x for x, _ in shown), columns * 2)
    y = _Scale(y_low, y_high, rows * 4)
    for one in series:
        _draw(canvas, one, x, y)
    body = [
        (
            (pad(labels.get(index, ""), margin, right=True), "muted"),
            ("┤" if index in labels else "│", "axis"),
            *canvas.row(index),
        )
        for index in range(rows)
    ]
    return (legend, *body, *_x_axis(x, margin, columns, checkpoints))


def _filled(rows: tuple[Row, ...], height: int) -> tuple[Row, ...]:
    return rows + ((),) * (height - len(rows))


def _finite(points: Iterable[Point]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if y is not None and -LARGEST < y < LARGEST and -LARGEST < x < LARGEST]


def _draw(canvas: _Canvas, one: Series, x: _Scale, y: _Scale) -> None:
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
            _join(before, (at, first), lambda dx, dy: canvas.dot(dx, bottom - dy, one.style))
        for dot in range(low, high + 1):
            canvas.dot(at, bottom - dot, one.style)
        before = (at, last)
    if one.kind == "markers":
        for column in columns:
            if column is not None:
                canvas.mark(column[0], bottom - column[4], MARKER, one.style)


def _columns(points: Sequence[Point], x: _Scale, y: _Scale) -> list[tuple[int, int, int, int, int] | None]:
    """Gather points by column of dots: (column, first, lowest, highest, last) in dots; None is a gap."""
    gathered: list[tuple[int, int, int, int, int] | None] = []
    x_start, x_factor = x.line()
    y_start, y_factor = y.line()
    column, first, low, high, last = -1, 0, 0, 0, 0
    for point_x, point_y in points:
        if point_y is None or not (-LARGEST < point_y < LARGEST and -LARGEST < point_x < LARGEST):
            if column >= 0:
                gathered += [(column, first, low, high, last), None]
                column = -1
            continue
        at = int(x_start + (point_x - x.low) * x_factor)
        last_before, last = last, int(y_start + (point_y - y.low) * y_factor)
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


def _join(start: tuple[int, int], end: tuple[int, int], dot: Callable[[int, int], None]) -> None:
    """Set the dots of a straight line."""
    (x0, y0), (x1, y1) = start, end
    steps = max(abs(x1 - x0), abs(y1 - y0))
    for index in range(steps + 1):
        share = index / steps if steps else 0.0
        dot(round(x0 + (x1 - x0) * share), round(y0 + (y1 - y0) * share))


def ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`, at most `wanted`."""
    if wanted < 1 or not (-LARGEST < low <= high < LARGEST):
        return []
    if high - low < SMALLEST:
        return [float(low)]
    exponent = math.floor(math.log10((high - low) / wanted))
    for power in range(exponent, exponent + 3):
        for factor in (1.0, 2.0, 5.0):
            step = factor * 10.0**power
            if step < SMALLEST or max(abs(low), abs(high)) / step > 2**52:
                continue
            first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
            if last - first + 1 <= wanted:
                return [number * step for number in range(first, last + 1)]
    return []


def _y_labels(scale: _Scale) -> dict[int, str]:
    """Row from the top → label, for round values; where none fits, for the top and the bottom row."""
    rows = scale.dots
    values = ticks(scale.low, scale.high, max(2, rows // 2))
    if len(values) < 2:
        values = [scale.low, scale.high]
    step = abs(values[1] - values[0])
    return {rows - 1 - scale.dot(value): number(value, step) for value in values}


def _x_axis(x: _Scale, margin: int, columns: int, checkpoints: Sequence[float]) -> tuple[Row, Row]:
    values = [value for value in ticks(x.low, x.high, max(2, columns // 12)) if value.is_integer()] or [x.low]
    step = abs(values[1] - values[0]) if len(values) > 1 else 0.0
    line, labels = ["─"] * columns, [" "] * (margin + 1 + columns)
    free_from = 0
    for value in values:
        at = x.dot(value) // 2
        line[at] = "┬"
        label = number(value, step)
        start = min(max(0, margin + 1 + at - len(label) // 2), len(labels) - len(label))
        if start >= free_from:
            labels[start : start + len(label)] = label
            free_from = start + len(label) + 1
    for step_number in checkpoints:
        if x.low <= step_number <= x.high:
            line[x.dot(step_number) // 2] = CHECKPOINT
    axis = ((" " * margin, "muted"), ("└", "axis"), ("".join(line), "axis"))
    return axis, (("".join(labels), "muted"),)


def _legend(series: Sequence[Series], checkpoints: bool, width: int) -> Row:
    entries = [(f"{_GLYPHS[one.kind]} {safe(one.label)}", one.style) for one in series]
    if checkpoints:
        entries.append((f"{CHECKPOINT} checkpoint", "axis"))
    spans: list[Span] = []
    left = width
    for text, style in entries:
        shown = safe(f"   {text}" if spans else text, left)
        left -= cell_len(shown)
        spans.append((shown, style))
    return tuple(spans)


def number(value: float, step: float) -> str:
    """Write `value` with as many digits as tell it from a neighbour `step` away."""
    size = max(abs(value), abs(step))
    if size and not 1e-4 <= size < 1e6:
        return f"{value:.3g}"
    if not step:
        return f"{value:.4g}"
    return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"
