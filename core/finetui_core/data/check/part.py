"""What the check learns from some rows of a file: keys, sizes and hits, a few bytes a row.

A file is looked at in parts, so that several processes can share it and progress can be shown.
"""

import json
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, cast

import msgspec

from finetui_core.data.check.findings import Hit
from finetui_core.data.check.keys import UNREADABLE, prompt_key, row_key
from finetui_core.data.check.rows import look, rejected_hits
from finetui_core.data.conversation import Conversation, Message, Row, TextDocument
from finetui_core.data.formats import Rejected, convert
from finetui_core.data.json_lines import BYTE_ORDER_MARK, TOO_LONG, Unreadable, decoded, lines_of

EXAMPLES = 50
"""Examples that are kept of each rule."""
_SYSTEMS, _SYSTEM_LENGTH = 1000, 1000
_MOST_TURNS = 255
_KEY_ENDS_WITH_BACKSLASH = b'\\\\":'
_BUFFER = 1 << 18
_ROLES = frozenset({"system", "user", "assistant", "tool"})


@dataclass(slots=True)
class Part:
    """The rows from one place of a file to another; rows count from the beginning of the part.

    `blank_rows` and `blank_counts` say before which rows how many blank lines stand. `systems` counts rows by system
    prompt, "" for rows without one; `lines` is empty where a row is a line.
    """

    rows: int = 0
    offsets: "array[int]" = field(default_factory=lambda: array("Q"))
    sizes: "array[int]" = field(default_factory=lambda: array("I"))
    turns: "array[int]" = field(default_factory=lambda: array("B"))
    row_keys: "array[int]" = field(default_factory=lambda: array("Q"))
    prompt_keys: "array[int]" = field(default_factory=lambda: array("Q"))
    lines: "array[int]" = field(default_factory=lambda: array("Q"))
    blank_rows: "array[int]" = field(default_factory=lambda: array("I"))
    blank_counts: "array[int]" = field(default_factory=lambda: array("Q"))
    found: dict[str, "array[int]"] = field(default_factory=dict)
    examples: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)
    systems: Counter[str] = field(default_factory=Counter)
    other_systems: int = 0
    scripts: Counter[str] = field(default_factory=Counter)


class _PlainMessage(msgspec.Struct, frozen=True, gc=False):
    """What a `Message` is, built three times as fast."""

    role: str
    content: str
    tool_calls: None = None
    name: str | None = None
    tool_call_id: str | None = None


class _Chat(msgspec.Struct, gc=False):
    messages: tuple[_PlainMessage, ...]


_CHAT = msgspec.json.Decoder(_Chat)


def scan_range(path: Path, start: int, end: int, layout: str) -> Part:
    """The part of a file of JSON lines whose rows begin at the bytes from `start` to before `end`."""
    part = Part()
    with path.open("rb", buffering=_BUFFER) as file:
        for at, line in lines_of(file, start, end):
            if line is None:
                add_unreadable(part, TOO_LONG, at, 0)
                continue
            raw = (line.removeprefix(BYTE_ORDER_MARK) if at == 0 else line).strip()
            if raw:
                add_json(part, raw, at, layout)
            elif part.blank_rows and part.blank_rows[-1] == part.rows:
                part.blank_counts[-1] += 1
            else:
                part.blank_rows.append(part.rows)
                part.blank_counts.append(1)
    return part


def add_json(part: Part, raw: bytes, at: int, layout: str) -> None:
    """Look at the row whose JSON text, of the byte `at`, is `raw`."""
    if layout == "messages" and (row := _plain_chat(raw)):
        hits, script = look(row, raw)
        part.scripts[script] += 1
        _add(part, row, hits, at, len(raw))
        return
    value = decoded(raw)
    if isinstance(value, Unreadable):
        add_unreadable(part, value, at, len(raw))
        return
    doubtful = _keys_written(raw) != _number_of_keys(value) or _KEY_ENDS_WITH_BACKSLASH in raw
    hits = _repeated_keys(raw) if doubtful else []
    add_value(part, value, at, len(raw), layout, hits)


