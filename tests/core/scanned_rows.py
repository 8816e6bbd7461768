"""Rows, and what a scan keeps of them, without a file."""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from finetui_core.data.check.keys import UNREADABLE, prompt_key, row_key
from finetui_core.data.check.near import near_text
from finetui_core.data.conversation import Conversation, Message, Row, TextDocument
from finetui_core.errors import Problem


@dataclass(frozen=True)
class Scanned:
    rows: int
    sizes: "array[int]"
    turns: "array[int]"
    row_keys: "array[int]"
    prompt_keys: "array[int]"
    systems: Counter[str]
    scripts: Counter[str] = field(default_factory=Counter)

    def line_of(self, row: int) -> int:
        return row + 1


def scanned(rows: Sequence[Row | Problem], scripts: dict[str, int] | None = None) -> Scanned:
    chats = [row for row in rows if isinstance(row, Conversation)]
    return Scanned(
        len(rows),
        array("I", [0 if isinstance(row, Problem) else len(near_text(row).encode()) for row in rows]),
        array("B", [len(row.messages) if isinstance(row, Conversation) else 0 for row in rows]),
        array("Q", [UNREADABLE if isinstance(row, Problem) else row_key(row) for row in rows]),
        array("Q", [UNREADABLE if isinstance(row, Problem) else prompt_key(row) for row in rows]),
        Counter(row.messages[0].content if row.messages[0].role == "system" else "" for row in chats),
        Counter(scripts or {}),
    )


def chat(asked: str, answered: str, system: str = "") -> Conversation:
    first = (Message("system", system),) if system else ()
    return Conversation((*first, Message("user", asked), Message("assistant", answered)), None, "")


def document(text: str) -> TextDocument:
    return TextDocument(text, "")
