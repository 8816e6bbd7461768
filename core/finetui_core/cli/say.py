"""How the commands put numbers, tables and other people's text on a line."""

import json
import math
import sys
import time
from collections.abc import Sequence
from typing import Any

from finetui_core.secrets import redact_values, redacted
from finetui_core.text import visible

MOST_IN_TABLE = 400
"""Characters of one entry of a table."""


def talk(text: str = "") -> None:
    """One line to the person, on stderr; data goes to stdout."""
    print(visible(text, keep="\n"), file=sys.stderr, flush=True)


def typed() -> str:
    """What the person types on one line, without the blanks around it; "" where the input has ended."""
    try:
        return input("> ").strip()
    except EOFError:
        return ""


def data(text: str) -> None:
    """One line of the answer, on stdout: it may be the user's own text, so only known values are kept back."""
    print(visible(redact_values(text), keep="\n"), flush=True)


def data_json(value: Any) -> None:
    """The answer as JSON, on stdout; infinite numbers become null, since JSON has none."""
    print(json.dumps(_finite(redacted(value, forms=False)), ensure_ascii=True), flush=True)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value


def now() -> float:
    return time.time()


def _cut(text: str) -> str:
    return text if len(text) <= MOST_IN_TABLE else f"{text[: MOST_IN_TABLE - 1]}…"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of left-aligned columns, as wide as their widest entry; a very long one is cut."""
    cells = [[visible(_cut(cell)) for cell in row] for row in [headings, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