def add_value(
    part: Part, value: dict[str, Any], at: int, size: int, layout: str, hits: Iterable[Hit] = ()
) -> None:
    """Look at a row that was read already; `hits` are what was found on the way."""
    row = convert(layout, value, "")
    if isinstance(row, Rejected):
        _add(part, None, [*hits, *rejected_hits(value, row)], at, size)
    else:
        found, script = look(row)
        part.scripts[script] += 1
        _add(part, row, [*hits, *found], at, size)


def add_unreadable(part: Part, why: Unreadable, at: int, size: int) -> None:
    column = f" (column {why.column:,})" if why.column and not why.line else ""
    _add(part, None, [Hit("unreadable_row", "", f"{why.what}{column}")], at, size)


def _add(part: Part, row: Row | None, hits: Iterable[Hit], at: int, size: int) -> None:
    number = part.rows
    part.rows = number + 1
    part.offsets.append(at)
    part.sizes.append(size)
    if row is None:
        part.turns.append(0)
        part.row_keys.append(UNREADABLE)
        part.prompt_keys.append(UNREADABLE)
    else:
        part.row_keys.append(row_key(row))
        part.prompt_keys.append(prompt_key(row))
        if isinstance(row, TextDocument):
            part.turns.append(0)
        else:
            part.turns.append(min(len(row.messages), _MOST_TURNS))
            _count_system(part, row)
    if hits:
        _add_hits(part, number, hits)


def _add_hits(part: Part, number: int, hits: Iterable[Hit]) -> None:
    for rule, path, excerpt in hits:
        rows = part.found.get(rule)
        if rows is None:
            rows = part.found[rule] = array("I")
            part.examples[rule] = []
        if not rows or rows[-1] != number:
            rows.append(number)
            if len(part.examples[rule]) < EXAMPLES:
                part.examples[rule].append((number, path, excerpt))


def _plain_chat(raw: bytes) -> Conversation | None:
    """The row, if it is nothing but messages of role and content that fit the layout: most rows are, and then
    reading them takes a tenth of the time. None says nothing of the row."""
    try:
        messages = _CHAT.decode(raw).messages
    except (ValueError, RecursionError):
        return None
    keys = 1 + 2 * len(messages)
    if raw.count(b'"') != 2 * (keys + 2 * len(messages)) and _keys_written(raw) != keys:
        return None
    has_answer = False
    for message in messages:
        role = message.role
        if role == "assistant":
            content = message.content
            if not content or content.isspace():
                return None
            has_answer = True
        elif role not in _ROLES:
            return None
    return Conversation(cast(tuple[Message, ...], messages), None, "") if has_answer else None


def _keys_written(raw: bytes) -> int:
    """Keys in the text, those that stand twice counted twice; wrong only where a space stands before a colon, or a
    key ends with a backslash."""
    return raw.count(b'":') - raw.count(b'\\":')


def _number_of_keys(value: Any) -> int:
    """Keys of all objects inside a value."""
    number = 0
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            number += len(part)
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
    return number


def _repeated_keys(raw: bytes) -> list[Hit]:
    """Read with the standard library, which gives each pair: the number of keys did not fit those that were read."""
    repeated: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        repeated.extend(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)

    try:
        json.loads(raw, object_pairs_hook=note)
    except (ValueError, RecursionError):
        return []
    return [Hit("duplicate_keys", "", f'"{repeated[0][:60]}" stands twice')] if repeated else []


def _count_system(part: Part, row: Conversation) -> None:
    first = row.messages[0]
    text = first.content if first.role == "system" else ""
    if len(text) > _SYSTEM_LENGTH:
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        text = f"{text[:_SYSTEM_LENGTH]}… {digest}"
    count_system(part, text, 1)


def count_system(part: Part, text: str, rows: int) -> None:
    """Count rows of one system prompt; past a thousand different ones, new ones are counted together."""
    if text in part.systems or len(part.systems) < _SYSTEMS or not text:
        part.systems[text] += rows
    else:
        part.other_systems += rows
