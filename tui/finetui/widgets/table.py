"""A table of any length: only the lines on the screen are drawn."""

from collections.abc import Callable, Iterable, Sequence
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

MARK = "*"
CHOSEN = "›"
GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """At least `width` cells, and up to `most` where there is room; without a cell it is not shown.

    In a table of fewer than `above` cells it is left out.
    """

    title: str
    width: int
    most: int = 0
    right: bool = False
    above: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """A line of the table: an identity that outlives a refresh, and one span for each column."""

    key: str
    cells: tuple[Span, ...]


class Table(ScrollView, can_focus=True):
    """Records under a fixed heading, with a cursor that stays on its record when records come and go."""

    BINDINGS = bindings("table")
    cursor: reactive[int] = reactive(0, repaint=False)

    class Opened(Message):
        """The user opened the record with `key` of `table`."""

        def __init__(self, table: "Table", key: str) -> None:
            super().__init__()
            self.table, self.key = table, key

    class Chosen(Message):
        """The cursor is on another record, or on none: `key` is then None."""

        def __init__(self, key: str | None) -> None:
            super().__init__()
            self.key = key

    class HeadingClicked(Message):
        """The heading of the column `title` was clicked."""

        def __init__(self, title: str) -> None:
            super().__init__()
            self.title = title

    def __init__(self, columns: Sequence[Column], *, id: str | None = None, beside: bool = False) -> None:
        """Of tables `beside` each other, only that with the keys shows its cursor in reverse."""
        super().__init__(id=id)
        self._beside = beside
        self._columns = tuple(columns)
        self._records: Sequence[Record] = ()
        self._place_of: Callable[[str], int | None] | None = None
        self._marked: frozenset[str] = frozenset()
        self._sorted: tuple[str, bool] | None = None
        self._told: str | None = None

    @property
    def chosen(self) -> str | None:
        """The key of the record under the cursor; None where there is none."""
        return self._records[self.cursor].key if len(self._records) else None

    def go_to(self, key: str) -> None:
        """Put the cursor on the record with `key`, where it is there."""
        places = self._place_of or {record.key: at for at, record in enumerate(self._records)}.get
        if (place := places(key)) is not None:
            self.cursor = place

    @property
    def marked(self) -> frozenset[str]:
        """The keys of the marked records."""
        return self._marked

    def mark(self, keys: Iterable[str]) -> None:
        """Mark the records with these keys, and no others."""
        self._marked = frozenset(keys)
        self.refresh()

    def sorted_by(self, title: str, *, reverse: bool) -> None:
        """Show with the heading which column the records are sorted by."""
        if self._sorted != (title, reverse):
            self._sorted = (title, reverse)
            self.refresh(Region(0, 0, self.size.width, 1))

    def show_lazily(self, records: Sequence[Record], place_of: Callable[[str], int | None]) -> None:
        """Replace the records by some that are made when they are drawn; `place_of` finds a key among them."""
        before_chosen = self._told
        self._records, self._place_of = records, place_of
        self.virtual_size = Size(0, len(records) + 1)
        place = place_of(before_chosen) if before_chosen is not None else None
        self.cursor = self.validate_cursor(self.cursor if place is None else place)
        self.refresh()
        self._tell()

    def show(self, records: Sequence[Record]) -> None:
        """Replace the records."""
        before, before_chosen = self._records, self.chosen
        self._records = tuple(records)
        self.virtual_size = Size(0, len(records) + 1)
        places = {record.key: place for place, record in enumerate(self._records)}
        self.cursor = self.validate_cursor(places.get(before_chosen or "", self.cursor))
        top, height = self.scroll_offset.y, self.size.height
        paint.refresh_changed(
            self,
            [(), *(record.cells for record in before[top : top + height])],
            [(), *(record.cells for record in self._records[top : top + height])],
        )
        if self.chosen != before_chosen:
            self.refresh()
        self._tell()

    def validate_cursor(self, cursor: int) -> int:
        return max(0, min(cursor, len(self._records) - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        if self.size.height:  # while it is not seen, every line would be outside
            region = Region(0, new, 1, 2)
            self.scroll_to_region(region, animate=False, force=True, immediate=True, x_axis=False)
        for row in (old, new):
            self.refresh(Region(0, row + 1 - self.scroll_offset.y, self.size.width, 1))
        self._tell()

    def _tell(self) -> None:
        if self.chosen != self._told:
            self._told = self.chosen
            self.post_message(self.Chosen(self.chosen))

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        if y == 0:
            return paint.strip(self, self._line(self._headings(), width), width)
        place = self.scroll_offset.y + y - 1
        if place >= len(self._records):
            return paint.strip(self, (), width)
        record = self._records[place]
        chosen = place == self.cursor
        mark = MARK if record.key in self._marked else " "
        if chosen and self._beside and not self.has_focus:
            return paint.strip(self, self._line(record.cells, width, CHOSEN), width)
        return paint.strip(self, self._line(record.cells, width, mark), width, chosen=chosen)

    def on_focus(self) -> None:
        self._show_focus()

    def on_blur(self) -> None:
        self._show_focus()

    def _show_focus(self) -> None:
        if self._beside:
            self.refresh(Region(0, self.cursor + 1 - self.scroll_offset.y, self.size.width, 1))

    def on_resize(self, event: events.Resize) -> None:
        self.virtual_size = Size(0, len(self._records) + 1)
        self.watch_cursor(self.cursor, self.cursor)

    def on_click(self, event: events.Click) -> None:
        place = self.scroll_offset.y + event.y - 1
        if event.y == 0:
            self._click_heading(event.x)
            return
        if place >= len(self._records):
            return
        if place == self.cursor:
            self.action_open()
        self.cursor = place

    def action_open(self) -> None:
        if len(self._records):
            self.post_message(self.Opened(self, self._records[self.cursor].key))

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

    def _headings(self) -> tuple[Span, ...]:
        title, reverse = self._sorted or (None, False)
        arrow = "▼" if reverse else "▲"
        return tuple(
            (f"{c.title} {arrow}", "strong") if c.title == title else (c.title, "muted")
            for c in self._columns
        )

    def _click_heading(self, x: int) -> None:
        end = 1
        for column, width in zip(
            self._columns, _widths(self._columns, self.scrollable_content_region.width - 1), strict=True
        ):
            end += width + len(GAP) if width else 0
            if x < end:
                self.post_message(self.HeadingClicked(column.title))
                return

    def _line(self, cells: Sequence[Span], width: int, mark: str = " ") -> Row:
        spans: list[Span] = [(mark, "strong")]
        widths = _widths(self._columns, width - 1)
        for column, (text, style), cell_width in zip(self._columns, cells, widths, strict=True):
            if cell_width:
                spans += [(pad(text, cell_width, right=column.right), style), (GAP, "")]
        return tuple(spans)


def _widths(columns: Sequence[Column], width: int) -> list[int]:
    """Give what is left of `width` to the columns that can use it, the first ones first."""
    shown = [width >= column.above for column in columns]
    widths = [column.width if here else 0 for column, here in zip(columns, shown, strict=True)]
    left = width - sum(cells + len(GAP) for cells in widths if cells) + len(GAP)
    for place, column in enumerate(columns):
        gap = 0 if widths[place] else len(GAP)
        more = max(0, min(left - gap, column.most - widths[place])) if shown[place] else 0
        widths[place] += more
        left -= more + gap if more else 0
    return widths
