"""A mend shown on one row: the text around the first change, before and after."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from finetui_core.data.check.findings import Hit
from finetui_core.data.mend import faults
from finetui_core.data.mend.source import SourceRow

_AROUND = 40


@dataclass(frozen=True, slots=True)
class Preview:
    """`before` and `after` are raw text (whoever shows it makes it safe), secrets masked.

    `after` is "" for a row that is dropped; `other` is the row that it repeats, where there is one.
    """

    row: int
    line: int
    before: str
    after: str = ""
    other: int | None = None


def preview(item: SourceRow, after: dict[str, Any] | None, hits: tuple[Hit, ...], rule: str) -> Preview:
    """What a mend for `rule` does to a row; `after` is the row after it, None where it is dropped."""
    if after is None or item.value is None:
        excerpt = next((hit.excerpt for hit in hits if hit.rule == rule and hit.excerpt), "")
        return Preview(item.row, item.line, excerpt or shortened(item))
    first, second = faults.masked(_plain(item.value)), faults.masked(_plain(after))
    start = next(
        (place for place, (one, other) in enumerate(zip(first, second, strict=False)) if one != other),
        len(second),
    )
    begin = max(0, start - _AROUND)
    return Preview(
        item.row, item.line, first[begin : start + _AROUND], second[begin : start + _AROUND] or "(nothing)"
    )


def shortened(item: SourceRow) -> str:
    """The beginning of a row."""
    text = item.raw[:400].decode(errors="replace").strip() if item.value is None else _plain(item.value)
    return faults.masked(text)[: 2 * _AROUND]


def _plain(value: dict[str, Any]) -> str:
    """The texts of a row, one after the other."""
    texts: list[str] = []
    _collect(value, texts.append)
    return " | ".join(texts)


def _collect(value: Any, add: Callable[[str], None]) -> None:
    if isinstance(value, str):
        add(value)
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            _collect(part, add)
    elif value is not None:
        add(msgspec.json.encode(value, enc_hook=repr).decode())
