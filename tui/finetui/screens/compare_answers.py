"""The answers of two arms, row by row: a list of the rows, and the chosen one in full."""

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Container
from textual.screen import Screen

from finetui.actions import bindings
from finetui.closing import close
from finetui.compare_answers import (
    COLUMNS,
    MARKS,
    SHOWN,
    WHICH,
    Choice,
    Marks,
    RowRecords,
    Rows,
    row_in_full,
    title_row,
    which_words,
)
from finetui.compare_folder import UNDER_WAY, Compared
from finetui.lines_of import Rows as TextRows
from finetui.polling import Poller
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui.widgets.pager import Pager
from finetui.widgets.plot import Row
from finetui.widgets.status_line import LEAST_WIDTH, StatusLine
from finetui.widgets.table import Table
from finetui_core.evaluate.figures import ArmName

if TYPE_CHECKING:
    from finetui.app import Studio

WIDTHS = [(0, "-cramped"), (LEAST_WIDTH, "-narrow"), (150, "-beside")]
"""From so many cells on, the row stands beside the list."""
LABELS = {"table.open": "one/all"}
NO_SCORES = "scores come with the result"


class AnswersScreen(Screen[None]):
    """Reads the answers of `compared` while they come; `left` and `right` are the arms to begin with."""

    BINDINGS = bindings("answers")
    SCOPES = ("table", "answers", "studio")
    HORIZONTAL_BREAKPOINTS = WIDTHS

    def __init__(self, compared: Compared, left: ArmName, right: ArmName) -> None:
        super().__init__()
        self._compared = compared
        self._rows = Rows(compared, Choice(left, right))
        self._marks: Marks = "each other"
        self._part = SHOWN[0]
        self._poller = Poller(
            self, compared.refresh, self._show, lambda error: None, more=lambda: compared.unread
        )

    def compose(self) -> ComposeResult:
        yield StatusLine("compare")
        yield Lines(id="title")
        with Container(id="lists"):
            yield Table(COLUMNS, id="rows", beside=True)
            yield Pager(id="text", takes_keys=False)
        yield KeyBar(self.SCOPES)

    def on_mount(self) -> None:
        self.query_one(Table).focus()
        self._choose(self._rows.choice)
        self._poller.start()

    def on_screen_resume(self) -> None:
        self._poller.now()

    def _show(self, changed: bool) -> None:
        if changed:
            self._choose(self._rows.choice)

    def _choose(self, choice: Choice) -> None:
        """Gather the rows anew; what is read of the chosen one stays where it is."""
        self._rows = Rows(self._compared, choice)
        places = {index: place for place, index in enumerate(self._rows.numbers)}
        table = self.query_one(Table)
        before = table.chosen
        table.show_lazily(RowRecords(self._rows), lambda key: places.get(int(key)))
        if before == table.chosen:
            self._read_again()
        else:
            self._show_row()
        reasons = {} if self._rows.has_scores else {"answers.order": NO_SCORES}
        self.query_one(KeyBar).show(unavailable=reasons, labels=LABELS)

    @property
    def _index(self) -> int | None:
        chosen = self.query_one(Table).chosen
        return int(chosen) if chosen is not None else None

    def _show_row(self) -> None:
        self.query_one(Pager).show(TextRows(self._build), follows=False)
        self._show_title()

    def _read_again(self) -> None:
        self.query_one(Pager).read_again()
        self._show_title()

    def _show_title(self) -> None:
        self.query_one("#title", Lines).show((title_row(self._rows, self._marks),))

    def _build(self, width: int) -> list[Row]:
        index = self._index
        if index is None:
            waits = " … they come while it goes on" if self._compared.state in UNDER_WAY else ""
            return [((f" There are no such rows: {which_words(self._rows.choice)}{waits}", "muted"),)]
        return row_in_full(self._rows, index, self._part, self._marks, width)

    # What the keys do.

    def on_table_chosen(self) -> None:
        self._show_row()

    def on_table_opened(self) -> None:
        self.action_full()

    def action_next_row(self) -> None:
        self.query_one(Table).action_down()

    def action_row_before(self) -> None:
        self.query_one(Table).action_up()

    def action_which(self) -> None:
        """The next kind of rows; those of scores only where there are some."""
        possible = [one for one in WHICH if self._rows.has_scores or one not in ("left", "right")]
        choice = self._rows.choice
        place = possible.index(choice.which) if choice.which in possible else -1
        self._choose(replace(choice, which=possible[(place + 1) % len(possible)]))

    def action_order(self) -> None:
        if self._rows.has_scores:
            choice = self._rows.choice
            self._choose(replace(choice, by_difference=not choice.by_difference))
            self.query_one(Table).action_first()
        else:
            self._studio.notice(f"order: {NO_SCORES}", "warning")

    def action_left_arm(self) -> None:
        choice = self._rows.choice
        self._turn_to(replace(choice, left=self._after(choice.left, choice.right)))

    def action_right_arm(self) -> None:
        choice = self._rows.choice
        self._turn_to(replace(choice, right=self._after(choice.right, choice.left)))

    def _after(self, name: ArmName, other: ArmName) -> ArmName:
        """The next arm that is not on the other side."""
        arms = self._compared.arms
        if name not in arms:
            return name
        place = arms.index(name)
        return next((one for one in (*arms[place + 1 :], *arms[:place]) if one != other), name)

    def _turn_to(self, choice: Choice) -> None:
        self._choose(choice)
        self._show_row()

    def action_prompt(self) -> None:
        self._part = SHOWN[(SHOWN.index(self._part) + 1) % len(SHOWN)]
        self._show_row()

    def action_marks(self) -> None:
        names = list(MARKS)
        self._marks = names[(names.index(self._marks) + 1) % len(names)]
        self._read_again()

    def action_full(self) -> None:
        self.toggle_class("-full")
        self.call_after_refresh(self._read_again)

    def action_text_down(self) -> None:
        self.query_one(Pager).action_page_down()

    def action_text_up(self) -> None:
        self.query_one(Pager).action_page_up()

    def action_back(self) -> None:
        close(self)

    @property
    def _studio(self) -> "Studio":
        return cast("Studio", self.app)
