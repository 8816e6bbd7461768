"""A conversation line by line: each line of stdin is asked, and what begins with a slash is done."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

from finetui_core.cli.say import data, data_json, talk
from finetui_core.errors import InputError, Problem, RunFailed
from finetui_core.evaluate.chat_client import ChatProcess
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
from finetui_core.evaluate.chat_settings import SETTINGS, in_words, sampling_of
from finetui_core.evaluate.chat_talk import Exchange, Talk, append_row, row_of
from finetui_core.secrets import redact_values
from finetui_core.text import visible

COMMANDS = """\
/new                begin a new conversation
/drop               leave out the oldest question with its answers, and ask the last one again
/again              ask the last question again, with the next seed
/set NAME VALUE     temperature, top_p, max_new_tokens or seed
/prompt [SIDE]      show the conversation as the model reads it, and the ids of its tokens
/edit [SIDE] TEXT   what the last answer should have been
/save [SIDE] FILE   add the conversation to a file as a row of training data
/help               say this
//…                 ask a question that begins with a slash"""


@dataclass(slots=True)
class Lines:
    """A conversation in lines: the process that answers, what it says, and what was said."""

    child: ChatProcess
    replies: Iterator[Reply]
    ready: Ready
    talk: Talk
    sampling: Sampling
    as_json: bool
    number: int = 0
    failures: int = 0
    answering: bool = False
    printed: "_Printed" = field(default_factory=lambda: _Printed())
    saved: Path | None = None

    def stop(self) -> bool:
        """End the answer that is being given; False where none is."""
        if self.answering:
            self.child.send(Stop())
        return self.answering


def talk_in_lines(lines: Lines, stdin: BinaryIO) -> int:
    """Answer each line of `stdin`; returns how many were not answered. Raises RunFailed where the process dies."""
    _greet(lines)
    typed = sys.stdin.isatty()
    while True:
        if typed:
            sys.stderr.write("> ")
            sys.stderr.flush()
        line = stdin.readline()
        if not line:
            return lines.failures
        text = line.decode("utf-8", "replace").strip()
        try:
            if text.startswith("/") and not text.startswith("//"):
                _do(lines, *text[1:].partition(" ")[::2])
            elif text:
                lines.talk.exchanges.append(
                    Exchange(text.removeprefix("/") if text.startswith("//") else text)
                )
                _ask(lines)
        except InputError as error:
            talk(str(error))
            lines.failures += not typed


def _greet(lines: Lines) -> None:
    ready = lines.ready
    weights = f"{ready.checkpoint} of {ready.source}" if ready.checkpoint else ready.source
    talk(f"{weights}, {ready.model}, on {ready.device}; {in_words(lines.sampling)}")
    if ready.beside:
        talk(f"{ready.beside} trains on this machine: this process keeps to one thread, and off the GPU")
    talk("A line is a question, /help names what else can be done. Ctrl-C ends an answer, Ctrl-D all.")


def _ask(lines: Lines) -> None:
    """Ask the last question of each side, and print the answers: the second side's once the first has ended."""
    exchange = lines.talk.exchanges[-1]
    exchange.texts, exchange.answers, exchange.edited = {}, {}, {}
    lines.number += 1
    conversations = {side: lines.talk.turns(side) for side in lines.ready.sides}
    lines.answering = True
    lines.child.send(Ask(lines.number, conversations, lines.sampling))
    try:
        waiting: dict[Side, list[str]] = {side: [] for side in lines.ready.sides}
        for reply in lines.replies:
            match reply:
                case Piece(number=lines.number, side=side, text=text):
                    waiting[side].append(text)
                case Answered(number=lines.number, side=side):
                    exchange.answers[side] = reply
                case Failed():
                    raise RunFailed("\n".join(map(str, reply.problems)))
            for side in tuple(waiting):
                if not lines.as_json:
                    lines.printed.add(side, "".join(waiting[side]), alone=len(lines.ready.sides) == 1)
                waiting[side] = []
                if side not in exchange.answers:
                    break
                del waiting[side]
                _end(lines, exchange.answers[side])
            if not waiting:
                return
    finally:
        lines.answering = False


