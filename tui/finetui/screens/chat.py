"""Talking to the untrained and the tuned model side by side."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import msgspec
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.screen import Screen

from finetui import chat_asking
from finetui.actions import bindings
from finetui.chat_link import ChatLink
from finetui.chat_rows import Seen, Transcript, prompt_rows
from finetui.chat_words import foot_rows, settings_row, title_row
from finetui.closing import close
from finetui.lines_of import Rows
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui.widgets.pager import Pager
from finetui.widgets.plot import Row
from finetui.widgets.prompt_field import PromptField
from finetui.widgets.status_line import StatusLine
from finetui_core.errors import InputError
from finetui_core.evaluate.chat_client import Subject
from finetui_core.evaluate.chat_protocol import (
    SIDES,
    Answered,
    Ask,
    Failed,
    Piece,
    Ready,
    Reply,
    Sampling,
    Show,
    Shown,
    Side,
    Stop,
)
from finetui_core.evaluate.chat_talk import Exchange, Talk, append_row, row_of

if TYPE_CHECKING:
    from finetui.app import Studio

AsRead = Literal["", "text", "ids"]
NEXT_READ: dict[AsRead, AsRead] = {"": "text", "text": "ids", "ids": ""}
_UNSAVED = "Begin a new conversation? This one is not saved as a row."


class ChatScreen(Screen[None]):
    """A conversation with `subject`. It stays when the screen is left, and the process of the model ends then."""

    BINDINGS = bindings("chat")
    SCOPES: tuple[str, ...] = ("chat", "studio")
    AUTO_FOCUS = ""

    class Arrived(Message):
        """The process has said something."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, ChatScreen.Arrived)

    def __init__(self, subject: Subject, sampling: Sampling | None = None, system: str = "") -> None:
        super().__init__()
        self.subject = subject
        self._talk, self._sampling = Talk(system), sampling or Sampling()
        self._link: ChatLink | None = None
        self._ready: Ready | None = None
        self._failed: Failed | None = None
        self._number = 0
        self._waiting: set[Side] = set()
        self._chosen: Side = "tuned"
        self._alone = False
        self._as_read: AsRead = ""
        self._prompt: Shown | None = None
        self._saved = True
        self._transcript = Transcript()

    def compose(self) -> ComposeResult:
        yield StatusLine("compare")
        yield Lines(id="title")
        yield Pager(id="text", takes_keys=False)
        with Horizontal(id="typed"):
            yield Lines((((" you ", "strong"),),))
            yield PromptField(placeholder="ask both sides the same", compact=True, select_on_focus=False)
        yield KeyBar(("saying",), id="typing")
        yield KeyBar(self.SCOPES, id="keys")

    def on_mount(self) -> None:
        self.query_one(Pager).show(Rows(self._build), follows=True)
        self.action_say()

    def on_screen_resume(self) -> None:
        if self._link is None:
            self._start()

    def on_screen_suspend(self) -> None:
        self.call_later(self._rest)

    def on_unmount(self) -> None:
        self._end()

    def _rest(self) -> None:
        """Once the screen is left, and not only covered by a dialog, the memory is for others."""
        if self not in self.app.screen_stack:
            self._end()

    # The process.

    def _start(self) -> None:
        self._end()
        self._ready = self._failed = self._prompt = None
        self._as_read = ""
        self._link = ChatLink(self.subject, lambda: self.post_message(self.Arrived()))
        self._show()

    def _end(self) -> None:
        self._waiting.clear()
        if self._link is not None:
            self._link.close()
            self._link = None

    def on_chat_screen_arrived(self) -> None:
        for reply in self._link.take() if self._link is not None else ():
            self._take(reply)
        self._show()

    def _take(self, reply: Reply) -> None:
        match reply:
            case Ready():
                self._ready = reply
                self._chosen = self._chosen if self._chosen in reply.sides else reply.sides[-1]
                if self._talk.exchanges and not self._talk.exchanges[-1].answers:
                    self._ask()
            case Failed():
                self._failed, self._ready = reply, None
                self._waiting.clear()
            case Piece(number=self._number):
                texts = self._talk.exchanges[-1].texts
                texts[reply.side] = texts.get(reply.side, "") + reply.text
            case Answered(number=self._number):
                self._talk.exchanges[-1].answers[reply.side] = reply
                self._waiting.discard(reply.side)
                self._saved = False
            case Shown(number=self._number):
                self._prompt = reply

    def _ask(self) -> None:
        """Ask the last question anew."""
        if self._ready is None or self._link is None:
            return
        exchange = self._talk.exchanges[-1]
        exchange.texts, exchange.answers, exchange.edited = {}, {}, {}
        self._number += 1
        self._waiting = set(self._ready.sides)
        self._as_read = ""
        asked = {side: self._talk.turns(side) for side in self._ready.sides}
        self._link.send(Ask(self._number, asked, self._sampling))
        self.query_one(Pager).action_last()
        self._show()

    # What is shown.

    def _show(self) -> None:
        if not self.query("#title"):
            return
        self.query_one("#title", Lines).show(
            (
                title_row(self.subject, self._ready),
                settings_row(self._sampling, self._ready, self._failed, bool(self._waiting)),
            )
        )
        self.query_one(Pager).read_again()
        self._show_keys()

    def _build(self, width: int) -> list[Row]:
        if self._as_read:
            ids = self._as_read == "ids"
            return (
                prompt_rows(self._prompt, self._chosen, ids, width) if self._prompt else [((" …", "muted"),)]
            )
        sides = self._sides
        seen = Seen((self._chosen,) if self._alone else sides, self._chosen, bool(self._waiting))
        rows = self._transcript.rows(self._talk, seen, width)
        return [*rows, *foot_rows(self._ready, self._failed, self._talk, width)]

    @property
    def _sides(self) -> tuple[Side, ...]:
        return self._ready.sides if self._ready else self.subject.sides or SIDES

    def _show_keys(self) -> None:
        answering, talked = bool(self._waiting), bool(self._talk.exchanges)
        reasons = {} if answering else {"chat.stop": "nothing is being answered"}
        if self._failed is None:
            reasons["chat.restart"] = "the model is there, or is being loaded"
        if len(self._talk.exchanges) < 2:
            reasons["chat.drop"] = "there is no older question"
        if len(self._sides) < 2:
            reasons |= dict.fromkeys(("chat.side", "chat.alone"), "only one side answers")
        busy = "an answer is being given" if answering else "" if talked else "nothing was asked yet"
        if busy:
            reasons |= dict.fromkeys(
                ("chat.again", "chat.edit", "chat.save", "chat.drop", "chat.prompt"), busy
            )
        if answering:
            reasons["chat.new"] = busy
        self.query_one("#keys", KeyBar).show(unavailable=reasons, labels={})
        labels = {"saying.stop": "stop"} if answering else {}
        self.query_one("#typing", KeyBar).show(unavailable={}, labels=labels)

    def _possible(self, action: str) -> bool:
        said = self.query_one("#keys", KeyBar).why_not(f"chat.{action}")
        if said:
            self._studio.notice(said, "warning")
        return not said

    # Typing.

    def action_say(self) -> None:
        self.query_one(PromptField).focus()
        self._typing(True)

    def action_stop_or_leave(self) -> None:
        if self._waiting:
            self.action_stop()
        else:
            self.set_focus(None)
            self._typing(False)

    def _typing(self, typing: bool) -> None:
        self.set_class(typing, "-typing")
        self.SCOPES = ("saying",) if typing else ("chat", "studio")

    def on_descendant_focus(self) -> None:
        self._typing(True)

    def on_input_submitted(self) -> None:
        if self._waiting:
            self._studio.notice("an answer is being given: esc stops it", "warning")
            return
        if asked := self.query_one(PromptField).taken():
            self._talk.exchanges.append(Exchange(asked))
            if self._ready is None:
                self._show()
            self._ask()

    # What the keys do.

    def action_stop(self) -> None:
        if self._link is not None and self._waiting:
            self._link.send(Stop())

    def action_restart(self) -> None:
        if self._possible("restart"):
            self._start()

    def action_drop(self) -> None:
        """And ask the last question again, where it was not answered."""
        if self._possible("drop"):
            self._talk.drop_oldest()
            last = self._talk.exchanges[-1]
            if any(answer.ended == "error" for answer in last.answers.values()) or not last.answers:
                self._ask()
            self._show()

    def action_again(self) -> None:
        if self._possible("again"):
            self._use(msgspec.structs.replace(self._sampling, seed=self._sampling.seed + 1))
            self._ask()

    def action_temperature(self) -> None:
        self._set("temperature")

    def action_top_p(self) -> None:
        self._set("top_p")

    def action_length(self) -> None:
        self._set("max_new_tokens")

    def action_seed(self) -> None:
        self._set("seed")

    def _set(self, name: str) -> None:
        chat_asking.ask_for_setting(self._studio, name, self._sampling, self._use)

    def _use(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._show()

    def action_system(self) -> None:
        def use(text: str) -> None:
            self._talk.system = text
            self._show()

        chat_asking.ask_for_system(self._studio, self._talk.system, use)

    def action_side(self) -> None:
        if self._possible("side"):
            self._chosen = next(side for side in self._sides if side != self._chosen)
            if self._as_read:
                self._ask_for_prompt()
            self._show()

    def action_alone(self) -> None:
        if self._possible("alone"):
            self._alone = not self._alone
            self._show()

    def action_prompt(self) -> None:
        if not self._as_read and not self._possible("prompt"):
            return
        if not self._as_read:
            self._ask_for_prompt()
        self._as_read = NEXT_READ[self._as_read]
        pager = self.query_one(Pager)
        pager.action_first() if self._as_read else pager.action_last()
        self._show()

    def _ask_for_prompt(self) -> None:
        self._prompt = None
        if self._link is not None:
            self._number += 1
            self._link.send(Show(self._number, self._talk.turns(self._chosen)))

    def action_edit(self) -> None:
        if self._possible("edit"):
            last = self._talk.exchanges[-1]
            edited = chat_asking.edit_text(self._studio, last.text(self._chosen), "answer.txt")
            if edited is not None and edited != last.text(self._chosen):
                last.edited[self._chosen] = edited
                self._saved = False
            self._show()

    def action_save(self) -> None:
        if self._possible("save"):
            try:
                row = row_of(self._talk, self._chosen)
            except InputError as error:
                self._studio.notice(str(error), "warning")
                return
            chat_asking.ask_for_rows(self._studio, partial(self._save, row))

    def _save(self, row: dict[str, object], path: Path) -> None:
        try:
            append_row(path, row)
        except InputError as error:
            self._studio.notice(str(error), "error")
        else:
            self._saved = True
            self._studio.notice(f"a row with the answers of {self._chosen} is added to {path.name}")

    def action_new(self) -> None:
        from finetui.screens.confirm import Confirm

        def answered(yes: bool | None) -> None:
            if yes:
                self._talk.exchanges.clear()
                self._saved, self._as_read = True, ""
                self._show()

        if self._saved:
            answered(True)
        elif self._possible("new"):
            self._studio.push_screen(Confirm(_UNSAVED), answered)

    def action_text_down(self) -> None:
        self.query_one(Pager).action_page_down()

    def action_text_up(self) -> None:
        self.query_one(Pager).action_page_up()

    def action_first(self) -> None:
        self.query_one(Pager).action_first()

    def action_last(self) -> None:
        self.query_one(Pager).action_last()

    def action_export(self) -> None:
        from finetui.exporting import ask_to_export
        from finetui_core.runs.paths import is_run

        by_name = self.subject.runs / (self._ready.source if self._ready else self.subject.source)
        run = next((path for path in (Path(self.subject.source), by_name) if is_run(path)), None)
        if run is not None:
            ask_to_export(self._studio, run.absolute())
        else:
            self._studio.notice("export: there is no run here whose weights are known", "warning")

    def action_back(self) -> None:
        close(self)

    @property
    def _studio(self) -> "Studio":
        return cast("Studio", self.app)
