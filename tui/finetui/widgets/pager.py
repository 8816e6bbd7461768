"""Lines of any number, of which only those on the screen are read and laid out."""

from collections.abc import Iterable, Sequence
from itertools import islice

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input
from textual.worker import get_current_worker

from finetui.actions import bindings
from finetui.lines_of import Line, Source, highlighted
from finetui.text import beginning, safe, wrapped
from finetui.widgets import paint
from finetui.widgets.field import Field
from finetui.widgets.plot import Row

NOTHING: Row = ((" nothing was written here yet", "muted"),)
Laid = tuple[int, int, Row]
"""A row on the screen: the place of its line, which of its rows it is, and the row."""


class SearchLine(Field):
    """The last line of a pager while a text to look for is typed."""

    DEFAULT_CSS = "SearchLine { dock: bottom; display: none; width: 1fr; }"


class Pager(Widget, can_focus=True):
    """Shows a source, wrapped. At its end it follows what comes; moving away from there stops that."""

    BINDINGS = bindings("log")
    DEFAULT_CSS = "Pager { width: 1fr; height: 1fr; }"

    class Moved(Message):
        """It follows the end of its source, or does so no more."""

    class Turned(Message):
        """Something else is to be compared: the one before (-1) or after (1), on the other side or not."""

        def __init__(self, direction: int, *, other_side: bool) -> None:
            super().__init__()
            self.direction, self.other_side = direction, other_side

    class SearchEnded(Message):
        """A search found the line shown at the top, or nothing."""

        def __init__(self, text: str, found: bool) -> None:
            super().__init__()
            self.text, self.found = text, found

    def __init__(self, *, id: str | None = None, takes_keys: bool = True) -> None:
        """One that takes no keys is moved by its screen, and not searched."""
        super().__init__(id=id)
        self.can_focus = takes_keys
        self._source: Source | None = None
        self._top = 0
        self._skip = 0
        self.follows = True
        self._text = ""
        self._shown: tuple[Row, ...] = ()

    def compose(self) -> ComposeResult:
        if self.can_focus:
            yield SearchLine(placeholder="search", compact=True, select_on_focus=False)

    def show(self, source: Source, *, follows: bool) -> None:
        """Show another source, from its end or from its start."""
        self._source, self.follows, self._text = source, follows, ""
        self._top = self._skip = 0
        self.read_again()

    def read_again(self) -> None:
        """Lay out what the source has now."""
        if self._source is not None and self.size:
            self._source.fit(self.size.width)
            self._lay_out()

    def on_resize(self, event: events.Resize) -> None:
        self.read_again()

    def render_line(self, y: int) -> Strip:
        return paint.strip(self, self._shown[y] if y < len(self._shown) else (), self.size.width)

    def action_down(self) -> None:
        self._move(1)

    def action_up(self) -> None:
        self._move(-1)

    def action_page_down(self) -> None:
        self._move(max(1, self._height - 1))

    def action_page_up(self) -> None:
        self._move(-max(1, self._height - 1))

    def action_first(self) -> None:
        self._top = self._skip = 0
        self._follow(False)

    def action_last(self) -> None:
        self._follow(True)

    def action_search(self) -> None:
        line = self.query_one(SearchLine)
        line.value, line.display = "", True
        line.focus()
        self._lay_out()

    def leave_search(self) -> bool:
        """Put the search line away, if it has the keys; whether it had them."""
        searching = self.query_one(SearchLine).has_focus
        if searching:
            self.focus()
        return searching

    def on_input_blurred(self, event: Input.Blurred) -> None:
        event.stop()
        event.input.display = False
        self._lay_out()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.focus()
        self.search(event.value, 1)

    def action_next_match(self) -> None:
        self.search(self._text, 1)

    def action_previous_match(self) -> None:
        self.search(self._text, -1)

    def action_earlier(self) -> None:
        self.post_message(self.Turned(-1, other_side=False))

    def action_later(self) -> None:
        self.post_message(self.Turned(1, other_side=False))

    def action_other_earlier(self) -> None:
        self.post_message(self.Turned(-1, other_side=True))

    def action_other_later(self) -> None:
        self.post_message(self.Turned(1, other_side=True))

    @property
    def _height(self) -> int:
        """The lines that the search leaves to the text."""
        return max(1, self.size.height - sum(line.display for line in self.query(SearchLine)))

    def on_mouse_scroll_down(self) -> None:
        self._move(3)

    def on_mouse_scroll_up(self) -> None:
        self._move(-3)

    def search(self, text: str, step: int) -> None:
        """Go to the nearest line that holds `text`, below (1) or above (-1) the top one."""
        source = self._source
        if source is None or not text:
            return
        self._text = text
        start = source.end() if self.follows and step < 0 else self._top

        def look() -> None:
            worker = get_current_worker()
            found = source.find(text, start, step, lambda: worker.is_cancelled)
            if not worker.is_cancelled:
                self.call_later(self._end_search, source, text, found)

        self.run_worker(look, thread=True, exclusive=True, group="search", exit_on_error=False)

    def _end_search(self, source: Source, text: str, found: int | None) -> None:
        if source is not self._source:
            return
        if found is not None:
            self._top, self._skip = found, 0
            self._follow(False)
        else:
            self._lay_out()
        self.post_message(self.SearchEnded(text, found is not None))

    def _move(self, rows: int) -> None:
        """Go down by so many rows of the screen, or up."""
        if self._source is None:
            return
        if rows > 0 and self.follows:
            return
        top = (self._top, self._skip)
        height = self._height
        if rows > 0:
            wanted = self._skip + rows + height + 1
            ahead = self._first_rows(self._source.after(self._top, wanted), wanted)[self._skip :]
            if len(ahead) <= rows + height:
                self._follow(True)
                return
            top = ahead[rows][:2]
        else:
            above = self._last_rows(self._source.before(self._top, -rows), -rows)
            own = self._first_rows(self._source.after(self._top, 1), self._skip)
            behind = [*above, *own][rows:]
            top = behind[0][:2] if behind else (0, 0)
        self._top, self._skip = top
        self._follow(False)

    def _follow(self, follows: bool) -> None:
        changed, self.follows = follows != self.follows, follows
        self._lay_out()
        if changed:
            self.post_message(self.Moved())

    def _lay_out(self) -> None:
        if self._source is None:
            return
        before, height = self._shown, self._height
        if self.follows:
            rows = self._last_rows(self._source.before(self._source.end(), height), height)
            if rows:
                self._top, self._skip = rows[0][:2]
        else:
            wanted = self._skip + height
            rows = self._first_rows(self._source.after(self._top, wanted), wanted)[self._skip :]
        self._shown = tuple(highlighted(row, self._text) if self._text else row for _, _, row in rows)
        self._shown = self._shown or (NOTHING,)
        paint.refresh_changed(self, before, self._shown)

    def _first_rows(self, lines: Iterable[Line], most: int) -> list[Laid]:
        """The first rows of `lines`; no more of them are wrapped than it takes."""
        return list(islice((row for line in lines for row in self._rows_of(line)), most))

    def _last_rows(self, lines: Sequence[Line], most: int) -> list[Laid]:
        """The last rows of `lines`, likewise."""
        rows = (row for line in reversed(lines) for row in reversed(self._rows_of(line)))
        return list(islice(rows, most))[::-1]

    def _rows_of(self, line: Line) -> list[Laid]:
        place, row = line
        return [(place, number, part) for number, part in enumerate(_wrapped(row, self.size.width))]


def _wrapped(row: Row, width: int) -> list[Row]:
    """Wrap the last span of `row` under its own beginning."""
    if not row:
        return [row]
    *head, (text, style) = row
    indent = sum(cell_len(safe(part)) for part, _ in head)
    if indent + cell_len(safe(beginning(text, width + 1))) <= width or width - indent < 8:
        return [row]
    first, *others = wrapped(text, width - indent)
    return [(*head, (first, style)), *(((" " * indent, ""), (other, style)) for other in others)]
