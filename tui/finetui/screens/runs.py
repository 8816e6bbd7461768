"""The first screen: every run in the folder, newest first."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.screen import Screen

from finetui.actions import bindings
from finetui.polling import Poller
from finetui.remembered import Order, keep, recall
from finetui.run_changing import Changing
from finetui.screens.runs_rows import COLUMNS, SORTED_COLUMNS, about, nothing, record, title, unavailable
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui.widgets.status_line import StatusLine
from finetui.widgets.table import Record, Table
from finetui_core.errors import InputError
from finetui_core.runs.filter import DEFAULT_SORT, run_filter, sort_runs
from finetui_core.runs.listing import Listed, Listing
from finetui_core.runs.liveness import LIVE
from finetui_core.runs.paths import ARCHIVE, TRASH
from finetui_core.runs.summary import RunSummary

if TYPE_CHECKING:
    from finetui.app import Studio
    from finetui.widgets.filter_bar import FilterBar
    from finetui_core.runs.queue import Direction

PLACES = ("", ARCHIVE, TRASH)
"""The folders inside the folder of runs that are shown in turn; the first is that folder itself."""
ORDER = "runs_list"
MOST_WAIT = 0.2
"""Seconds that reading waits for a page to be shown."""
_OF_SEVERAL = frozenset({"tag", "note", "archive", "delete"})
"""What is done to the marked runs, where there are any."""


class RunsScreen(Screen[None]):
    """A table of the runs under `root`; `clock` gives unix seconds."""

    BINDINGS = bindings("runs")
    SCOPES = ("table", "runs", "studio")

    def __init__(self, root: Path, clock: Callable[[], float]) -> None:
        super().__init__()
        self._root = root
        self._clock = clock
        self._place = ""
        self._listings = {place: Listing(root / place, keeps=True) for place in PLACES}
        self._everything = False
        self._listed = Listed(())
        self._runs: dict[str, RunSummary] = {}
        self._records: dict[str, tuple[RunSummary, int, Record]] = {}
        self._stands = ""
        self._order = recall(ORDER, Order, Order(DEFAULT_SORT))
        self._filter = ""
        self._changing = Changing(self, self._changed, lambda said: self._studio.notice(said, "error"))
        self._minute = 0
        self._page_shown = threading.Event()
        self._poller = Poller(self, self._read, self._show, self._show_failure)

    def compose(self) -> ComposeResult:
        yield StatusLine("runs")
        yield Lines((((" reading the runs …", "muted"),),), id="title")
        yield Table(COLUMNS, id="runs")
        yield Lines(id="empty")
        yield Lines(id="about")
        yield KeyBar(self.SCOPES)

    def on_mount(self) -> None:
        if self._order.column not in SORTED_COLUMNS:
            self._order = Order(DEFAULT_SORT)
        self.query_one(Table).focus()
        self._show_keys()
        self._poller.start()

    def on_screen_resume(self) -> None:
        self._poller.now()

    # Reading: in a thread, page by page.

    def _read(self) -> tuple[str, Listed, str]:
        place, everything = self._place, self._everything
        self._everything = False
        listed = Listed(())
        for listed in self._listings[place].refresh(everything=everything):
            if listed.unread:
                self._page_shown.clear()
                self.call_later(self._show_page, place, listed)
                self._page_shown.wait(MOST_WAIT)  # both would be slower if they worked at the same time
        return place, listed, _standstill(self._root, listed)

    def _show_page(self, place: str, listed: Listed) -> None:
        self._show((place, listed, self._stands))
        self.call_after_refresh(self._page_shown.set)

    def _show(self, found: tuple[str, Listed, str]) -> None:
        place, listed, stands = found
        minute = int(self._clock() // 60)
        if place != self._place:
            self._poller.now()
        elif (listed, minute, stands) != (self._listed, self._minute, self._stands) or not self._minute:
            self._listed, self._minute, self._stands = listed, minute, stands
            self._runs = {run.id: run for run in listed.runs}
            self._records = {key: kept for key, kept in self._records.items() if key in self._runs}
            self._show_runs()

    def _show_failure(self, error: Exception) -> None:
        said = (
            error.problems[0].what if isinstance(error, InputError) else f"the runs cannot be read: {error}"
        )
        self.query_one("#title", Lines).show([((f" {said}", "bad"),)])

    # Showing what is known, filtered and sorted.

    def _show_runs(self) -> None:
        order, listed = self._order, self._listed
        fits = run_filter(self._filter, self._clock())
        shown = sort_runs(filter(fits, listed.runs), order.column, reverse=order.reverse)
        live = sum(run.state in LIVE for run in listed.runs)
        sort = f"{order.column}{', reversed' if order.reverse else ''}"
        line = title(
            self._root,
            self._place,
            len(shown),
            len(listed.runs),
            live,
            listed.unread,
            sort,
            self._filter,
            sum(run.queue_number is not None for run in listed.runs),
            self._stands,
        )
        self.query_one("#title", Lines).show((line,))
        table = self.query_one(Table)
        table.sorted_by(order.column, reverse=order.reverse)
        if gone := table.marked - self._runs.keys():
            table.mark(table.marked - gone)
        table.show([self._record(run) for run in shown])
        self.set_class(not shown, "-empty")
        if shown and self.focused is None:  # an empty table is hidden, and loses the keys
            self.call_after_refresh(table.focus)
        if not shown:
            self.query_one("#empty", Lines).show(nothing(self._root, self._place, self._filter))
        self._show_chosen()

    def _record(self, run: RunSummary) -> Record:
        """Made anew when the run or its age has changed."""
        kept = self._records.get(run.id)
        if kept is None or kept[0] is not run or kept[1] != self._minute:
            kept = self._records[run.id] = (run, self._minute, record(run, self._clock()))
        return kept[2]

    def _show_chosen(self) -> None:
        run = self._chosen_run()
        self.query_one("#about", Lines).show(about(run) if run else ())
        self._show_keys()

    def _show_keys(self) -> None:
        """Which actions cannot be done now, and why."""
        several = len(self._targets_to_compare()) > 1
        reasons = unavailable(self._chosen_run(), self._place, several, self._changing.can_undo)
        labels = {"runs.archive": "restore"} if self._place else {}
        self.query_one(KeyBar).show(unavailable=reasons, labels=labels)

    def _possible(self, action: str) -> bool:
        """Whether the action can be done for the chosen run; if not, the reason is told."""
        said = self.query_one(KeyBar).why_not(f"runs.{action}")
        marked = bool(self.query_one(Table).marked) and action in _OF_SEVERAL
        if not said or marked:
            return True
        self._studio.notice(said, "warning")
        return False

    # What the keys do.

    def action_reload(self) -> None:
        self._everything = True
        self._poller.now()

    def on_table_opened(self, event: Table.Opened) -> None:
        if event.key in self._runs:
            self._studio.open_runs([Path(self._runs[event.key].path)])

    def on_table_chosen(self) -> None:
        self._show_chosen()

    def on_table_heading_clicked(self, event: Table.HeadingClicked) -> None:
        if event.title in SORTED_COLUMNS:
            same = event.title == self._order.column
            self._sort(Order(event.title, not self._order.reverse if same else False))

    def action_sort_right(self) -> None:
        self._sort_by(1)

    def action_sort_left(self) -> None:
        self._sort_by(-1)

    def action_reverse(self) -> None:
        self._sort(Order(self._order.column, not self._order.reverse))

    def action_mark(self) -> None:
        table = self.query_one(Table)
        if table.chosen is not None:
            table.mark(table.marked ^ {table.chosen})
            table.action_down()
            self._show_keys()

    def action_unmark(self) -> None:
        self.query_one(Table).mark(())
        self._show_keys()

    def action_compare(self) -> None:
        if self._possible("compare"):
            self._studio.open_runs([Path(run.path) for run in self._targets_to_compare()])

    async def action_filter(self) -> None:
        from finetui.widgets.filter_bar import FilterBar

        bars = self.query(FilterBar)
        if bars:
            bars.first().edit()
        else:
            await self.mount(FilterBar(), after="#title")

    def action_elsewhere(self) -> None:
        """The archive, the trash, and the list again."""
        self._place = PLACES[(PLACES.index(self._place) + 1) % len(PLACES)]
        self._listed, self._runs, self._records, self._minute = Listed(()), {}, {}, 0
        self.query_one(Table).mark(())
        self._show_runs()
        self._poller.now()

    def action_rename(self) -> None:
        run = self._chosen_run()
        self._ask("rename", [Path(run.path)] if run else [])

    def action_tag(self) -> None:
        self._ask("tag", self._targets())

    def action_note(self) -> None:
        self._ask("note", self._targets())

    def action_archive(self) -> None:
        """In the archive and in the trash, the way back."""
        if self._possible("archive"):
            from finetui import run_changes

            self._changing.do(
                partial(run_changes.restore if self._place else run_changes.archive, self._targets())
            )

    def action_delete(self) -> None:
        if self._possible("delete"):
            from finetui.run_changes import delete
            from finetui.screens.confirm import Confirm

            paths = self._targets()
            change = partial(delete, paths)
            question = f"Delete {_names(paths)}? It goes to {TRASH} in the folder of runs; u brings it back."
            self.app.push_screen(Confirm(question), lambda yes: self._changing.do(change) if yes else None)

    def action_queue_up(self) -> None:
        self._queue("queue_up", "up")

    def action_queue_down(self) -> None:
        self._queue("queue_down", "down")

    def action_unqueue(self) -> None:
        self._queue("unqueue", None)

    def _queue(self, name: str, direction: "Direction | None") -> None:
        """Move the chosen run within the queue, or take it out."""
        from finetui.run_changes import move_in_queue, take_out_of_queue

        run = self._chosen_run()
        if run is not None and self._possible(name):
            there = partial(move_in_queue, direction=direction) if direction else take_out_of_queue
            self._changing.do(partial(there, self._root, Path(run.path)))

    def action_queue_go(self) -> None:
        from finetui.run_changes import pause_or_start_queue

        self._changing.do(partial(pause_or_start_queue, self._root))

    def action_undo(self) -> None:
        if self._possible("undo"):
            self._changing.undo()

    # The filter.

    def on_filter_bar_changed(self, event: "FilterBar.Changed") -> None:
        """A filter that cannot be understood leaves the list as it is."""
        from finetui.widgets.filter_bar import FilterBar

        bar = self.query_one(FilterBar)
        try:
            run_filter(event.text, self._clock())
        except InputError as error:
            bar.fault(_said(error))
        else:
            bar.fault("")
            self._filter = event.text.strip()
            self._show_runs()

    def on_filter_bar_left(self, event: "FilterBar.Left") -> None:
        """The line stays for as long as there is a filter."""
        from finetui.widgets.filter_bar import FilterBar

        self.query_one(Table).focus()
        if not event.text.strip():
            self.query(FilterBar).remove()

    # Changes to runs.

    def _ask(self, name: str, paths: Sequence[Path]) -> None:
        """Ask for the text of a label, and write it."""
        from finetui.run_changes import QUESTIONS
        from finetui.screens.ask import Ask

        run = self._chosen_run()
        if run is None or not self._possible(name):
            return
        question = QUESTIONS[name]

        def answered(text: str | None) -> None:
            if text is not None:
                self._changing.do(partial(question.change, paths, text))

        words = question.words.format(_names(paths))
        self.app.push_screen(Ask(words, question.text(run), question.check), answered)

    def _changed(self, said: str) -> None:
        self.query_one(Table).mark(())
        self._studio.notice(said)
        self._show_keys()
        self.action_reload()

    # Which runs.

    def _chosen_run(self) -> RunSummary | None:
        return self._runs.get(self.query_one(Table).chosen or "")

    @property
    def subject(self) -> Path | None:
        """The run that the station Compare is asked about."""
        run = self._chosen_run()
        return Path(run.path) if run is not None and run.kind == "ftui" and not self._place else None

    def _marked_runs(self) -> list[RunSummary]:
        marked = self.query_one(Table).marked
        return [run for run in self._listed.runs if run.id in marked]

    def _targets(self) -> list[Path]:
        """The marked runs or, where none is, the chosen one."""
        chosen = self._chosen_run()
        runs = self._marked_runs() or ([chosen] if chosen else [])
        return [Path(run.path) for run in runs]

    def _targets_to_compare(self) -> Sequence[RunSummary]:
        """The marked runs, and the chosen one before them."""
        chosen = self._chosen_run()
        others = [run for run in self._marked_runs() if run is not chosen]
        return [*([chosen] if chosen else []), *others]

    def _sort_by(self, steps: int) -> None:
        place = SORTED_COLUMNS.index(self._order.column) + steps
        self._sort(Order(SORTED_COLUMNS[place % len(SORTED_COLUMNS)]))

    def _sort(self, order: Order) -> None:
        self._order = order
        keep(ORDER, order)
        self._show_runs()

    @property
    def _studio(self) -> "Studio":
        return cast("Studio", self.app)


def _names(paths: Sequence[Path]) -> str:
    return paths[0].name if len(paths) == 1 else f"{len(paths)} runs"


def _standstill(root: Path, listed: Listed) -> str:
    """Why the runs that wait are not being started; "" where they are, or where none waits."""
    queued = sum(run.queue_number is not None for run in listed.runs)
    if not queued:
        return ""
    from finetui_core.runs.queue import standstill

    return standstill(root, queued)


def _said(error: InputError) -> str:
    problem = error.problems[0]
    return f"{problem.what}: {problem.hint}" if problem.hint else problem.what
