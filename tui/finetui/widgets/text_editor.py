"""A text that is typed into: only the lines on the screen are drawn, and of those only the ones that changed."""

import re
from collections.abc import Callable, Iterator, Mapping

from rich.cells import cell_len
from rich.style import Style
from textual import events
from textual.geometry import Offset, Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from finetui import recipe_typing as edits
from finetui.actions import actions_of, bindings
from finetui.recipe_draft import Draft
from finetui.text import safe
from finetui.widgets import paint
from finetui.widgets.plot import Row, Span

MARK = "!"
MOST_COLOURED = 4096
"""Characters of a line that are drawn at most."""
_TOKENS = re.compile(
    r"""(?P<muted>\#.*) | (?P<accent>^\s*\[[^\]\n]*\]+)
    | (?P<train>"{3}.*|'{3}.*|"(?:\\.|[^"\\])*"?|'[^']*'?)
    | (?P<validation>\b(?:true|false)\b|(?<![\w.-])[-+]?\d[\w.+-]*)""",
    re.VERBOSE,
)


class TextEditor(Widget, can_focus=True):
    """Shows and changes a draft, which others may change too. A line with a fault has a mark beside its number."""

    BINDINGS = bindings("text")
    DEFAULT_CSS = "TextEditor { width: 1fr; height: 1fr; }"

    class Changed(Message):
        """The text of the draft is another one."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, TextEditor.Changed)

    class Moved(Message):
        """The cursor is at another place of the same text."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._draft: Draft | None = None
        self._lines: list[str] = []
        self._of = ""
        self._marks: Mapping[int, str] = {}
        self._top = self._left = 0
        self._column: int | None = None
        self._drawn: tuple[Row, ...] = ()
        self._moves: dict[str, str] = {}

    def show(self, draft: Draft | None, marks: Mapping[int, str] | None = None) -> None:
        """Show what the draft holds now; `marks` gives the style of each line, from 0, that has a fault."""
        self._draft = draft
        if marks is not None:
            self._marks = marks
        self._column = None
        self._lay_out()

    def go_to(self, line: int, column: int) -> None:
        """Put the cursor there, both from 0, and the line where it is seen well."""
        if (draft := self._draft) is not None:
            draft.cursor = edits.offset_of(draft.text, line, column)
            self._column = None
            self._lay_out(roomy=True)

    @property
    def line(self) -> int:
        """The line of the cursor, from 0."""
        return edits.place_of(self._draft.text, self._draft.cursor)[0] if self._draft else 0

    # Keys.

    def check_consume_key(self, key: str, character: str | None) -> bool:
        return character is not None and character.isprintable()

    def on_mount(self) -> None:
        own = actions_of("text", keys=getattr(self.app, "keymap", None))
        self._moves = {key: action.name for action in own if not action.does for key in action.keys}

    async def _on_key(self, event: events.Key) -> None:
        """A binding would be done only once the key has come up to the screen, behind what was typed after it."""
        if event.is_printable and event.character:
            event.stop()
            event.prevent_default()
            self._insert(event.character, "type")
        elif (name := self._moves.get(event.key)) is not None:
            event.stop()
            event.prevent_default()
            getattr(self, f"action_{name}")()

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        if (draft := self._draft) is not None:
            lines = event.text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            self._insert(draft.newline.join(lines), "")

    def _insert(self, what: str, kind: str) -> None:
        if (draft := self._draft) is not None:
            self._change(*edits.inserted(draft.text, draft.cursor, what), kind)

    def _change(self, text: str, cursor: int, kind: str = "") -> None:
        if self._draft is not None and self._draft.change(text, cursor, kind):
            self._column = None
            self._lay_out()
            self.post_message(self.Changed())

    def _erase(self, other: int, kind: str) -> None:
        if (draft := self._draft) is not None:
            start, end = sorted((draft.cursor, other))
            self._change(*edits.without(draft.text, start, end), kind)

    def _move(self, to: int, column: int | None = None) -> None:
        if self._draft is not None:
            self._draft.cursor, self._column = to, column
            self._lay_out()
            self.post_message(self.Moved())

    def _vertically(self, lines: int) -> None:
        if (draft := self._draft) is not None:
            column = self._column
            if column is None:
                column = edits.place_of(draft.text, draft.cursor)[1]
            self._move(edits.down(draft.text, draft.cursor, lines, column), column)

    def action_left(self) -> None:
        self._to(edits.left)

    def action_right(self) -> None:
        self._to(edits.right)

    def action_word_left(self) -> None:
        self._to(edits.word_left)

    def action_word_right(self) -> None:
        self._to(edits.word_right)

    def action_start(self) -> None:
        self._to(edits.line_start)

    def action_end(self) -> None:
        self._to(edits.line_end)

    def _to(self, where: Callable[[str, int], int]) -> None:
        if (draft := self._draft) is not None:
            self._move(where(draft.text, draft.cursor))

    def action_up(self) -> None:
        self._vertically(-1)

    def action_down(self) -> None:
        self._vertically(1)

    def action_page_up(self) -> None:
        self._vertically(1 - max(2, self.size.height))

    def action_page_down(self) -> None:
        self._vertically(max(2, self.size.height) - 1)

    def action_first(self) -> None:
        self._move(0)

    def action_last(self) -> None:
        if self._draft is not None:
            self._move(len(self._draft.text))

    def action_new_line(self) -> None:
        if self._draft is not None:
            self._insert(self._draft.newline, "")

    def action_backspace(self) -> None:
        if (draft := self._draft) is not None:
            self._erase(edits.left(draft.text, draft.cursor), "backspace")

    def action_delete(self) -> None:
        if (draft := self._draft) is not None:
            self._erase(edits.right(draft.text, draft.cursor), "delete")

    def action_delete_line_end(self) -> None:
        """To the end of the line, or the line break where the cursor is at that end."""
        if (draft := self._draft) is not None:
            end = edits.line_end(draft.text, draft.cursor)
            self._erase(end if end > draft.cursor else edits.right(draft.text, end), "")

    def on_click(self, event: events.Click) -> None:
        if (draft := self._draft) is None:
            return
        line = min(self._top + event.y, len(self._lines) - 1)
        cells = max(0, event.x - self._gutter + self._left)
        column = next(
            (at for at in range(len(self._lines[line])) if _cells(self._lines[line][: at + 1]) > cells),
            len(self._lines[line]),
        )
        self._move(edits.offset_of(draft.text, line, column))

    def on_mouse_scroll_down(self) -> None:
        self._vertically(3)

    def on_mouse_scroll_up(self) -> None:
        self._vertically(-3)

    def on_focus(self) -> None:
        self._lay_out()

    def on_blur(self) -> None:
        self._lay_out()

    def on_resize(self) -> None:
        self._lay_out()

    # Drawing.

    @property
    def _gutter(self) -> int:
        return len(str(len(self._lines))) + 3

    def _lay_out(self, *, roomy: bool = False) -> None:
        """Bring the cursor into view and repaint the lines that look otherwise than before."""
        draft, (width, height) = self._draft, self.size
        text = draft.text if draft is not None else ""
        if text != self._of or not self._lines:
            self._of, self._lines = text, text.split("\n")
        if not height:
            return
        line, column = edits.place_of(text, draft.cursor) if draft is not None else (0, 0)
        margin = height // 3 if roomy else 0
        if not self._top + margin <= line < self._top + height - margin:
            low, high = line - height + 1 + margin, line - margin
            self._top = max(0, min(max(self._top, low), high))
        self._top = max(0, min(self._top, len(self._lines) - 1))
        room = max(1, width - self._gutter - 1)
        cells = _cells(self._lines[line][:column])
        if cells < room or not self.has_focus:
            self._left = 0
        elif not self._left <= cells < self._left + room:
            self._left = max(0, cells - room // 2)
        cursor = (line, cells) if self.has_focus else None
        if cursor is not None:
            corner = self.content_region.offset
            self.app.cursor_position = corner + Offset(self._gutter + cells - self._left, line - self._top)
        drawn = tuple(self._row(self._top + y, line, cursor) for y in range(height))
        before, self._drawn = self._drawn, drawn
        for y in range(max(len(before), height)):
            if before[y : y + 1] != drawn[y : y + 1]:
                self.refresh(Region(0, y, width, 1))

    def _row(self, number: int, current: int, cursor: tuple[int, int] | None) -> Row:
        """Number and text of a line; its last span says what `render_line` needs besides: the cell of the cursor."""
        if number >= len(self._lines):
            return ()
        style = self._marks.get(number, "")
        digits = self._gutter - 3
        mark = (
            f"{MARK if style else ' '}{number + 1:>{digits}}  ",
            style or ("strong" if number == current else "muted"),
        )
        at = cursor[1] if cursor is not None and cursor[0] == number else -1
        return (
            mark,
            *_coloured(self._lines[number].removesuffix("\r")[:MOST_COLOURED]),
            (f"{at}:{self._left}", ""),
        )

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        row = self._drawn[y] if y < len(self._drawn) else ()
        if not row:
            return paint.strip(self, (), width)
        gutter, *spans, (told, _) = row
        at, left = map(int, told.split(":"))
        room = max(0, width - self._gutter)
        line = paint.strip(self, tuple(spans), left + room)
        if at >= 0:
            under = line.crop(at, at + 1).apply_style(Style(reverse=True))
            line = Strip.join([line.crop(0, at), under, line.crop(at + 1, left + room)])
        return Strip.join([paint.strip(self, (gutter,), self._gutter), line.crop(left, left + room)])


def _coloured(line: str) -> Iterator[Span]:
    """The parts of a line of TOML, each with its colour."""
    start = 0
    for match in _TOKENS.finditer(line):
        if match.start() > start:
            yield line[start : match.start()], ""
        yield match[0], match.lastgroup or ""
        start = match.end()
    if start < len(line):
        yield line[start:], ""


def _cells(text: str) -> int:
    return cell_len(safe(text))
