"""A table of any length: only the lines on the screen are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from finetui.actions import bindings
from finetui.text import pad
from finetui.widgets import paint
from finetui.widgets.plot import Row, Span


@dataclass(frozen=True, slots=True)
class Column:
    """At least `width` cells, and up to `most` where there is room; without a cell it is not shown."""

    title: str
    width: int
    most: int = 0
    right: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A line of the table: an identity that outlives a refresh, and one span for each column."""

    key: str
    cells: tuple[Span, ...]


class Table(ScrollView, can_focus=True):
    """Records under a fixed heading, with a cursor that stays on its record when records come and go."""

    BINDINGS = bindings("table")
    COMPONENT_CLASSES = paint.COMPONENT_CLASSES

    cursor: reactive[int] = reactive(0, repaint=False)

    class Opened(Message):
        """The user opened the record with `key`."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, columns: Sequence[Column], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._columns = tuple(columns)
        self._records: tuple[Record, ...] = ()

    def show(self, records: Sequence[Record]) -> None:
        """Replace the records."""
        before, at = self._records, self.cursor
        chosen = before[at].key if at < len(before) else None
        self._records = tuple(records)
        self.virtual_size = Size(self.size.width, len(records) + 1)
        places = {record.key: place for place, record in enumerate(self._records)}
        self.cursor = places.get(chosen, self.cursor) if chosen else self.cursor
        top, height = self.scroll_offset.y, self.size.height
        paint.refresh_changed(
            self,
            [(), *(record.cells for record in before[top : top + height])],
            [(), *(record.cells for record in self._records[top : top + height])],
        )

    def validate_cursor(self, cursor: int) -> int:
        return max(0, min(cursor, len(self._records) - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        self.scroll_to_region(Region(0, new, 1, 2), animate=False, force=True, immediate=True, x_axis=False)
        for row in (old, new):
            self.refresh(Region(0, row + 1 - self.scroll_offset.y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y == 0:
            return paint.strip(
                self, self._line(tuple((c.title, "muted") for c in self._columns), width), width
            )
        place = self.scroll_offset.y + y - 1
        if place >= len(self._records):
            return paint.strip(self, (), width)
        line = self._line(self._records[place].cells, width)
        return paint.strip(self, line, width, chosen=place == self.cursor)

    def on_resize(self, event: events.Resize) -> None:
        self.virtual_size = Size(event.size.width, len(self._records) + 1)
        self.watch_cursor(self.cursor, self.cursor)

    def on_click(self, event: events.Click) -> None:
        place = self.scroll_offset.y + event.y - 1
        if event.y == 0 or place >= len(self._records):
            return
        if place == self.cursor:
            self.action_open()
        self.cursor = place

    def action_open(self) -> None:
        if self._records:
            self.post_message(self.Opened(self._records[self.cursor].key))

    def action_down(self) -> None:
        self.cursor += 1

    def action_up(self) -> None:
        self.cursor -= 1

    def action_page_down(self) -> None:
        self.cursor += max(1, self.size.height - 2)

    def action_page_up(self) -> None:
        self.cursor -= max(1, self.size.height - 2)

    def action_first(self) -> None:
        self.cursor = 0

    def action_last(self) -> None:
        self.cursor = len(self._records) - 1

    def _line(self, cells: Sequence[Span], width: int) -> Row:
        spans: list[Span] = [(" ", "")]
        widths = _widths(self._columns, width - 1)
        for column, (text, style), cell_width in zip(self._columns, cells, widths, strict=True):
            if cell_width:
                spans += [(pad(text, cell_width, right=column.right), style), ("  ", "")]
        return tuple(spans)


def _widths(columns: Sequence[Column], width: int) -> list[int]:
    """Give what is left of `width` to the columns that can use it, the first ones first."""
    widths = [column.width for column in columns]
    left = width - sum(cells + 2 for cells in widths)
    for place, column in enumerate(columns):
        more = max(0, min(left, column.most - column.width))
        widths[place] += more
        left -= more
    return widths
