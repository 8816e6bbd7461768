"""The station Data: the rows of one file, what is wrong with them, and the ways to mend it."""

from array import array
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.screen import Screen
from textual.timer import Timer
from textual.worker import get_current_worker

from finetui import data_check
from finetui.actions import bindings
from finetui.data_check import Check
from finetui.data_child import Ended, TokenServer, follow
from finetui.data_file import DataFile
from finetui.data_histograms import size_bars, turn_bars
from finetui.data_opening import ask_for_file, ask_for_recipe, keep_file, last_file, last_recipe
from finetui.data_rows import (
    BAR_COLUMNS,
    FINDING_COLUMNS,
    NO_FILE,
    ROW_COLUMNS,
    RowRecords,
    about_finding,
    about_row,
    finding_records,
    title_rows,
)
from finetui.data_search import measure, search
from finetui.launching import as_typed
from finetui.polling import Poller
from finetui.widgets.filter_bar import FilterBar
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui.widgets.status_line import LEAST_WIDTH, StatusLine
from finetui.widgets.table import Record, Table
from finetui_core import wording
from finetui_core.data.check.report import fix_command
from finetui_core.data.row_filter import row_filter
from finetui_core.errors import InputError
from finetui_core.filters import Predicate

if TYPE_CHECKING:
    from finetui.app import Studio
    from finetui_core.data.row_filter import OpenedRow

EXAMPLES = 'words  rule:secret  role:tool  turns>=4  bytes<2k  answer:"as an AI"  -word'
READING_SECONDS = 0.1
TYPING_SECONDS = 0.25
"""How long no key is typed before a search begins."""
WIDTHS = [(0, "-cramped"), (LEAST_WIDTH, "-narrow"), (150, "-beside")]
"""From so many cells on, the rows stand beside the findings."""
PANELS = ("findings", "lengths", "turns")


