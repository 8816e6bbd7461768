"""What stands beside the rows of a file: its findings, or how long its rows are."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Container
from textual.worker import get_current_worker

from finetui.data_check import Check
from finetui.data_file import DataFile
from finetui.data_histograms import range_filter, size_bars, turn_bars
from finetui.data_rows import BAR_COLUMNS, FINDING_COLUMNS, finding_records
from finetui.data_search import measure
from finetui.widgets.table import Record, Table

if TYPE_CHECKING:
    from collections import Counter

PANELS = ("findings", "lengths", "turns")


class DataPanels(Container):
    """One table at a time; a line opened there says which rows to show."""

    def __init__(self) -> None:
        super().__init__(id="panels")
        self.name_shown = PANELS[0]
        self._measured: DataFile | None = None

    def compose(self) -> ComposeResult:
        yield Table(FINDING_COLUMNS, id="findings", beside=True)
        yield Table(BAR_COLUMNS, id="lengths", beside=True)
        yield Table(BAR_COLUMNS, id="turns", beside=True)

    @property
    def table(self) -> Table:
        return self.query_one(f"#{self.name_shown}", Table)

    @property
    def following(self) -> str:
        return PANELS[(PANELS.index(self.name_shown) + 1) % len(PANELS)]

    @property
    def chosen_finding(self) -> str | None:
        return self.table.chosen if self.name_shown == "findings" else None

    def show_panel(self, name: str) -> None:
        self.name_shown = name
        for one in PANELS:
            self.query_one(f"#{one}").display = one == name

    def empty(self) -> None:
        """Another file is to be shown."""
        for table in self.query(Table):
            table.show(())
        self.show_panel(PANELS[0])

    def show_check(self, check: Check, *, first: bool) -> None:
        """Show what was found, with the gravest chosen where it shall be the `first`."""
        findings = self.query_one("#findings", Table)
        findings.show(finding_records(check.found))
        if first and not findings.has_focus:
            findings.cursor = 0

    def filter_of(self, key: str) -> str:
        """The filter that shows the rows of a bar of the panel shown."""
        return range_filter(self.name_shown, key)

    # Measuring, in a thread.

    def measure(self, file: DataFile) -> None:
        """Count how long the rows of `file` are, if that panel is shown."""
        if self.name_shown == "lengths":
            self._measured = file
            work = partial(self._measure, file)
            self.run_worker(work, thread=True, exit_on_error=False, group="measure", exclusive=True)

    def stop_measuring(self) -> None:
        self._measured = None
        self.workers.cancel_group(self, "measure")

    def _measure(self, file: DataFile) -> None:
        worker = get_current_worker()

        def tell(sizes: "Counter[int]", turns: "Counter[int]", share: float) -> None:
            self.app.call_later(self._show_lengths, file, size_bars(sizes), turn_bars(turns))

        measure(file, tell, lambda: worker.is_cancelled)

    def _show_lengths(self, file: DataFile, sizes: Sequence[Record], turns: Sequence[Record]) -> None:
        if file is self._measured and self.is_attached:
            self.query_one("#lengths", Table).show(sizes)
            self.query_one("#turns", Table).show(turns)
