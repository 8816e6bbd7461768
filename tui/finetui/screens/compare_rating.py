"""Two answers without names, to be rated; then whose were preferred, and how sure that is."""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.screen import Screen

from finetui.actions import bindings
from finetui.closing import close
from finetui.compare_answers import beside, marked, question, text_block
from finetui.compare_folder import Compared
from finetui.compare_ratings import Blind, Ratings
from finetui.compare_words import arm_name
from finetui.lines_of import Rows
from finetui.text import wrapped
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui.widgets.pager import Pager
from finetui.widgets.plot import Row
from finetui.widgets.status_line import StatusLine
from finetui_core import wording
from finetui_core.evaluate.ratings import Choice, Pair

if TYPE_CHECKING:
    from finetui.app import Studio

NOT_KEPT = "This rating could not be written into the comparison's folder: it counts only until you go back."


class RatingScreen(Screen[None]):
    """Rates the answers of `compared`, which has a result: of `arm` against the first arm, where it is another."""

    BINDINGS = bindings("rating")
    SCOPES = ("rating", "studio")

    def __init__(self, compared: Compared, arm: str | None, clock: Callable[[], float]) -> None:
        super().__init__()
        self._compared, self._clock = compared, clock
        self._ratings = Ratings(compared, arm)
        self._blind: Blind | None = None
        self._before: list[Pair] = []
        self._has_reference = False
        self._has_outcome = False

    def compose(self) -> ComposeResult:
        yield StatusLine("compare")
        yield Lines(id="title")
        yield Pager(id="text", takes_keys=False)
        yield KeyBar(self.SCOPES)

    def on_mount(self) -> None:
        self._go_on()

    def _go_on(self) -> None:
        self._blind = self._ratings.next()
        self._show()

    def _show(self) -> None:
        self.query_one("#title", Lines).show((self._title(),))
        self.query_one(Pager).show(Rows(self._build), follows=False)
        missing = "" if self._rates else "the outcome is shown: r goes on" if self._blind else "all are rated"
        names = ("first", "second", "tie", "skip", "reference")
        reasons = {f"rating.{name}": missing for name in names} if missing else {}
        if not self._before:
            reasons["rating.undo"] = "nothing was rated since this page was opened"
        self.query_one(KeyBar).show(
            unavailable=reasons, labels={"rating.outcome": "rate"} if not self._rates else {}
        )

    @property
    def _rates(self) -> bool:
        return self._blind is not None and not self._has_outcome

    def _title(self) -> Row:
        said = self._ratings.summary()
        number = said.wins + said.ties + said.losses + said.skipped if said else 0
        return (
            (" rate without names", "strong"),
            (f"   {number:,} of {self._ratings.number:,} rows rated", ""),
        )

    def _build(self, width: int) -> list[Row]:
        if not self._rates or self._blind is None:
            return self._outcome_rows(width)
        blind = self._blind
        row = self._compared.row(blind.pair.index)
        rows = text_block("asked", question(row) if row else "this row cannot be read", width)
        if self._has_reference and row is not None:
            rows += text_block("reference", row.reference, width, "good")
        first, second = marked(blind.first, blind.second, "", "none")
        return [*rows, *beside((("A", ""), first), (("B", ""), second), width)]

    def _outcome_rows(self, width: int) -> list[Row]:
        said = self._ratings.summary()
        if said is None:
            return [((" There are no two arms to rate.", "muted"),)]
        arm, against = arm_name(said.arm), arm_name(said.against)
        decided = said.wins + said.losses
        lines = [
            (f"{said.says[:1].upper()}{said.says[1:]}.", "strong"),
            ("", ""),
            (f"{arm} preferred: {said.wins:,}", ""),
            (f"{against} preferred: {said.losses:,}", ""),
            (f"equal: {said.ties:,}   skipped: {said.skipped:,}", ""),
        ]
        if decided:
            low, high = wording.percent(said.share.low), wording.percent(said.share.high)
            lines += [
                (
                    f"{arm} wins {wording.percent(said.wins / decided)} of those decided; interval {low} to {high}",
                    "",
                ),
                (f"sign test: p = {said.p:.3f}", ""),
            ]
        if said.more:
            lines.append((f"about {said.more:,} more ratings would show a difference of this size", "accent"))
        ending = "r goes on with rating." if self._blind else "All rows whose answers differ are rated."
        lines += [("", ""), (ending, "muted")]
        return [
            ((" ", ""), (part, style)) for text, style in lines for part in wrapped(text, max(8, width - 2))
        ]

    # What the keys do.

    def action_first(self) -> None:
        self._rate("first")

    def action_second(self) -> None:
        self._rate("second")

    def action_tie(self) -> None:
        self._rate("tie")

    def action_skip(self) -> None:
        self._rate("skip")

    def _rate(self, choice: Choice) -> None:
        if not self._rates or self._blind is None:
            return
        pair = self._blind.pair
        if not self._ratings.rate(pair, choice, self._clock()):
            self._studio.notice(NOT_KEPT, "error")
        self._before.append(pair)
        self._go_on()

    def action_undo(self) -> None:
        """Show the pair before again; its newest rating counts."""
        if self._before and (blind := self._ratings.of(self._before.pop())) is not None:
            self._blind, self._has_outcome = blind, False
            self._show()

    def action_reference(self) -> None:
        self._has_reference = not self._has_reference
        self._show()

    def action_outcome(self) -> None:
        self._has_outcome = not self._has_outcome
        self._show()

    def action_text_down(self) -> None:
        self.query_one(Pager).action_page_down()

    def action_text_up(self) -> None:
        self.query_one(Pager).action_page_up()

    def action_back(self) -> None:
        close(self)

    @property
    def _studio(self) -> "Studio":
        return cast("Studio", self.app)
