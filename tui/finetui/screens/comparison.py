"""One comparison: its verdict, its arms with their intervals, and the reasons."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from textual.app import ComposeResult
from textual.screen import Screen

from finetui.actions import bindings
from finetui.closing import close
from finetui.compare_asking import ask_to_begin, ask_to_compare, ask_to_stop
from finetui.compare_folder import UNDER_WAY, Compared
from finetui.compare_list import name_of, run_of
from finetui.compare_view import COLUMNS, about_arm, arm_records, reason_rows, title_row, verdict_rows
from finetui.lines_of import Rows, Source, TextFile
from finetui.polling import Poller
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui.widgets.pager import Pager
from finetui.widgets.plot import Row
from finetui.widgets.status_line import StatusLine
from finetui.widgets.table import Table
from finetui_core.evaluate.chat_client import Subject
from finetui_core.evaluate.figures import ArmName

if TYPE_CHECKING:
    from finetui.app import Studio

Pane = Literal["reasons", "page", "log"]
READ = ("table.open", "comparison.answers", "comparison.rate")
LABELS = {"table.open": "read"}


class ComparisonScreen(Screen[None]):
    """Follows the comparison in `folder` while it is on the screen; `clock` gives unix seconds."""

    BINDINGS = bindings("comparison")
    SCOPES = ("table", "comparison", "studio")

    def __init__(self, folder: Path, root: Path, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._root, self._clock = root, clock
        self.compared = Compared(folder)
        self._label = folder.name
        self._pane: Pane = "reasons"
        self._poller = Poller(
            self, self._read, self._show, self._show_failure, more=lambda: self.compared.unread
        )

    def compose(self) -> ComposeResult:
        yield StatusLine("compare")
        yield Lines((((" reading …", "muted"),),), id="title")
        yield Lines(id="verdict")
        yield Table(COLUMNS, id="arms")
        yield Lines(id="about")
        yield Pager(id="text", takes_keys=False)
        yield KeyBar(self.SCOPES)

    def on_mount(self) -> None:
        self.query_one(Table).focus()
        self._show_pane()
        self._poller.start()

    def on_screen_resume(self) -> None:
        self._poller.now()

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def _read(self) -> tuple[bool, str]:
        changed = self.compared.refresh()
        return changed, name_of(self.compared.folder, run_of(self.compared.folder), self.compared.plan)

    def _show(self, found: tuple[bool, str]) -> None:
        changed, name = found
        if changed or name != self._label or self.compared.state in ("unreadable", "gone"):
            self._label = name
            self._draw()

    def _show_failure(self, error: Exception) -> None:
        self.query_one("#title", Lines).show([((f" cannot be read: {error}", "bad"),)])

    def _draw(self) -> None:
        if not self.query("#verdict"):
            return
        compared, width = self.compared, self.size.width
        self.query_one("#title", Lines).show((title_row(compared, self._label, compared.seconds_left()),))
        self._show_rows("#verdict", verdict_rows(compared, width, self._age()))
        table = self.query_one(Table)
        records = arm_records(compared)
        table.styles.height = len(records) + 1
        table.show(records)
        outcome = compared.outcome
        table.mark({outcome.verdict.arm} if outcome and compared.is_current else ())
        self._show_about()
        if self._pane == "reasons":
            self.query_one(Pager).read_again()
        self._show_keys()

    def _show_rows(self, id: str, rows: Sequence[Row]) -> None:
        lines = self.query_one(id, Lines)
        lines.styles.height = max(1, len(rows))
        lines.show(rows)

    def _show_about(self) -> None:
        self._show_rows("#about", about_arm(self.compared, self.query_one(Table).chosen, self.size.width))

    def _age(self) -> float | None:
        working = self.compared.working
        return self._clock() - working.t if working is not None else None

    def _show_pane(self) -> None:
        compared = self.compared
        sources: dict[Pane, Callable[[], Source]] = {
            "reasons": lambda: Rows(lambda width: reason_rows(compared, width)),
            "page": lambda: TextFile(compared.paths.page),
            "log": lambda: TextFile(compared.paths.log),
        }
        self.query_one(Pager).show(sources[self._pane](), follows=self._pane == "log")

    def _show_keys(self) -> None:
        compared, reasons = self.compared, {}
        if not any(known.ended for known in compared.answers.values()):
            nothing = "nothing is answered yet"
            reasons = dict.fromkeys(READ, nothing)
        elif not compared.arms:
            reasons = dict.fromkeys(READ, "plan.json cannot be understood")
        elif compared.outcome is None or not compared.is_current or len(compared.arms) < 2:
            reasons["comparison.rate"] = "there is no result yet, or only one arm"
        if compared.state in UNDER_WAY:
            reasons["comparison.start"] = "it is under way"
        else:
            reasons["comparison.stop"] = "it is not under way"
        if run_of(compared.folder) is None:
            reasons["comparison.export"] = "there is no run yet"
        self.query_one(KeyBar).show(unavailable=reasons, labels=LABELS)

    def _possible(self, action: str) -> bool:
        reason = self.query_one(KeyBar).unavailable.get(action)
        if reason is not None:
            self._studio.notice(f"{action.partition('.')[2]}: {reason}", "warning")
        return reason is None

    # What the keys do.

    def on_table_chosen(self) -> None:
        self._show_about()

    def on_table_opened(self, event: Table.Opened) -> None:
        if self._possible("table.open"):
            self._read_answers(event.key)

    def action_answers(self) -> None:
        if self._possible("comparison.answers"):
            outcome = self.compared.outcome
            self._read_answers(outcome.verdict.arm if outcome and self.compared.is_current else "")

    def _read_answers(self, arm: ArmName) -> None:
        """The answers of `arm` beside those of the first one or, if it is that, beside the next."""
        from finetui.screens.compare_answers import AnswersScreen

        arms = self.compared.arms
        first = arms[0]
        other = arm if arm in arms[1:] else arms[min(1, len(arms) - 1)]
        self.app.push_screen(AnswersScreen(self.compared, first, other))

    def action_rate(self) -> None:
        if self._possible("comparison.rate"):
            from finetui.screens.compare_rating import RatingScreen

            chosen = self.query_one(Table).chosen
            self.app.push_screen(RatingScreen(self.compared, chosen, self._clock))

    def action_start(self) -> None:
        if not self._possible("comparison.start"):
            return
        run = run_of(self.compared.folder)
        if run is not None:
            self._begin(run)
        else:
            source = Path(self.compared.plan.source) if self.compared.plan else None
            ask_to_compare(self._studio, source, self._begin)

    def _begin(self, subject: Path) -> None:
        ask_to_begin(self._studio, subject, self._root)

    def action_stop(self) -> None:
        working = self.compared.working
        if self._possible("comparison.stop") and working is not None:
            ask_to_stop(self._studio, working)

    def action_chat(self) -> None:
        """With its run, or before there is one with its recipe."""
        from finetui.chat_asking import ask_for_subject

        run = run_of(self.compared.folder)
        if run is not None:
            self._talk(run)
        else:
            source = Path(self.compared.plan.source) if self.compared.plan else None
            ask_for_subject(self._studio, source, self._talk)

    def action_export(self) -> None:
        from finetui.exporting import ask_to_export

        run = run_of(self.compared.folder)
        if self._possible("comparison.export") and run is not None:
            ask_to_export(self._studio, run)

    def _talk(self, path: Path) -> None:
        self._studio.open_chat(Subject(str(path), self._root))

    def action_reasons(self) -> None:
        """Below the table, or where they are there already, in its place."""
        alone = self._pane == "reasons" and not self.has_class("-reading")
        self._turn_to("reasons", alone=alone)

    def action_page(self) -> None:
        self._turn_to("page", alone=True)

    def action_log(self) -> None:
        self._turn_to("log", alone=True)

    def _turn_to(self, pane: Pane, *, alone: bool) -> None:
        """Show another text, below the table or `alone`."""
        self._pane = pane
        self.set_class(alone, "-reading")
        self._show_pane()
        if not alone:
            self.call_after_refresh(self.query_one(Table).focus)

    def action_text_down(self) -> None:
        self.query_one(Pager).action_page_down()

    def action_text_up(self) -> None:
        self.query_one(Pager).action_page_up()

    def action_back(self) -> None:
        if self.has_class("-reading"):
            self._turn_to("reasons", alone=False)
        else:
            close(self)

    @property
    def _studio(self) -> "Studio":
        return cast("Studio", self.app)