def _end(lines: Lines, answer: Answered) -> None:
    lines.failures += answer.ended == "error"
    if lines.as_json:
        asked = lines.talk.exchanges[-1].asked
        facts = msgspec.structs.asdict(answer) | msgspec.structs.asdict(lines.sampling)
        data_json({"question": asked, "checkpoint": lines.ready.checkpoint, **facts})
        return
    lines.printed.end()
    how = {
        "stopped": "stopped",
        "length": "cut at the longest answer",
        "error": f"no answer: {answer.error}",
    }
    if answer.ended in how:
        talk(f"    ({how[answer.ended]})")
    if answer.fault == "context":
        talk("    (the context is full: /drop leaves out the oldest question and asks again)")


class _Printed:
    """What goes to stdout of the answers, up to the last space so far: words are made safe as wholes."""

    def __init__(self) -> None:
        self._side: Side | None = None
        self._held = ""
        self._begun = False

    def add(self, side: Side, text: str, *, alone: bool) -> None:
        if side != self._side:
            self._side, self._held, self._begun = side, "", False
            if not alone:
                data(f"{side}:")
        self._held += text if self._begun else text.lstrip()
        self._begun = self._begun or bool(self._held)
        at = max(self._held.rfind(" "), self._held.rfind("\n")) + 1
        self._write(self._held[:at])
        self._held = self._held[at:]

    def end(self) -> None:
        self._write(f"{self._held.rstrip()}\n")
        self._side = None

    def _write(self, text: str) -> None:
        sys.stdout.write(visible(redact_values(text), keep="\n"))
        sys.stdout.flush()


def _do(lines: Lines, name: str, rest: str) -> None:
    """What a line with a slash asks for. Raises InputError where that cannot be."""
    talked, rest = lines.talk, rest.strip()
    match name:
        case "new":
            talked.exchanges.clear()
        case "drop":
            if not talked.drop_oldest():
                raise InputError(Problem("there is no older question", hint="/new begins anew"))
            _ask(lines)
        case "again":
            _last(talked)
            seed = str(lines.sampling.seed + 1)
            lines.sampling = sampling_of({"seed": seed}, lines.sampling)
            _ask(lines)
        case "set":
            setting, _, value = rest.partition(" ")
            if setting not in SETTINGS:
                raise InputError(
                    Problem(f"there is no setting {setting!r}", hint=f"one of {', '.join(SETTINGS)}")
                )
            lines.sampling = sampling_of({setting: value}, lines.sampling)
            talk(in_words(lines.sampling))
        case "prompt":
            _show(lines, _side(lines, rest)[0])
        case "edit":
            side, text = _side(lines, rest)
            if not text:
                raise InputError(Problem("there is no text", hint="/edit [SIDE] TEXT"))
            _last(talked).edited[side] = text
            talk(f"the last answer of {side} is edited")
        case "save":
            side, file = _side(lines, rest)
            if not file:
                raise InputError(Problem("no file is named", hint="/save [SIDE] FILE"))
            append_row(Path(file).expanduser().absolute(), row_of(talked, side))
            lines.saved = Path(file)
            talk(f"a row with the answers of {side} is added to {file}")
        case "help":
            talk(COMMANDS)
        case _:
            raise InputError(Problem(f"there is no /{name}", hint="/help names what there is"))


def _last(talked: Talk) -> Exchange:
    if not talked.exchanges:
        raise InputError(Problem("nothing was asked yet"))
    return talked.exchanges[-1]


def _side(lines: Lines, rest: str) -> tuple[Side, str]:
    """The side that is named first, or else the tuned one where it answers; and what is left."""
    named, _, left = rest.partition(" ")
    for side in SIDES:
        if named == side and side in lines.ready.sides:
            return side, left.strip()
    return lines.ready.sides[-1], rest


def _show(lines: Lines, side: Side) -> None:
    _last(lines.talk)
    lines.number += 1
    lines.child.send(Show(lines.number, lines.talk.turns(side)))
    shown = _shown(lines)
    if shown.error:
        raise InputError(Problem(shown.error))
    if lines.as_json:
        data_json({"side": side, "text": shown.text, "ids": [token for token, _ in shown.tokens]})
    else:
        data(shown.text)
        data(" ".join(str(token) for token, _ in shown.tokens))


def _shown(lines: Lines) -> Shown:
    for reply in lines.replies:
        match reply:
            case Shown(number=lines.number):
                return reply
            case Failed():
                raise RunFailed("\n".join(map(str, reply.problems)))
    raise RunFailed("the process of the model has ended")
