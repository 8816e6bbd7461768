"""Rows of a data set as a person looks for them: what a row is, and the fields that a filter can ask of it."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import msgspec

from finetui_core.data.check.findings import Hit
from finetui_core.data.check.part import Part, add_json
from finetui_core.data.check.personal import personal_in
from finetui_core.data.check.rows import row_hits
from finetui_core.data.check.secrets import secrets_in
from finetui_core.data.conversation import Conversation, Row
from finetui_core.data.formats import CONVERTERS, sniff
from finetui_core.data.json_lines import Unreadable, decoded
from finetui_core.data.lines import RowFile, RowText
from finetui_core.errors import InputError, Problem
from finetui_core.filters import Fields, Predicate, compile_filter

_SNIFFED_ROWS = 100
_SHOWN = 4
_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class OpenedRow:
    """A row as it stands in the file, and as the trainer reads it; `fault` says why there is none."""

    text: RowText
    row: Row | None
    fault: str = ""

    @property
    def turns(self) -> int:
        return len(self.row.messages) if isinstance(self.row, Conversation) else 0

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(turn.role for turn in self.row.messages) if isinstance(self.row, Conversation) else ()

    def texts(self) -> Iterator[str]:
        """What is written in the row; of a row that cannot be read, its bytes."""
        if isinstance(self.row, Conversation):
            yield from (turn.content for turn in self.row.messages)
        elif self.row is not None:
            yield self.row.text
        else:
            yield self.text.raw.decode("utf-8", "backslashreplace")

    def begins(self) -> str:
        """The first question, or else the first text."""
        if isinstance(self.row, Conversation):
            asked = (turn.content for turn in self.row.messages if turn.role == "user")
            return next(asked, next(self.texts(), ""))
        return next(self.texts())


def layout_of(file: RowFile) -> str:
    """The layout of the rows, from the first of them. Raises InputError where it is none that is known."""
    values = []
    for number in range(min(file.rows, _SNIFFED_ROWS)):
        text = file.row(number)
        value = decoded(text.raw) if text is not None and text.raw and not text.is_cut else None
        if isinstance(value, dict):
            values.append(value)
    if not values:
        raise InputError(Problem("none of the first rows can be read", str(file.path)))
    return sniff(values, str(file.path))


def open_row(text: RowText, layout: str, path: str) -> OpenedRow:
    """The row of a text; `layout` is "" where none is known."""
    if text.fault:
        return OpenedRow(text, None, text.fault)
    if text.is_cut:
        return OpenedRow(text, None, "the row is too long to be shown whole")
    value = decoded(text.raw)
    if isinstance(value, Unreadable):
        return OpenedRow(text, None, value.what)
    if not layout:
        return OpenedRow(text, None, "the layout of this file is not known")
    made = CONVERTERS[layout](value, f"{path}:{text.line}")
    return OpenedRow(text, None, made.what) if isinstance(made, Problem) else OpenedRow(text, made)


def hits_of(opened: OpenedRow, layout: str) -> list[Hit]:
    """All that the rules of one row find in it, by the code of the scan."""
    text = opened.text
    if text.fault or text.is_cut or not layout:
        return [Hit("unreadable_row", "", opened.fault)] if text.fault else []
    part = Part()
    add_json(part, text.raw, 0, layout)
    hits = row_hits(opened.row) if opened.row is not None else []
    known = {hit.rule for hit in hits}
    return hits + [
        Hit(rule, path, excerpt)
        for rule, examples in part.examples.items()
        if rule not in known
        for _, path, excerpt in examples
    ]


def row_fields(rules: Callable[[int], Iterable[str]]) -> Fields[OpenedRow]:
    """What a filter can ask of a row; `rules` gives the names of the findings of a row by its number."""
    return Fields(
        words=lambda one: one.texts(),
        texts={
            "rule": lambda one: rules(one.text.row),
            "role": lambda one: one.roles,
            "system": lambda one: _said(one, "system"),
            "question": lambda one: _said(one, "user"),
            "answer": lambda one: _said(one, "assistant"),
        },
        numbers={
            "row": lambda one: one.text.row,
            "line": lambda one: one.text.line,
            "turns": lambda one: one.turns,
            "bytes": lambda one: one.text.size,
        },
        exact=frozenset({"rule", "role"}),
        aliases={
            "length": "bytes",
            "size": "bytes",
            "user": "question",
            "assistant": "answer",
            "roles": "role",
        },
    )


def row_filter(text: str, rules: Callable[[int], Iterable[str]]) -> Predicate[OpenedRow]:
    """What decides whether a row fits the filter `text`. Raises InputError with every faulty term."""
    return compile_filter(text, row_fields(rules))


def quick_test(text: str) -> Callable[[bytes], bool]:
    """Whether a row's JSON text can fit the plain words of a filter: a test that spares decoding most rows."""
    words = [
        word.lower().encode()
        for term in text.split()
        if _WORD.fullmatch(word := term.lower().strip('"')) and '"' not in term.strip('"')
    ]
    if not words or '"' in text:
        return lambda raw: True

    def may_fit(raw: bytes) -> bool:
        if not raw.isascii() or b"\\u" in raw:
            return True
        lowered = raw.lower()
        return all(word in lowered for word in words)

    return may_fit


def without_secrets(text: str) -> str:
    """`text` with dots in place of secrets and personal data, all but their first characters; equally long."""
    for place in (*secrets_in(text), *personal_in(text)):
        shown = min(_SHOWN, (place.end - place.start) // 3)
        hidden = "".join("\n" if char == "\n" else "•" for char in text[place.start + shown : place.end])
        text = text[: place.start + shown] + hidden + text[place.end :]
    return text


def readable(text: RowText) -> str:
    """A row as indented JSON, or as it stands where it is none."""
    try:
        return msgspec.json.format(text.raw, indent=2).decode()
    except (ValueError, RecursionError):
        return text.raw.decode("utf-8", "backslashreplace")


def _said(one: OpenedRow, role: str) -> tuple[str, ...]:
    if not isinstance(one.row, Conversation):
        return ()
    return tuple(turn.content for turn in one.row.messages if turn.role == role)