class DataScreen(Screen[None]):
    """Follows one file while it is on the screen: its rows are counted, checked and searched in threads."""

    BINDINGS = bindings("data")
    SCOPES = ("table", "data", "studio")
    HORIZONTAL_BREAKPOINTS = WIDTHS

    def __init__(self) -> None:
        super().__init__()
        self._file: DataFile | None = None
        self._check = Check()
        self._change = ""
        self._panel = "findings"
        self._finding = ""
        self._filter = ""
        self._fitting: array[int] | None = None
        self._searching = ""
        self._typing: Timer | None = None
        self._start_row = 0
        self._known = 0
        self._tokens: TokenServer | None = None
        self._recipe = last_recipe()
        self._asked = False
        self._poller = Poller(self, self._read, self._show, self._show_failure, more=self._is_incomplete)

    def compose(self) -> ComposeResult:
        yield StatusLine("data")
        yield Lines(id="title")
        with Container(id="lists"):
            yield Table(FINDING_COLUMNS, id="findings", beside=True)
            yield Table(BAR_COLUMNS, id="lengths", beside=True)
            yield Table(BAR_COLUMNS, id="turns", beside=True)
            yield Table(ROW_COLUMNS, id="rows", beside=True)
        yield Lines(NO_FILE, id="empty", tail=True)
        yield Lines(id="about")
        yield KeyBar(self.SCOPES)

    def on_mount(self) -> None:
        self.set_class(self._file is None, "-none")
        self._show_panel("findings")
        self._poller.start()
        self._show_keys()

    def on_screen_resume(self) -> None:
        if self._file is None and not self._asked:
            self._asked = True
            self.call_after_refresh(self._open_first)
        self._poller.now()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._show_about)
        self._show_title()

    def on_unmount(self) -> None:
        self._close()

    def _open_first(self) -> None:
        if self._file is None and (last := last_file()):
            self.open(last)

    # Opening a file.

    def open(self, source: str, row: int = 0) -> None:
        """Show the rows of the file at `source`, and check it."""
        self._asked = True
        self._start_row = row
        self.query_one("#title", Lines).show(
            (((f" opening {source} …", "muted"),),)
        ) if self.is_mounted else None
        self.run_worker(
            partial(self._open, source), thread=True, exit_on_error=False, group="open", exclusive=True
        )

    def _open(self, source: str) -> None:
        try:
            file = DataFile(source)
        except (InputError, OSError) as error:
            self.app.call_later(self._not_opened, source, error)
        else:
            self.app.call_later(self._opened, file)

    def _not_opened(self, source: str, error: Exception) -> None:
        from finetui.screens.told import Told

        self.app.push_screen(Told(f"{source} cannot be opened", str(error)))
        if self._file is not None:
            self._show_title()

    def _opened(self, file: DataFile) -> None:
        self._close()
        self._file = file
        self._check, self._change, self._finding, self._filter = Check(), "", "", ""
        self._fitting, self._searching, self._known = None, "", 0
        self.query(FilterBar).remove()
        for name in ("lengths", "turns", "findings"):
            self.query_one(f"#{name}", Table).show(())
        keep_file(file.source)
        self.set_class(False, "-none")
        self._show_panel("findings")
        self._show_rows()
        if self._start_row:
            self._rows.go_to(str(self._start_row))
        self.call_after_refresh(self._rows.focus)
        self._poller.now()
        self._start_check()

    def _close(self) -> None:
        for group in ("search", "measure", "check"):
            self.workers.cancel_group(self, group)
        self._end_tokens()
        if self._file is not None:
            self._file.rows.close()

    # Counting rows, in a thread.

    def _read(self) -> str:
        file = self._file
        if file is None:
            return ""
        change = file.rows.change()
        if not change:
            file.rows.read_more(READING_SECONDS)
        return change

    def _show(self, change: str) -> None:
        if self._file is not None:
            self._change = change
            if self._file.rows.rows != self._known and self._numbers_are_all():
                self._show_rows()
            self._show_title()

    def _show_failure(self, error: Exception) -> None:
        said = error.problems[0].what if isinstance(error, InputError) else str(error)
        self.query_one("#title", Lines).show([((f" cannot be read: {said}", "bad"),)])

    def _is_incomplete(self) -> bool:
        return self._file is not None and not self._change and not self._file.rows.complete

    # The check: a child that writes what it finds.

    def _start_check(self) -> None:
        if self._file is not None:
            self._check = Check(state="running")
            work = partial(self._follow_check, self._file)
            self.run_worker(work, thread=True, exit_on_error=False, group="check", exclusive=True)

    def _follow_check(self, file: DataFile) -> None:
        worker = get_current_worker()
        check = Check(state="running")

        def take(line: bytes) -> None:
            nonlocal check
            check = data_check.taken(check, line)
            if not worker.is_cancelled:
                self.app.call_later(self._show_check, file, check)

        ended: Ended = follow(data_check.command(file.source), take, lambda: worker.is_cancelled)
        self.app.call_later(self._show_check, file, data_check.ended(check, ended.code, ended.said))

    def _show_check(self, file: DataFile, check: Check) -> None:
        if file is not self._file or not self.is_attached:
            return
        self._check = check
        findings = self.query_one("#findings", Table)
        findings.show(finding_records(check.found))
        if not self._finding and not findings.has_focus:
            findings.cursor = 0  # the gravest, until one is chosen
        if self._numbers_are_all():
            self._show_rows()
        self._show_title()
        self._show_about()
        self._show_keys()

    # Which rows are shown.

    @property
    def _rows(self) -> Table:
        return self.query_one("#rows", Table)

    def _numbers(self) -> Sequence[int]:
        if self._fitting is not None:
            return self._fitting
        if self._finding:
            return self._check.rows_of(self._finding)
        return range(self._file.rows.rows if self._file is not None else 0)

    def _numbers_are_all(self) -> bool:
        return self._fitting is None and not self._finding

    def _show_rows(self) -> None:
        if self._file is None:
            return
        numbers = self._numbers()
        self._known = self._file.rows.rows
        found = {one.rule for one in self._check.found}
        records = RowRecords(self._file, numbers, found, self._rules_of_set)
        self._rows.show_lazily(records, partial(_place, numbers))
        self._show_title()
        self._show_keys()

    def _rules_of_set(self, row: int) -> Sequence[str]:
        return [rule for rule, _ in self._check.examples_of(row)]

    def _rules_of(self, row: int) -> Sequence[str]:
        """For a filter: what the row itself shows, and what the check found of it."""
        rules = [hit.rule for hit in self._file.hits(row)] if self._file is not None else []
        return [*rules, *(one.rule for one in self._check.found if row in self._sets(one.rule))]

    def _sets(self, rule: str) -> frozenset[int]:
        return frozenset(self._check.rows_of(rule))

    def _show_title(self) -> None:
        if self._file is None or not self.is_attached:
            return
        named = " ".join(part for part in (self._named_finding(), self._filter) if part)
        shown, width = len(self._numbers()), self.size.width
        rows = title_rows(self._file, self._check, shown, named, self._searching, self._change, width)
        self.query_one("#title", Lines).show(rows)

    def _named_finding(self) -> str:
        one = self._check.one(self._finding)
        if one is None:
            return ""
        listed = len(self._check.rows_of(self._finding))
        return f"rule:{self._finding}" + (
            f" (the first {listed:,} of {one.count:,})" if listed < one.count else ""
        )

    def _show_about(self) -> None:
        if self._file is None or not self.is_attached:
            return
        about = self.query_one("#about", Lines)
        rule = self.query_one("#findings", Table).chosen if self._panel == "findings" else None
        one = self._check.one(rule)
        listed = len(self._check.rows_of(one.rule)) if one else 0
        size = self.size.width, about.size.height
        row = self._rows.chosen
        if row is not None and (one is None or (self._rows.has_focus and not self._finding)):
            about.show(about_row(self._file, int(row), self._check, *size))
        else:
            about.show(about_finding(one, listed, as_typed(self._file.rows.path), *size))

    def on_descendant_focus(self) -> None:
        self._show_about()

    def _show_keys(self) -> None:
        reasons: dict[str, str] = {}
        if self._file is None:
            names = ("filter", "switch", "panel", "fix", "fix_all", "edit", "recipe", "again", "everything")
            reasons = {f"data.{name}": "no file is open" for name in names}
        else:
            one = self._check.one(self.query_one("#findings", Table).chosen)
            if one is None:
                reasons["data.fix"] = "no finding is chosen"
            elif not fix_command(one.rule, self._file.source, ""):
                reasons["data.fix"] = "it has no safe mend: a person must decide"
            if self._numbers_are_all():
                reasons["data.everything"] = "all rows are shown"
            if self._rows.chosen is None:
                reasons["data.edit"] = "there is no row"
        if self._check.state != "running" and not self._searching:
            reasons["data.cancel"] = "nothing is under way"
        following = PANELS[(PANELS.index(self._panel) + 1) % len(PANELS)]
        self.query_one(KeyBar).show(unavailable=reasons, labels={"data.panel": following})

    def _possible(self, action: str) -> bool:
        reason = self.query_one(KeyBar).unavailable.get(f"data.{action}")
        if reason is not None:
            self._studio.notice(f"{action.replace('_', ' ')}: {reason}", "warning")
        return reason is None

    # What the keys do.

    def action_open_file(self) -> None:
        ask_for_file(self._studio, self.open, self._show_keys)

    def action_again(self) -> None:
        if self._possible("again") and self._file is not None:
            self.open(self._file.source, int(self._rows.chosen or 0))

    def action_switch(self) -> None:
        upper = self.query_one(f"#{self._panel}", Table)
        (upper if self._rows.has_focus else self._rows).focus()

    def action_panel(self) -> None:
        if self._possible("panel"):
            self._show_panel(PANELS[(PANELS.index(self._panel) + 1) % len(PANELS)])
            self.query_one(f"#{self._panel}", Table).focus()
            if self._panel != "findings":
                self._measure()

    def _show_panel(self, name: str) -> None:
        self._panel = name
        for one in PANELS:
            self.query_one(f"#{one}").display = one == name
        self._show_about()
        self._show_keys()

    def action_cancel(self) -> None:
        if not self._possible("cancel"):
            return
        if self._searching:
            self.workers.cancel_group(self, "search")
            self._searching = "ended before all rows were looked at"
            self._show_title()
        else:
            self.workers.cancel_group(self, "check")

    def action_everything(self) -> None:
        """Back from a filter, and then from a finding."""
        if self._searching or self._filter:
            self.query(FilterBar).remove()
            self._set_filter("")
        elif self._finding:
            self._finding = ""
            self._show_rows()
            self.query_one("#findings", Table).focus()

    def action_fix(self) -> None:
        rule = self.query_one("#findings", Table).chosen
        if self._possible("fix") and self._file is not None and rule is not None:
            from finetui.data_mending import ask_to_fix

            ask_to_fix(self._studio, self._file.source, rule)

    def action_fix_all(self) -> None:
        if self._possible("fix_all") and self._file is not None:
            from finetui.data_mending import ask_to_fix

            ask_to_fix(self._studio, self._file.source, "")

    def action_edit(self) -> None:
        if self._possible("edit") and self._file is not None and self._rows.chosen is not None:
            from finetui.data_mending import ask_to_edit

            ask_to_edit(self._studio, self._file.source, int(self._rows.chosen))

    def action_recipe(self) -> None:
        if self._possible("recipe"):
            ask_for_recipe(self._studio, self._use_recipe)

    def _use_recipe(self, path: str) -> None:
        self._end_tokens()
        self._recipe = path
        self._studio.notice(f"Rows are shown as tokens of the model of {path}: open one, and press x.")

    def _token_server(self) -> TokenServer | None:
        if self._tokens is None and self._recipe and self._file is not None:
            self._tokens = TokenServer(self._recipe, self._file.source)
        return self._tokens

    def _end_tokens(self) -> None:
        if self._tokens is not None:
            self._tokens.close()
            self._tokens = None

    def on_table_opened(self, event: Table.Opened) -> None:
        if event.table is self._rows:
            self._open_row(int(event.key))
        elif self._panel == "findings":
            self._finding, self._filter, self._fitting, self._searching = event.key, "", None, ""
            self.query(FilterBar).remove()
            self._show_rows()
            self._rows.focus()
        else:
            first, last = (int(part) for part in event.key.split())
            unit = "bytes" if self._panel == "lengths" else "turns"
            self._finding = ""
            self._set_filter(f"{unit}={first}" if first == last else f"{unit}>={first} {unit}<={last}")
            self._rows.focus()

    def _open_row(self, number: int) -> None:
        from finetui.screens.data_row import RowScreen

        numbers = self._numbers()
        place = _place(numbers, str(number))
        if self._file is None or place is None:
            return
        named = "rows" if self._numbers_are_all() else "rows shown"
        screen = RowScreen(self._file, lambda: self._check, numbers, place, named, self._token_server)
        self.app.push_screen(screen, self._left_row)

    def _left_row(self, number: int | None) -> None:
        if number is not None:
            self._rows.go_to(str(number))

    def on_table_chosen(self, event: Table.Chosen) -> None:
        self._show_about()
        self._show_keys()

    # The filter: typed above, searched for in a thread.

    async def action_filter(self) -> None:
        bars = self.query(FilterBar)
        if bars:
            bars.first().edit()
        elif self._possible("filter"):
            await self.mount(FilterBar(EXAMPLES, self._filter), after="#title")

    def on_filter_bar_changed(self, event: FilterBar.Changed) -> None:
        """A filter that cannot be understood leaves the rows as they are."""
        bar = self.query_one(FilterBar)
        if self._typing is not None:
            self._typing.stop()
        try:
            row_filter(event.text, self._rules_of)
        except InputError as error:
            problem = error.problems[0]
            bar.fault(f"{problem.what}: {problem.hint}" if problem.hint else problem.what)
            return
        bar.fault("")
        self._typing = self.set_timer(TYPING_SECONDS, partial(self._set_filter, event.text.strip()))

    def on_filter_bar_left(self, event: FilterBar.Left) -> None:
        self._rows.focus()
        if not event.text.strip():
            self.query(FilterBar).remove()
            self._set_filter("")

    def _set_filter(self, text: str) -> None:
        if self._typing is not None:
            self._typing.stop()
        self.workers.cancel_group(self, "search")
        self._filter, self._searching = text, ""
        fitting = array("Q")
        self._fitting = fitting if text else None
        self._show_rows()
        if not text or self._file is None:
            return
        among = self._check.rows_of(self._finding) if self._finding else None
        fits = row_filter(text, self._rules_of)
        self._searching = "looking through the rows …"
        work = partial(self._search, self._file, among, text, fits, fitting)
        self.run_worker(work, thread=True, exit_on_error=False, group="search", exclusive=True)

    def _search(
        self,
        file: DataFile,
        among: Sequence[int] | None,
        text: str,
        fits: "Predicate[OpenedRow]",
        into: "array[int]",
    ) -> None:
        worker = get_current_worker()

        def tell(numbers: list[int], share: float) -> None:
            self.app.call_later(self._found_rows, into, numbers, share)

        search(file, among, text, fits, tell, lambda: worker.is_cancelled)

    def _found_rows(self, into: "array[int]", numbers: list[int], share: float) -> None:
        if into is not self._fitting or not self.is_attached:
            return
        into.extend(numbers)
        if not self._searching.startswith("ended"):
            self._searching = (
                "" if share >= 1 else f"{wording.percent(share)} of the rows looked at   x ends it"
            )
        if numbers:
            self._show_rows()
        self._show_title()
        self._show_keys()

    # Histograms.

    def _measure(self) -> None:
        if self._file is not None:
            work = partial(self._count, self._file)
            self.run_worker(work, thread=True, exit_on_error=False, group="measure", exclusive=True)

    def _count(self, file: DataFile) -> None:
        worker = get_current_worker()

        def tell(sizes: "Counter[int]", turns: "Counter[int]", share: float) -> None:
            self.app.call_later(self._counted, file, size_bars(sizes), turn_bars(turns))

        measure(file, tell, lambda: worker.is_cancelled)

    def _counted(self, file: DataFile, sizes: Sequence[Record], turns: Sequence[Record]) -> None:
        if file is self._file and self.is_attached:
            self.query_one("#lengths", Table).show(sizes)
            self.query_one("#turns", Table).show(turns)

    @property
    def _studio(self) -> "Studio":
        return cast("Studio", self.app)


def _place(numbers: Sequence[int], key: str) -> int | None:
    """Where a row stands among ascending numbers."""
    from bisect import bisect_left

    number = int(key)
    at = bisect_left(numbers, number)
    return at if at < len(numbers) and numbers[at] == number else None
