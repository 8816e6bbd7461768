"""The station Data: the rows of one file, what is wrong with them, and the ways to mend it."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.screen import Screen
from textual.timer import Timer
from textual.worker import get_current_worker

from finetui.actions import bindings
from finetui.data_check import Check, follow_check
from finetui.data_child import TokenServer
from finetui.data_file import DataFile
from finetui.data_mending import ask_to_edit, ask_to_fix
from finetui.data_opening import ask_for_file, ask_for_recipe, keep_file, last_file, last_recipe, open_or_tell
from finetui.data_rows import (
    NO_FILE,
    ROW_COLUMNS,
    RowRecords,
    about_finding,
    about_row,
    title_rows,
)
from finetui.data_search import filter_fault, search
from finetui.data_view import DataView, unavailable
from finetui.polling import Poller
from finetui.screens.data_panels import DataPanels
from finetui.widgets.filter_bar import FilterBar
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui.widgets.status_line import LEAST_WIDTH, StatusLine
from finetui.widgets.table import Table
from finetui_core import wording
from finetui_core.data.row_filter import row_filter
from finetui_core.errors import InputError

if TYPE_CHECKING:
    from array import array

    from finetui.app import Studio

EXAMPLES = 'words  rule:secret  role:tool  turns>=4  bytes<2k  answer:"as an AI"  -word'
READING_SECONDS = 0.1
TYPING_SECONDS = 0.25
"""How long no key is typed before a search begins."""
WIDTHS = [(0, "-cramped"), (LEAST_WIDTH, "-narrow"), (150, "-beside")]
"""From so many cells on, the rows stand beside the findings."""
ENDED = "ended before all rows were looked at"


class DataScreen(Screen[None]):
    """Follows one file while it is on the screen: its rows are counted, checked and searched in threads."""

    BINDINGS = bindings("data")
    SCOPES = ("table", "data", "studio")
    HORIZONTAL_BREAKPOINTS = WIDTHS

    def __init__(self) -> None:
        super().__init__()
        self._view: DataView | None = None
        self._typing: Timer | None = None
        self._start_row = 0
        self._known = 0
        self._tokens: TokenServer | None = None
        self._recipe = last_recipe()
        self._under = ""  # the recipe that rows are checked under, once one is chosen here
        self._poller = Poller(self, self._read, self._show, self._show_failure, more=self._is_incomplete)

    def compose(self) -> ComposeResult:
        yield StatusLine("data")
        yield Lines(id="title")
        with Container(id="lists"):
            yield DataPanels()
            yield Table(ROW_COLUMNS, id="rows", beside=True)
        yield Lines(NO_FILE, id="empty", tail=True)
        yield Lines(id="about")
        yield KeyBar(self.SCOPES)

    def on_mount(self) -> None:
        self.set_class(True, "-none")
        self._panels.show_panel("findings")
        self._show_keys()
        self._poller.start()

    def on_screen_resume(self) -> None:
        self._poller.now()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._show_about)
        self._show_title()

    def on_unmount(self) -> None:
        self._close()

    # Opening a file.

    @property
    def source(self) -> str:
        """The path of the file that is open, "" for none."""
        return self._view.file.source if self._view is not None else ""

    def open_last(self) -> None:
        """Show the file that was open last, where none is."""
        if self._view is None and (last := last_file()):
            self.open(last)

    def open(self, source: str, row: int = 0) -> None:
        """Show the rows of the file at `source`, and check it."""
        self._start_row = row
        work = partial(open_or_tell, self._studio, source, self._opened)
        self.run_worker(work, thread=True, exit_on_error=False, group="open")

    def _opened(self, file: DataFile) -> None:
        self._close()
        self._view = DataView(file)
        self._known = 0
        self.query(FilterBar).remove()
        self._panels.empty()
        keep_file(file.source)
        self.set_class(False, "-none")
        self._show_rows()
        self._show_about()
        self._rows.go_to(str(self._start_row))
        self.call_after_refresh(self._rows.focus)
        self._poller.now()
        self._start_check(self._view)

    def _close(self) -> None:
        for group in ("search", "check"):
            self.workers.cancel_group(self, group)
        for panels in self.query(DataPanels):
            panels.stop_measuring()
        self._end_tokens()
        if self._view is not None:
            self._view.file.rows.close()

    # Counting rows, in a thread.

    def _read(self) -> str:
        if self._view is None:
            return ""
        rows = self._view.file.rows
        change = rows.change()
        if not change:
            rows.read_more(READING_SECONDS)
        return change

    def _show(self, change: str) -> None:
        view = self._view
        if view is not None:
            view.change = change
            if view.file.rows.rows != self._known and view.is_whole:
                self._show_rows()
            self._show_title()

    def _show_failure(self, error: Exception) -> None:
        said = error.problems[0].what if isinstance(error, InputError) else str(error)
        self.query_one("#title", Lines).show([((f" cannot be read: {said}", "bad"),)])

    def _is_incomplete(self) -> bool:
        return self._view is not None and not self._view.change and not self._view.file.rows.complete

    # The check: a child that writes what it finds.

    def _start_check(self, view: DataView) -> None:
        view.check = Check(state="running")
        work = partial(self._check, view, self._under)
        self.run_worker(work, thread=True, exit_on_error=False, group="check")

    def _check(self, view: DataView, recipe: str) -> None:
        tell = partial(self.app.call_later, self._show_check, view, recipe)
        follow_check(view.file.source, recipe, tell, _is_cancelled())

    def _show_check(self, view: DataView, recipe: str, check: Check) -> None:
        if view is not self._view or recipe != self._under or not self.is_attached:
            return
        view.check = check
        self._panels.show_check(check, first=not view.finding)
        self._show_rows()
        self._show_about()

    # Showing.

    @property
    def _rows(self) -> Table:
        return self.query_one("#rows", Table)

    @property
    def _panels(self) -> DataPanels:
        return self.query_one(DataPanels)

    def _show_rows(self) -> None:
        view = self._view
        if view is not None:
            self._known = view.file.rows.rows
            found = {one.rule for one in view.check.found}
            records = RowRecords(view.file, view.numbers, found, view.rules_of_set)
            self._rows.show_lazily(records, view.place_of)
        self._show_title()
        self._show_keys()

    def _show_title(self) -> None:
        if self._view is not None and self.is_attached:
            self.query_one("#title", Lines).show(title_rows(self._view, self.size.width))

    def _show_about(self) -> None:
        """The chosen finding or, where the keys are for all rows, the row under the cursor."""
        view = self._view
        if view is None or not self.is_attached:
            return
        about, row = self.query_one("#about", Lines), self._rows.chosen
        size = self.size.width, about.size.height
        one = view.check.one(self._panels.chosen_finding)
        if row is not None and (one is None or (self._rows.has_focus and not view.finding)):
            about.show(about_row(view, int(row), *size))
        else:
            about.show(about_finding(view, one, *size))

    def on_descendant_focus(self) -> None:
        self._show_about()

    def _show_keys(self) -> None:
        reasons = unavailable(self._view, self._panels.chosen_finding, self._rows.chosen)
        self.query_one(KeyBar).show(unavailable=reasons, labels={"data.panel": self._panels.following})

    def _possible(self, action: str) -> DataView | None:
        """The view, if the action can be done now; if not, the reason is told."""
        said = self.query_one(KeyBar).why_not(f"data.{action}")
        if said:
            self._studio.notice(said, "warning")
        return None if said else self._view

    # What the keys do.

    def action_open_file(self) -> None:
        ask_for_file(self._studio, self.open)

    def action_again(self) -> None:
        if view := self._possible("again"):
            self.open(view.file.source, int(self._rows.chosen or 0))

    def action_switch(self) -> None:
        if self._possible("switch"):
            (self._panels.table if self._rows.has_focus else self._rows).focus()

    def action_panel(self) -> None:
        if view := self._possible("panel"):
            self._panels.show_panel(self._panels.following)
            self._show_keys()
            self._panels.table.focus()
            self._panels.measure(view.file)

    def action_cancel(self) -> None:
        if view := self._possible("cancel"):
            self.workers.cancel_group(self, "search" if view.searching else "check")
            if view.searching:
                view.searching = ENDED
            self._show_title()

    def action_everything(self) -> None:
        """Back from a filter, and then from a finding."""
        view = self._view
        if view is not None and view.filter:
            self.query(FilterBar).remove()
            self._set_filter("")
        elif view is not None and view.finding:
            view.show_finding("")
            self._show_rows()
            self._panels.query_one("#findings", Table).focus()

    def action_fix(self) -> None:
        if view := self._possible("fix"):
            ask_to_fix(self._studio, view.file.source, self._panels.chosen_finding or "")

    def action_drop(self) -> None:
        if view := self._possible("drop"):
            ask_to_fix(self._studio, view.file.source, self._panels.chosen_finding or "", drop=True)

    def action_fix_all(self) -> None:
        if view := self._possible("fix_all"):
            ask_to_fix(self._studio, view.file.source, "")

    def action_edit(self) -> None:
        if (view := self._possible("edit")) and self._rows.chosen is not None:
            ask_to_edit(self._studio, view.file.source, int(self._rows.chosen))

    def action_recipe(self) -> None:
        if self._possible("recipe"):
            ask_for_recipe(self._studio, self._use_recipe)

    def _use_recipe(self, path: str) -> None:
        self._end_tokens()
        self._recipe = self._under = path
        self.workers.cancel_group(self, "check")
        if self._view is not None:
            self._start_check(self._view)
        self._studio.notice(
            f"Rows are checked under {path}, and shown as its model's tokens: open one, press x."
        )

    def _token_server(self) -> TokenServer | None:
        if self._tokens is None and self._recipe and self._view is not None:
            self._tokens = TokenServer(self._recipe, self._view.file.source)
        return self._tokens

    def _end_tokens(self) -> None:
        if self._tokens is not None:
            self._tokens.close()
            self._tokens = None

    def on_table_opened(self, event: Table.Opened) -> None:
        view = self._view
        if view is None:
            return
        if event.table is self._rows:
            self._open_row(view, event.key)
            return
        self.query(FilterBar).remove()
        if event.table.id == "findings":
            self.workers.cancel_group(self, "search")
            view.show_finding(event.key)
            self._show_rows()
        else:
            view.show_finding("")
            self._set_filter(self._panels.filter_of(event.key))
        self._rows.focus()

    def _open_row(self, view: DataView, key: str) -> None:
        from finetui.screens.data_row import RowScreen

        place = view.place_of(key)
        if place is not None:
            named = "rows" if view.is_whole else "rows shown"
            check = lambda: view.check  # noqa: E731 - it may still grow
            screen = RowScreen(view.file, check, view.numbers, place, named, self._token_server)
            self.app.push_screen(screen, self._left_row)

    def _left_row(self, number: int | None) -> None:
        if number is not None:
            self._rows.go_to(str(number))

    def on_table_chosen(self) -> None:
        self._show_about()
        self._show_keys()

    # The filter: typed above, searched for in a thread.

    async def action_filter(self) -> None:
        bars = self.query(FilterBar)
        if bars:
            bars.first().edit()
        elif view := self._possible("filter"):
            await self.mount(FilterBar(EXAMPLES, view.filter), after="#title")

    def on_filter_bar_changed(self, event: FilterBar.Changed) -> None:
        """A filter that cannot be understood leaves the rows as they are."""
        bar, text = self.query_one(FilterBar), event.text.strip()
        self._stop_typing()
        fault = filter_fault(text)
        bar.fault(fault)
        if not fault:
            self._typing = self.set_timer(TYPING_SECONDS, partial(self._set_filter, text))

    def on_filter_bar_left(self, event: FilterBar.Left) -> None:
        self._rows.focus()
        if not event.text.strip():
            self.query(FilterBar).remove()
            self._set_filter("")

    def _stop_typing(self) -> None:
        if self._typing is not None:
            self._typing.stop()

    def _set_filter(self, text: str) -> None:
        view = self._view
        self._stop_typing()
        self.workers.cancel_group(self, "search")
        if view is None:
            return
        into = view.show_fitting(text)
        if text:
            view.searching = "looking through the rows …"
            tell = partial(self.app.call_later, self._found, view, into)
            work = partial(search, view.file, view.among, text, row_filter(text, view.rules_of), tell)
            self.run_worker(lambda: work(_is_cancelled()), thread=True, exit_on_error=False, group="search")
        self._show_rows()

    def _found(self, view: DataView, into: "array[int]", numbers: list[int], share: float) -> None:
        if into is not view.fitting or view is not self._view or not self.is_attached:
            return
        into.extend(numbers)
        looked = "" if share >= 1 else f"{wording.percent(share)} of the rows looked at   x ends it"
        view.searching = ENDED if view.searching == ENDED else looked
        self._show_rows()

    @property
    def _studio(self) -> "Studio":
        return cast("Studio", self.app)


def _is_cancelled() -> Callable[[], bool]:
    """Whether the worker that asks for this is to end."""
    worker = get_current_worker()
    return lambda: worker.is_cancelled
