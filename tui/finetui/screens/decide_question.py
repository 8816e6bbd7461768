"""One question at a time: its answers to choose from, or a number to type, and what the data proposes."""

from collections.abc import Sequence
from pathlib import Path

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from finetui.actions import bindings
from finetui.decide_rows import answer_words
from finetui.decide_view import View
from finetui.widgets import paint
from finetui.widgets.field import Field
from finetui.widgets.lines import Lines, wrapped_row
from finetui.widgets.plot import Row
from finetui_core.decide.answers import parse_answer
from finetui_core.decide.propose import Proposal
from finetui_core.decide.questions import UNKNOWN, Answer, Question, same

LETTERS = "abcd"
NUMBER_SIGNS = frozenset("0123456789,_")
MOST_DIGITS = 20
NOTHING_LEFT: tuple[Row, ...] = (
    (),
    ((" ", ""), ("No other answer can change the verdict.", "strong")),
    (),
    (("   v    ", "strong"), ("shows why, what would change it, and what to do next", "")),
    (("   tab  ", "strong"), ("shows all answers; enter on one answers it again", "")),
    (("   w    ", "strong"), ("saves the answers; p writes the decision on one page", "")),
)


class NumberField(Field):
    """A line for digits: every other key is what it is elsewhere on the screen."""

    def __init__(self) -> None:
        super().__init__(
            compact=True, select_on_focus=False, restrict=f"[0-9,_]{{0,{MOST_DIGITS}}}", id="number"
        )

    def check_consume_key(self, key: str, character: str | None) -> bool:
        return character in NUMBER_SIGNS

    async def _on_key(self, event: events.Key) -> None:
        if event.is_printable and event.character not in NUMBER_SIGNS:
            event.prevent_default()


class Options(Widget, can_focus=True):
    """Answers, wrapped, of which `cursor` is the chosen one."""

    class Clicked(Message):
        """A click on the chosen answer."""

    def __init__(self) -> None:
        super().__init__(id="options")
        self._rows: tuple[Row, ...] = ()
        self._shown: list[tuple[int, Row]] = []
        self.cursor = 0

    def show(self, rows: Sequence[Row], cursor: int) -> None:
        self._rows, self.cursor = tuple(rows), cursor
        self.lay_out(self.size.width)

    def lay_out(self, width: int) -> None:
        """Wrap the answers for so many cells; the height follows."""
        self._shown = [
            (number, line)
            for number, row in enumerate(self._rows)
            for line in wrapped_row(row, max(20, width - 1))
        ]
        self.styles.height = len(self._shown)
        self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        self.lay_out(event.size.width)

    def move(self, lines: int) -> None:
        """Choose another answer; beyond the last comes the first."""
        if self._rows:
            self.cursor = (self.cursor + lines) % len(self._rows)
            self.refresh()

    @property
    def chosen_lines(self) -> Region:
        """Where the chosen answer is drawn."""
        places = [y for y, (number, _) in enumerate(self._shown) if number == self.cursor] or [0]
        return Region(0, places[0], 1, len(places))

    def render_line(self, y: int) -> Strip:
        number, row = self._shown[y] if y < len(self._shown) else (-1, ())
        return paint.strip(self, row, self.size.width, chosen=number == self.cursor)

    def on_click(self, event: events.Click) -> None:
        number = self._shown[event.y][0] if event.y < len(self._shown) else -1
        if number == self.cursor:
            self.post_message(self.Clicked())
        elif number >= 0:
            self.cursor = number
            self.refresh()


