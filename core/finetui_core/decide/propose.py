"""Answers that the data itself gives, each with the sentence that says how it was found."""

import json
from collections import Counter
from pathlib import Path

import msgspec

from finetui_core.data.conversation import Conversation, Row
from finetui_core.data.load import load
from finetui_core.decide.questions import Answer

FEW_LABELS = 30
_NEARLY_ALL = 0.9
_CHARACTERS_PER_TOKEN = 4  # of English text, OpenAI's rule of thumb
_HELD_OUT = 30


class Proposal(msgspec.Struct, frozen=True):
    """An answer that a person may take or change."""

    key: str
    answer: Answer
    why: str


def proposals(train: str, val: str | None = None) -> list[Proposal]:
    """What the rows tell. Raises InputError where they cannot be read."""
    loaded = load(train)
    found = [_examples(loaded.rows)]
    held_out = len(load(val).rows) if val is not None else 0
    if val is not None:
        kind = "heldout" if held_out >= _HELD_OUT else "informal"
        found.append(Proposal("eval_set", kind, f"{held_out:,} rows are kept apart in {Path(val).name}"))
    chats = [row for row in loaded.rows if isinstance(row, Conversation)]
    return [*found, *_format(chats), *_removable(chats)]


def _examples(rows: tuple[Row, ...]) -> Proposal:
    distinct = len({_identity(row) for row in rows})
    return Proposal("labelled_examples", distinct, f"{len(rows):,} rows, of which {distinct:,} differ")


def _identity(row: Row) -> str:
    if isinstance(row, Conversation):
        return "\x00".join(f"{one.role}\x01{one.content}" for one in row.messages)
    return row.text


def _format(chats: list[Conversation]) -> list[Proposal]:
    answers = [one.content for chat in chats for one in chat.messages[-1:] if one.role == "assistant"]
    if not answers:
        return []
    distinct = len(set(answers))
    if distinct <= FEW_LABELS and len(answers) >= 2 * distinct:
        return [
            Proposal("format", "schema", f"there are only {distinct} different answers: a grammar lists them")
        ]
    as_json = sum(map(_is_json, answers))
    if as_json >= _NEARLY_ALL * len(answers):
        return [Proposal("format", "schema", f"{as_json:,} of {len(answers):,} answers are JSON")]
    return []


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _removable(chats: list[Conversation]) -> list[Proposal]:
    """Training makes an instruction needless that stands above nearly every row."""
    systems = Counter(one.content for chat in chats for one in chat.messages[:1] if one.role == "system")
    if not systems:
        return []
    text, times = systems.most_common(1)[0]
    if times < _NEARLY_ALL * len(chats):
        return []
    tokens = len(text) // _CHARACTERS_PER_TOKEN
    why = f"the same instruction of about {tokens:,} tokens stands above {times:,} of {len(chats):,} rows"
    return [Proposal("removable_prompt_tokens", tokens, why)]
