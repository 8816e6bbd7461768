"""A conversation with both sides, and what of it becomes a row of the next round's data."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from finetui_core.data.formats import Rejected, convert
from finetui_core.errors import InputError, Problem
from finetui_core.evaluate.chat_protocol import Answered, Side, Turn
from finetui_core.files import open_private


@dataclass(slots=True)
class Exchange:
    """What was asked, the text of each side so far, and its end once it has come. `edited` are the answers that a
    person has put in the place of the model's."""

    asked: str
    texts: dict[Side, str] = field(default_factory=dict)
    answers: dict[Side, Answered] = field(default_factory=dict)
    edited: dict[Side, str] = field(default_factory=dict)

    def text(self, side: Side) -> str:
        """The answer that counts: the edited one, or the model's; "" where there is none."""
        if side in self.edited:
            return self.edited[side]
        answer = self.answers.get(side)
        return answer.text if answer is not None and answer.ended != "error" else ""


@dataclass(slots=True)
class Talk:
    """The conversation. Both sides are asked the same; each goes on after its own answers."""

    system: str = ""
    exchanges: list[Exchange] = field(default_factory=list)

    def turns(self, side: Side, *, until: int | None = None) -> tuple[Turn, ...]:
        """What `side` is asked in the exchange `until`, the last one if None. What it never answered is left out."""
        last = len(self.exchanges) - 1 if until is None else until
        turns = [Turn("system", self.system)] if self.system else []
        for exchange in self.exchanges[:last]:
            if text := exchange.text(side):
                turns += [Turn("user", exchange.asked), Turn("assistant", text)]
        return (*turns, Turn("user", self.exchanges[last].asked))

    def drop_oldest(self) -> bool:
        """Leave out the oldest question with its answers; False where there is only the one that is asked now."""
        if len(self.exchanges) < 2:
            return False
        del self.exchanges[0]
        return True


def row_of(talk: Talk, side: Side) -> dict[str, Any]:
    """The conversation with the answers of `side` as a row of training data, which ends with its last answer.

    Raises InputError where there is no answer.
    """
    answered = [one for one in talk.exchanges if one.text(side)]
    turns = [{"role": "system", "content": talk.system}] if talk.system else []
    for exchange in answered:
        turns += [
            {"role": "user", "content": exchange.asked},
            {"role": "assistant", "content": exchange.text(side)},
        ]
    if not answered:
        raise InputError(Problem(f"{side} has given no answer yet", hint="ask something first"))
    return {"messages": turns}


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row to a file of JSON lines, which is made where there is none: the whole row, or nothing of it.

    Raises InputError where the row would be refused in training, or the file cannot be written.
    """
    checked = convert("messages", dict(row), str(path))
    if isinstance(checked, Rejected):
        raise InputError(checked.problem(str(path)))
    try:
        descriptor = open_private(path, os.O_RDWR | os.O_APPEND)
        try:
            size = os.fstat(descriptor).st_size
            torn = size and os.pread(descriptor, 1, size - 1) != b"\n"
            line = (b"\n" if torn else b"") + msgspec.json.encode(row) + b"\n"
            try:
                if os.write(descriptor, line) != len(line):
                    raise OSError(0, "the disk took a part of the row only")
                os.fsync(descriptor)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
    except OSError as error:
        hint = "name another file"
        raise InputError(Problem(f"the row cannot be added: {error.strerror}", str(path), hint)) from error