class QuestionPane(Container):
    """Shows a question of a view, and sends the answer that was taken."""

    BINDINGS = bindings("question")

    class Answered(Message):
        """The user took an answer."""

        def __init__(self, key: str, value: Answer) -> None:
            super().__init__()
            self.key, self.value = key, value

    class Turned(Message):
        """The user wants the question before (-1) or after (1)."""

        def __init__(self, direction: int) -> None:
            super().__init__()
            self.direction = direction

    def __init__(self) -> None:
        super().__init__(id="decide-question")
        self._question: Question | None = None
        self._view: View | None = None

    def compose(self) -> ComposeResult:
        yield Lines(id="asked")
        yield Options()
        yield NumberField()
        yield Lines(id="note")

    @property
    def keys_go_to(self) -> Widget:
        """What has the keys while the question is asked."""
        field = self.query_one(NumberField)
        return field if field.display else self.query_one(Options)

    def show(self, view: View, key: str | None) -> None:
        """Show a question with the answer that it has, or that the data proposes; None where none is left."""
        before = self._view
        another = self._question is None or self._question.key != key
        another = another or before is None or before.proposed is not view.proposed
        self._view, self._question = view, view.questions.question(key) if key else None
        self.query_one(NumberField).display = self._question is not None and bool(self._question.unit)
        self._show_words()
        self._show_answers(another)

    def on_resize(self, event: events.Resize) -> None:
        if self._view is not None:
            self._show_words()

    def _show_words(self) -> None:
        question, width = self._question, self.size.width
        rows: Sequence[Row] = NOTHING_LEFT
        if question is not None:
            rows = ((), ((" ", ""), (question.asks, "strong")), ((" ", ""), (question.about, "muted")), ())
        self._fill("#asked", rows, width)
        self._fill("#note", self._note(), width)

    def _fill(self, name: str, rows: Sequence[Row], width: int) -> None:
        lines = self.query_one(name, Lines)
        shown = [line for row in rows for line in (wrapped_row(row, max(20, width - 1)) if row else [row])]
        lines.styles.height = len(shown)
        lines.show(shown)

    def _note(self) -> list[Row]:
        question, view = self._question, self._view
        rows: list[Row] = []
        if question is None or view is None:
            return rows
        if question.unit:
            unknown = "   said to be unknown" if view.states[question.key] == "not known" else ""
            rows.append(
                (
                    ("   ", ""),
                    (f"{question.unit}: type digits, then enter", "muted"),
                    (unknown, "warning"),
                )
            )
            rows.append((("   n  ", "strong"), ("I do not know", "")))
        if proposal := view.proposed.found.get(question.key):
            rows += [
                (),
                ((" the data says: ", "accent"), (f"{_proposed_words(question, view, proposal)}", "")),
            ]
        return rows

    def _show_answers(self, another: bool) -> None:
        question, view = self._question, self._view
        options, field = self.query_one(Options), self.query_one(NumberField)
        if question is None or view is None or question.unit:
            options.show((), 0)
            if question is not None and view is not None and another:
                field.value = self._number(question, view)
                field.cursor_position = len(field.value)
            return
        rows: list[Row] = [
            ((f"   {letter}  ", "strong"), (option.says, ""))
            for letter, option in zip(LETTERS.ljust(len(question.options)), question.options, strict=False)
        ]
        rows.append((("   n  ", "strong"), ("I do not know", "")))
        options.show(rows, _chosen(question, view) if another else options.cursor)

    @staticmethod
    def _number(question: Question, view: View) -> str:
        """The number to begin with."""
        answer = view.answers[question.key]
        proposal = view.proposed.found.get(question.key)
        if answer == UNKNOWN and proposal is not None and view.states[question.key] != "not known":
            answer = proposal.answer
        return "" if answer == UNKNOWN else str(answer)

    # What the keys do.

    def action_accept(self) -> None:
        question = self._question
        if question is None:
            return
        if question.unit:
            self._take_number(question)
        elif self.query_one(Options).cursor == len(question.options):
            self.action_unknown()
        else:
            self.action_pick(self.query_one(Options).cursor)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_accept()

    def on_options_clicked(self) -> None:
        self.action_accept()

    def _take_number(self, question: Question) -> None:
        text = self.query_one(NumberField).value
        answer = parse_answer(text, question) if text else None
        if answer is None:
            said = f"Type a number of {question.unit}, or n where it is not known."
            self._fill("#note", [((" ", ""), (said, "warning"))], self.size.width)
        else:
            self.post_message(self.Answered(question.key, answer))

    def action_pick(self, place: int) -> None:
        """Take the answer at a place of the list, where there is one."""
        question = self._question
        if question is not None and place < len(question.options):
            self.post_message(self.Answered(question.key, question.options[place].value))

    def action_unknown(self) -> None:
        if self._question is not None:
            self.post_message(self.Answered(self._question.key, UNKNOWN))

    def action_down(self) -> None:
        self._move(1)

    def action_up(self) -> None:
        self._move(-1)

    def _move(self, lines: int) -> None:
        self.query_one(Options).move(lines)
        self.see_chosen()

    def see_chosen(self) -> None:
        """Scroll to where the keys go, in a terminal that is too low for all of a question."""
        place = self.keys_go_to
        lines = place.chosen_lines if isinstance(place, Options) else Region(0, 0, 1, 1)
        self.scroll_to_region(lines.translate(place.virtual_region.offset), animate=False, force=True)

    def action_before(self) -> None:
        self.post_message(self.Turned(-1))

    def action_next(self) -> None:
        self.post_message(self.Turned(1))


def _chosen(question: Question, view: View) -> int:
    """The place of the answer given, else of that which the data proposes, else the first."""
    answer, state = view.answers[question.key], view.states[question.key]
    if state == "not known":
        return len(question.options)
    proposal = view.proposed.found.get(question.key)
    wanted = answer if state == "answered" else proposal.answer if proposal else None
    places = [at for at, one in enumerate(question.options) if wanted is not None and same(one.value, wanted)]
    return places[0] if places else 0


def _proposed_words(question: Question, view: View, proposal: Proposal) -> str:
    """What the data says, how that was found, and what becomes of it."""
    file = Path(view.proposed.rows.train).name
    words = f"{answer_words(question, view)} ({proposal.why}; {file})"
    if view.states[question.key] == "to be asked":
        return f"{words}; enter takes it"
    return words if same(view.answers[question.key], proposal.answer) else f"{words}; your answer stands"
