"""Lengths and turns of the rows as bars of text; the key of a bar is its range."""

from collections.abc import Callable, Mapping, Sequence

from finetui.widgets.table import Record
from finetui_core import wording

BAR_CELLS = 26
_SINGLE_TURNS = 12


def size_bars(counts: Mapping[int, int]) -> Sequence[Record]:
    """`counts` has the number of rows by the power of two below their bytes."""
    ranges = {(low if low > 1 else 0, 2 * low - 1): number for low, number in sorted(counts.items())}
    return _bars(ranges, lambda first, last: f"{wording.size(first)} to {wording.size(last + 1)}")


def turn_bars(counts: Mapping[int, int]) -> Sequence[Record]:
    """Few turns one by one, many in steps that double."""
    ranges: dict[tuple[int, int], int] = {}
    for turns, number in sorted(counts.items()):
        low = 1 << max(0, turns.bit_length() - 1)
        key = (turns, turns) if turns <= _SINGLE_TURNS else (max(low, _SINGLE_TURNS + 1), 2 * low - 1)
        ranges[key] = ranges.get(key, 0) + number
    return _bars(ranges, lambda first, last: f"{first}" if first == last else f"{first} to {last}")


def range_filter(panel: str, key: str) -> str:
    """The filter that shows the rows of a bar."""
    unit = "bytes" if panel == "lengths" else "turns"
    first, last = key.split()
    return f"{unit}={first}" if first == last else f"{unit}>={first} {unit}<={last}"


def _bars(ranges: Mapping[tuple[int, int], int], name: Callable[[int, int], str]) -> Sequence[Record]:
    most = max(ranges.values(), default=1)
    return [
        Record(
            f"{first} {last}",
            (
                (name(first, last), ""),
                (f"{number:,}", ""),
                ("█" * max(1, round(number / most * BAR_CELLS)), "accent"),
            ),
        )
        for (first, last), number in ranges.items()
    ]
