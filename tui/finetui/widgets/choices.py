"""Lines to choose one from, with as many of them shown around the chosen one as there is room for."""

from collections.abc import Sequence

from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from finetui.widgets import paint
from finetui.widgets.plot import Row


class Choices(Widget):
    """Rows, of which `cursor` is the chosen one."""

    class Clicked(Message):
        """A click on the chosen row."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: tuple[Row, ...] = ()
        self.cursor = 0

    def show(self, rows: Sequence[Row]) -> None:
        """Replace the rows and choose the first."""
        self._rows = tuple(rows)
        self.cursor = 0
        self.refresh()

    def move(self, lines: int) -> None:
        """Choose another row; beyond the last comes the first."""
        if self._rows:
            self.cursor = (self.cursor + lines) % len(self._rows)
            self.refresh()

    def render_line(self, y: int) -> Strip:
        place = self._top() + y
        if place >= len(self._rows):
            return paint.strip(self, (), self.size.width)
        return paint.strip(self, self._rows[place], self.size.width, chosen=place == self.cursor)

    def on_click(self, event: events.Click) -> None:
        place = self._top() + event.y
        if place == self.cursor:
            self.post_message(self.Clicked())
        elif place < len(self._rows):
            self.cursor = place
            self.refresh()

    def _top(self) -> int:
        height = self.size.height
        return max(0, min(self.cursor - height // 2, len(self._rows) - height))
