"""One row of a data set: as a conversation, as tokens, or beside the row that it repeats."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from textual.app import ComposeResult
from textual.screen import Screen

from finetui.actions import bindings
from finetui.closing import close
from finetui.data_check import Check
from finetui.data_child import TokenServer
from finetui.data_file import DataFile, row_of
from finetui.data_rows import named_row
from finetui.data_turns import difference_rows, token_rows, turn_rows
from finetui.lines_of import Rows
from finetui.text import safe
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui.widgets.pager import Pager
from finetui.widgets.plot import Row
from finetui.widgets.status_line import StatusLine
from finetui_core import wording
from finetui_core.data.row_filter import OpenedRow, readable, without_secrets
from finetui_core.errors import InputError

if TYPE_CHECKING:
    from finetui.app import Studio

VIEWS = {"turns": "conversation", "tokens": "x tokens", "difference": "d difference", "raw": "w as written"}
"""What a row is shown as, and what the tab says."""
LABELS = {"log.earlier": "row before", "log.later": "next row"}
_FORWARD, _BACK = 1, -1


class RowScreen(Screen[int]):
    """Shows the rows `numbers` one after the other, from `place` on; dismissed with the row shown last.

    `tokens` gives the server that shows rows as tokens, or None where no recipe is known.
    """

    BINDINGS = bindings("row")
    SCOPES = ("row", "log", "studio")

    def __init__(
        self,
        file: DataFile,
        check: Callable[[], Check],
        numbers: Sequence[int],
        place: int,
        named: str,
        tokens: Callable[[], TokenServer | None],
    ) -> None:
        super().__init__()
        self._file, self._check, self._numbers, self._place = file, check, numbers, place
        self._named = named
        self._tokens = tokens
        self._view: str = "turns"
        self._ids = False
        self._answers: dict[int, dict[str, Any]] = {}
        self._others: dict[tuple[str, int], OpenedRow | None] = {}

    def compose(self) -> ComposeResult:
        yield StatusLine("data")
        yield Lines(id="title")
        yield Lines(id="tabs")
        yield Pager(id="text")
        yield Lines(id="notice")
        yield KeyBar(self.SCOPES)

    def on_mount(self) -> None:
        self.query_one(Pager).focus()
        self._show()

    @property
    def number(self) -> int:
        return self._numbers[self._place]

    # What the keys do.

    def action_back(self) -> None:
        if not self.query_one(Pager).leave_search():
            close(self, self.number)

    def action_tokens(self) -> None:
        self._turn_to("tokens")

    def action_difference(self) -> None:
        if self._other() is None:
            self._notice("no other row is known that this one repeats or contradicts", "warning")
        else:
            self._turn_to("difference")

    def action_raw(self) -> None:
        self._turn_to("raw")

    def action_ids(self) -> None:
        self._ids = not self._ids
        self._view = "tokens"
        self._show()

    def action_copy_row(self) -> None:
        opened = self._opened()
        if opened is not None:
            self._studio.copy(readable(opened.text))

    def action_edit(self) -> None:
        from finetui.data_mending import ask_to_edit

        ask_to_edit(self._studio, self._file.source, self.number)

    def on_pager_turned(self, event: Pager.Turned) -> None:
        self._go(event.direction)

    def action_next_row(self) -> None:
        self._go(_FORWARD)

    def action_row_before(self) -> None:
        self._go(_BACK)

    def _go(self, step: int) -> None:
        place = self._place + step
        if not 0 <= place < len(self._numbers):
            self._notice(f"this is the {'last' if step > 0 else 'first'} row of {self._named}", "muted")
            return
        self._place = place
        if self._view == "difference" and self._other() is None:
            self._view = "turns"
        self._show()

    def _turn_to(self, view: str) -> None:
        self._view = "turns" if self._view == view else view
        self._show()

    def on_pager_search_ended(self, event: Pager.SearchEnded) -> None:
        if not event.found:
            self._notice(f"no more lines with: {event.text}", "warning")

    # Showing.

    def _opened(self) -> OpenedRow | None:
        return self._file.open(self.number)

    def _other(self) -> tuple[str, int] | None:
        """The row that this one repeats or contradicts, and its file where that is another one."""
        return self._check().double_of(self.number)

    def _show(self) -> None:
        opened = self._opened()
        self.query_one("#title", Lines).show((self._title(opened),))
        self.query_one("#tabs", Lines).show((self._tabs(),))
        self.query_one("#notice", Lines).show(())
        self.query_one(KeyBar).show(unavailable=self._unavailable(), labels=LABELS)
        if opened is None:
            rows: list[Row] = [((" the file no longer has this row", "bad"),)]
            self.query_one(Pager).show(Rows(lambda width: rows), follows=False)
        else:
            self.query_one(Pager).show(Rows(lambda width: self._rows(opened, width)), follows=False)

    def _rows(self, opened: OpenedRow, width: int) -> Sequence[Row]:
        if self._view == "raw":
            lines = without_secrets(readable(opened.text)).split("\n")
            return [((" ", ""), (line, "")) for line in lines]
        if self._view == "difference" and (other := self._other()) is not None:
            return self._difference(opened, other, width)
        if self._view == "tokens":
            return self._token_rows(width)
        return turn_rows(opened, self._file.hits(self.number), self._check(), width)

    def _difference(self, opened: OpenedRow, other: tuple[str, int], width: int) -> Sequence[Row]:
        source, number = other
        if source and other not in self._others:
            self.run_worker(partial(self._read_other, other), thread=True, exit_on_error=False, group="other")
            return (((f" reading {source} …", "muted"),),)
        second = self._others[other] if source else self._file.open(number)
        if second is None:
            return (((f" {named_row(*other)} cannot be read any more", "bad"),),)
        return difference_rows(opened, second, (f"row {self.number}", named_row(*other)), width)

    def _read_other(self, other: tuple[str, int]) -> None:
        row = None
        with suppress(InputError, OSError):
            row = row_of(*other)
        self.app.call_later(self._have_other, other, row)

    def _have_other(self, other: tuple[str, int], row: OpenedRow | None) -> None:
        self._others[other] = row
        if self.is_attached and self._view == "difference":
            self.query_one(Pager).read_again()

    def _token_rows(self, width: int) -> Sequence[Row]:
        server = self._tokens()
        if server is None:
            return (
                ((" Which recipe? R in the list of rows names one: its model splits rows into tokens.", ""),),
            )
        answer = self._answers.get(self.number)
        if answer is None:
            self._ask(server, self.number)
            return (((f" loading the tokenizer of {server.recipe} …", "muted"),),)
        if "view" not in answer:
            error = answer.get("error", {})
            said = f"{error.get('what', 'it cannot be shown')}. {error.get('hint', '')}".strip(". ")
            return [((" this row cannot be shown as tokens:", "bad"),), ((" ", ""), (said, ""))]
        return token_rows(answer["view"], self._ids, width)

    def _ask(self, server: TokenServer, number: int) -> None:
        def work() -> None:
            answer = server.ask(number)
            self.app.call_later(self._answered, number, answer)

        self.run_worker(work, thread=True, exit_on_error=False, group=f"tokens {number}", exclusive=True)

    def _answered(self, number: int, answer: dict[str, Any]) -> None:
        if len(self._answers) > 50:
            self._answers.clear()
        self._answers[number] = answer
        if self.is_attached and self._view == "tokens" and number == self.number:
            self.query_one(Pager).read_again()

    def _title(self, opened: OpenedRow | None) -> Row:
        of = f"   {self._place + 1:,} of {len(self._numbers):,} {self._named}"
        if opened is None:
            return ((f" row {self.number}", "strong"), (of, "muted"))
        size = wording.size(opened.text.size)
        turns = f"   {opened.turns} turns" if opened.turns else ""
        cut = "   only its beginning is shown" if opened.text.is_cut else ""
        return (
            (f" row {self.number}", "strong"),
            (f"   line {opened.text.line:,}   {size}{turns}", ""),
            (cut, "warning"),
            (of, "muted"),
            (f"   {self._file.rows.path.name}", "muted"),
        )

    def _tabs(self) -> Row:
        names = {
            "turns": "conversation",
            "tokens": "x tokens",
            "difference": "d difference",
            "raw": "w as written",
        }
        return tuple(
            (f"[{words}]", "strong") if view == self._view else (f" {words} ", "muted")
            for view, words in names.items()
        )

    def _unavailable(self) -> dict[str, str]:
        reasons = {}
        if self._other() is None:
            reasons["row.difference"] = "no other row is known that this one repeats"
        if self._tokens() is None:
            reasons["row.tokens"] = reasons["row.ids"] = "no recipe is chosen: R in the list of rows"
        return reasons

    def _notice(self, text: str, style: str) -> None:
        self.query_one("#notice", Lines).show([((f" {safe(text)}", style),)])

    @property
    def _studio(self) -> "Studio":
        return cast("Studio", self.app)
