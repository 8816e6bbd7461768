"""A chart on a screen: repaints only the lines that changed."""

from collections.abc import Sequence

from textual import events
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
        self._drawn_for = self.size

    def show(self, rows: Sequence[Row]) -> None:
        """Replace the rows, which were drawn for the size of now."""
        before, self._rows = self._rows, tuple(rows)
        if self._drawn_for != self.size:
            self._drawn_for, before = self.size, ()
            self.refresh()
        paint.refresh_changed(self, before, self._rows)

    def on_resize(self, event: events.Resize) -> None:
        self.post_message(self.Resized())

    def on_click(self, event: events.Click) -> None:
        self.post_message(self.Chosen(self._place, event.x))

    def render_line(self, y: int) -> Strip:
        """Empty while the rows are those of another size: a torn chart looks like a broken one."""
        rows = self._rows if self.size == self._drawn_for else ()
        return paint.strip(self, rows[y] if y < len(rows) else (), self.size.width)
