"""A chart on a screen: repaints only the cells that changed."""

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from finetui.widgets import paint
from finetui.widgets.plot import Row


class ChartView(Widget):
    """Shows the rows of one chart, which somebody else draws for its size."""

    class Resized(Message):
        """The chart has a new size and wants to be drawn."""

    class Chosen(Message):
        """The chart was clicked on, `column` cells from its left edge."""

        def __init__(self, place: int, column: int) -> None:
            super().__init__()
            self.place, self.column = place, column

    def __init__(self, place: int, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._place = place
        self._rows: tuple[Row, ...] = ()

    def show(self, rows: Sequence[Row]) -> None:
        """Replace the rows."""
        before, self._rows = self._rows, tuple(rows)
        for line in range(max(len(before), len(self._rows))):
            old, new = before[line : line + 1], self._rows[line : line + 1]
            if old != new:
                start, end = _changed(old[0] if old else (), new[0] if new else (), self.size.width)
                self.refresh(Region(start, line, end - start, 1))

    def on_resize(self, event: events.Resize) -> None:
        self.post_message(self.Resized())

    def on_click(self, event: events.Click) -> None:
        self.post_message(self.Chosen(self._place, event.x))

    def render_line(self, y: int) -> Strip:
        return paint.strip(self, self._rows[y] if y < len(self._rows) else (), self.size.width)


def _changed(old: Row, new: Row, width: int) -> tuple[int, int]:
    """The first cell that differs, and the one after the last."""
    before, after = _cells(old, width), _cells(new, width)
    if before is None or after is None:
        return 0, width
    differing = [place for place in range(width) if before[place] != after[place]]
    return (differing[0], differing[-1] + 1) if differing else (0, width)


def _cells(row: Row, width: int) -> list[tuple[str, str]] | None:
    """Character and style of each cell; None where a character takes more than one."""
    cells = [(character, style) for text, style in row for character in text]
    if len(cells) != sum(cell_len(text) for text, _ in row):
        return None
    return [*cells, *[(" ", "")] * (width - len(cells))][:width]
