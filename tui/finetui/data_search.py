"""Looking through all rows of a file, in a thread."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from finetui.data_file import DataFile
from finetui_core.data.conversation import Conversation
from finetui_core.data.row_filter import OpenedRow, open_row, quick_test, row_filter
from finetui_core.errors import InputError
from finetui_core.filters import Predicate

_TELL_EVERY = 0.15
_WAITING = 0.03

Told = Callable[[list[int], float], object]
"""Rows found since the last call, and the share of the rows that were looked at."""


def search(
    file: DataFile,
    among: Sequence[int] | None,
    text: str,
    fits: Predicate[OpenedRow],
    tell: Told,
    cancelled: Callable[[], bool],
) -> None:
    """Tell the rows that fit the filter `text`, of those in `among` or of all."""
    may_fit = quick_test(text)
    found: list[int] = []
    told = time.monotonic()
    for number, part in _numbers(file, among, cancelled):
        raw = file.rows.row(number)
        if raw is not None and may_fit(raw.raw) and fits(open_row(raw, file.layout, file.source)):
            found.append(number)
        if number % 64 == 0 and time.monotonic() - told > _TELL_EVERY:
            tell(found, part)
            found, told = [], time.monotonic()
    if not cancelled():
        tell(found, 1.0)


def filter_fault(text: str) -> str:
    """Why the filter `text` cannot be understood; "" where it can."""
    try:
        row_filter(text, lambda row: ())
    except InputError as error:
        problem = error.problems[0]
        return f"{problem.what}: {problem.hint}" if problem.hint else problem.what
    return ""


def measure(
    file: DataFile,
    tell: Callable[[Counter[int], Counter[int], float], None],
    cancelled: Callable[[], bool],
) -> None:
    """Tell how many rows have how many bytes (in steps that double) and how many turns."""
    sizes: Counter[int] = Counter()
    turns: Counter[int] = Counter()
    told = time.monotonic()
    for number, part in _numbers(file, None, cancelled):
        raw = file.rows.row(number)
        if raw is None:
            continue
        opened = open_row(raw, file.layout, file.source)
        sizes[1 << max(0, raw.size.bit_length() - 1)] += 1
        turns[len(opened.row.messages) if isinstance(opened.row, Conversation) else 0] += 1
        if number % 64 == 0 and time.monotonic() - told > _TELL_EVERY:
            tell(sizes.copy(), turns.copy(), part)
            told = time.monotonic()
    if not cancelled():
        tell(sizes, turns, 1.0)


def _numbers(
    file: DataFile, among: Sequence[int] | None, cancelled: Callable[[], bool]
) -> Iterator[tuple[int, float]]:
    """Row numbers with the share that is done; waits for rows that are not known yet."""
    if among is not None:
        for place, number in enumerate(among):
            if cancelled():
                return
            yield number, place / len(among)
        return
    number = 0
    while not cancelled():
        rows = file.rows
        known = rows.rows
        if number >= known:
            if rows.complete:
                return
            time.sleep(_WAITING)
            continue
        share = (rows.seen / rows.size if rows.size and not rows.complete else 1.0) / known
        while number < known and not cancelled():
            yield number, number * share
            number += 1
