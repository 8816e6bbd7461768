"""A block of styled lines that repaints only those that changed."""

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events
from textual.strip import Strip
from textual.widget import Widget

from finetui.text import safe, wrapped
from finetui.widgets import paint
from finetui.widgets.plot import Row


class Lines(Widget):
    """Lines of text, each cut at the edge. With `tail` they are wrapped, and the last ones are shown."""

    def __init__(self, rows: Sequence[Row] = (), *, id: str | None = None, tail: bool = False) -> None:
        super().__init__(id=id)
        self._rows = tuple(rows)
        self._tail = tail
        self._shown: tuple[Row, ...] = ()

    def show(self, rows: Sequence[Row]) -> None:
        """Replace the lines."""
        if tuple(rows) != self._rows:
            self._rows = tuple(rows)
            self._lay_out()

    def on_resize(self, event: events.Resize) -> None:
        self._lay_out()

    def render_line(self, y: int) -> Strip:
        return paint.strip(self, self._shown[y] if y < len(self._shown) else (), self.size.width)

    def _lay_out(self) -> None:
        before, (width, height) = self._shown, self.size
        if self._tail:
            last = self._rows[-height:] if height else ()
            wrapped = [line for row in last for line in wrapped_row(row, width)]
            self._shown = tuple(wrapped[-height:]) if height else ()
        else:
            self._shown = self._rows[:height]
        paint.refresh_changed(self, before, self._shown)


def wrapped_row(row: Row, width: int) -> list[Row]:
    """Wrap the last span of `row` under its own beginning."""
    if not row:
        return [row]
    *head, (text, style) = row
    indent = sum(cell_len(safe(part)) for part, _ in head)
    first, *others = wrapped(text, max(8, width - indent))
    return [(*head, (first, style)), *(((" " * indent, ""), (other, style)) for other in others)]
