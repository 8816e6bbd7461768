"""The station Decide: one question at a time, all answers, and the verdict with its reasons."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.screen import Screen

from finetui import decide_asking
from finetui.actions import actions_of, bindings, key_name
from finetui.decide_measured import Measured, newest_measured
from finetui.decide_proposals import Proposed, propose, rows_in
from finetui.decide_reasons import (
    COMPARE,
    REASON_COLUMNS,
    Reason,
    Stations,
    about_reason,
    reason_records,
    reasons,
)
from finetui.decide_rows import ANSWER_COLUMNS, about_question, answer_records, title_row, verdict_rows
from finetui.decide_sheet import Sheet, new_sheet
from finetui.decide_view import View, look
from finetui.screens.decide_question import QuestionPane
from finetui.screens.told import Told
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines, wrapped_row
from finetui.widgets.status_line import LEAST_HEIGHT, LEAST_WIDTH, StatusLine
from finetui.widgets.table import Table
from finetui_core.decide.questions import shipped

if TYPE_CHECKING:
    from finetui.app import Studio

WIDTHS = [(0, "-cramped"), (LEAST_WIDTH, "-narrow"), (120, "-beside")]
"""From so many cells on, the reasons stand beside the question, and the answers below it."""
HEIGHTS = [(0, "-flat"), (LEAST_HEIGHT, "-short"), (20, "-low"), (36, "-tall")]
QUESTION_SCOPES, TABLE_SCOPES = ("question", "decide", "studio"), ("table", "decide", "studio")


class DecideScreen(Screen[None]):
    """Holds the answers, and stays when it is left. `rows_at_hand` gives the rows that other stations have open."""

    BINDINGS = bindings("decide")
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS

    def __init__(self, root: Path, rows_at_hand: Callable[[], tuple[str, str]]) -> None:
        super().__init__()
        self._root = root
        self._rows_at_hand = rows_at_hand
        self._questions = shipped()
        self._sheet: Sheet = new_sheet()
        self._chosen_rows = ""
        self._proposed = Proposed()
        self._measured: Measured | None = None
        self._at: str | None = None
        self._reasons: list[Reason] = []
        self._view = self._look()
        self._at = self._view.asking
        self._panel = "question"

    @property
    def SCOPES(self) -> tuple[str, ...]:
        return TABLE_SCOPES if isinstance(self.focused, Table) else QUESTION_SCOPES

    @property
    def subject(self) -> Path | None:
        """The run whose comparison is told of here."""
        return self._measured.run if self._measured is not None else None

    def compose(self) -> ComposeResult:
        yield StatusLine("decide")
        yield Lines(id="title")
        yield Lines(id="verdict")
        with Container(id="decide"):
            with Container(id="asking"):
                yield QuestionPane()
                yield Table(ANSWER_COLUMNS, id="answers", beside=True)
            yield Table(REASON_COLUMNS, id="reasons", beside=True)
        yield Lines(id="about")
        yield KeyBar(QUESTION_SCOPES)
        yield KeyBar(TABLE_SCOPES)

    def on_mount(self) -> None:
        self.call_after_refresh(lambda: self._go_to(self._panel))

    def on_screen_resume(self) -> None:
        """Look at what other stations have brought about meanwhile."""
        self.run_worker(self._look_around, thread=True, exit_on_error=False, group="around", exclusive=True)

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._show)

    # What is at hand: rows, and what was measured.

    def begin(self) -> None:
        """Bring back what was not saved when ftui ended, where nothing is answered yet."""
        if self._sheet.asked or self._sheet.opened is not None:
            return
        if (found := decide_asking.unsaved_sheet(self._questions)) is not None:
            self._take(found[0])
            self._studio.notice(found[1])

    def keep_unsaved(self) -> None:
        """Keep for the next start what would be lost if ftui ended now."""
        decide_asking.keep_unsaved(self._sheet)

    def _look_around(self) -> None:
        rows = rows_in(self._chosen_rows) if self._chosen_rows else rows_in(*self._rows_at_hand())
        if rows != self._proposed.rows:
            self.app.call_later(self._have_proposed, propose(rows))
        self.app.call_later(self._have_measured, newest_measured(self._root))

    def _have_proposed(self, proposed: Proposed) -> None:
        self._proposed = proposed
        if proposed.fault:
            self._studio.notice(proposed.fault, "warning")
        self._changed()

    def _have_measured(self, measured: Measured | None) -> None:
        if measured != self._measured:
            self._measured = measured
            self._changed()

    # Answering.

    def on_question_pane_answered(self, event: QuestionPane.Answered) -> None:
        self._sheet.answer(event.key, event.value)
        self._ask_next()

    def _ask_next(self) -> None:
        """The question that matters most now; where none does, the reasons."""
        self._view = self._look()
        self._at = self._view.asking
        self._go_to("question" if self._at is not None or self.has_class("-beside") else "reasons")

    def on_question_pane_turned(self, event: QuestionPane.Turned) -> None:
        self._turn(event.direction)

    def _turn(self, direction: int) -> None:
        """To the question asked before or after this one; after the last of them comes the one to be asked next."""
        asked = self._sheet.asked
        place = (asked.index(self._at) if self._at in asked else len(asked)) + direction
        if place < 0:
            self._studio.notice("This is the first question.")
            return
        self._at = asked[place] if place < len(asked) else self._view.asking
        self._go_to("question")

    def action_undo(self) -> None:
        if (key := self._sheet.undo()) is None:
            self._studio.notice("undo: there is no answer to take back", "warning")
            return
        self._at, self._view = key, self._look()
        self._go_to("question")

    def action_anew(self) -> None:
        what = "Nothing would be answered."
        decide_asking.ask_if_unsaved(
            self._studio, self._sheet, self._questions, what, lambda: self._take(new_sheet())
        )

    def _take(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._ask_next()

    # Files.

    def action_open_file(self) -> None:
        def opened(path: Path) -> None:
            if (sheet := decide_asking.open_or_tell(self._studio, path, self._questions)) is not None:
                self._take(sheet)

        asking = partial(decide_asking.ask_to_open, self._studio, opened)
        what = "Others are to be opened."
        decide_asking.ask_if_unsaved(self._studio, self._sheet, self._questions, what, asking)

    def action_save(self) -> None:
        decide_asking.save(self._studio, self._sheet, self._questions, self._changed)

    def action_save_as(self) -> None:
        decide_asking.save_as(self._studio, self._sheet, self._questions, self._changed)

    def action_page(self) -> None:
        decide_asking.save_page(self._studio, self._sheet.folder, self._page())

    def action_read(self) -> None:
        self.app.push_screen(Told("The decision on one page", self._page(), style="strong"))

    def _page(self) -> str:
        from datetime import date

        from finetui_core.decide.page import page

        return page(self._sheet.answers, self._view.explained, self._questions, date.today())

    def action_rows(self) -> None:
        def named(path: str) -> None:
            self._chosen_rows = path
            self.on_screen_resume()

        rows = self._proposed.rows.train
        decide_asking.ask_for_rows(self._studio, rows, named)

    # Going about.

    def action_switch(self) -> None:
        self._go_to("question" if isinstance(self.focused, Table) else "answers")

    def action_reasons(self) -> None:
        on_reasons = self.focused is not None and self.focused.id == "reasons"
        self._go_to("question" if on_reasons else "reasons")

    def action_back(self) -> None:
        self._go_to("question")

    def on_table_opened(self, event: Table.Opened) -> None:
        if event.table.id == "answers":
            self._ask(event.key)
            return
        reason = self._reasons[int(event.key)]
        if reason.station:
            self.call_later(self._studio.action_station, reason.station)
        elif reason.question:
            self._ask(reason.question)

    def _ask(self, key: str) -> None:
        self._at = key
        self._go_to("question")

    def _go_to(self, panel: str) -> None:
        """Give the keys to the question, the answers or the reasons; where there is little room, show it alone."""
        self._panel = panel
        if not self.query(KeyBar):
            return
        self._show()
        if panel == "question":
            pane = self.query_one(QuestionPane)
            pane.keys_go_to.focus(scroll_visible=False)
            self.call_after_refresh(pane.see_chosen)
            return
        table = self.query_one(f"#{panel}", Table)
        if panel == "reasons" and table.cursor == 0:
            table.cursor = 1  # below the heading
        table.focus()

    # Showing.

    def _look(self) -> View:
        return look(self._sheet, self._questions, self._proposed, self._measured)

    def _changed(self) -> None:
        self._view = self._look()
        if self._at is None:
            self._at = self._view.asking
        self._show()

    def _show(self) -> None:
        if not self.query(KeyBar):
            return
        view, width = self._view, self.size.width
        self.query_one("#title", Lines).show((title_row(self._sheet, view, width),))
        verdict = self.query_one("#verdict", Lines)
        flip = self._panel == "question" or self.has_class("-beside")
        rows = verdict_rows(view, width, self._stations()[COMPARE], flip=flip)
        if self.has_class("-short"):
            rows = rows[:1]
        verdict.styles.height = len(rows) + 1  # and the line below
        verdict.show(rows)
        self.query_one(QuestionPane).show(view, self._at)
        answers = self.query_one("#answers", Table)
        answers.show(answer_records(view))
        if self._at is not None and not answers.has_focus:
            answers.go_to(self._at)
        self._reasons = reasons(view, self._stations())
        self.query_one("#reasons", Table).show(reason_records(self._reasons))
        self._show_panel()
        self._show_about()

    def _show_panel(self) -> None:
        beside = self.has_class("-beside")
        self.query_one("#asking").display = beside or self._panel != "reasons"
        self.query_one(QuestionPane).display = beside or self._panel == "question"
        self.query_one("#answers").display = beside or self._panel == "answers"
        self.query_one("#reasons").display = beside or self._panel == "reasons"
        lines_to_spare = not self.has_class("-short")
        self.query_one("#about").display = beside or (self._panel != "question" and lines_to_spare)

    def _show_about(self) -> None:
        """What is known of the line that is chosen, or of the question that is asked."""
        focused, rows = self.focused, []
        if focused is not None and focused.id == "reasons":
            place = self.query_one("#reasons", Table).chosen
            rows = about_reason(self._reasons[int(place)], self._stations()) if place is not None else []
        else:
            at_answers = focused is not None and focused.id == "answers"
            key = self.query_one("#answers", Table).chosen if at_answers else self._at
            rows = about_question(self._view, key) if key is not None else []
        width = max(20, self.size.width - 1)
        self.query_one("#about", Lines).show([line for row in rows for line in wrapped_row(row, width)])

    def on_table_chosen(self) -> None:
        self._show_about()

    def on_descendant_focus(self) -> None:
        self._show_focus()

    def on_descendant_blur(self) -> None:
        self._show_focus()

    def _show_focus(self) -> None:
        question_bar, table_bar = self.query(KeyBar)
        table_bar.display = isinstance(self.focused, Table)
        question_bar.display = not table_bar.display
        self._show_about()
        for bar in (question_bar, table_bar):
            labels = {"decide.switch": "question" if table_bar.display else "answers"}
            bar.show(unavailable={}, labels=labels)

    def _stations(self) -> Stations:
        """What the other stations are called, with the keys that lead there."""
        actions = actions_of("studio", keys=self._studio.keymap)
        return {one.name: f"{key_name(one.keys[0])} {one.label}" for one in actions}

    @property
    def _studio(self) -> "Studio":
        return cast("Studio", self.app)
