"""The answers that a run wrote at its evaluations, two steps of it side by side."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from finetui.text import pad, wrapped
from finetui.widgets.plot import Row
from finetui_core.runs.tail import Tail

_NAME = re.compile(r"step-(\d+)\.jsonl")
MOST_SAMPLES, MOST_BYTES = 100, 1 << 20
_GAP = " │ "
_LEAST_COLUMN = 24

Record = Mapping[str, Any]


def sample_steps(folder: Path) -> list[int]:
    """The steps that have sample answers, ascending."""
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return []
    return sorted(int(found[1]) for name in names if (found := _NAME.fullmatch(name)))


def read_samples(path: Path) -> Sequence[Record]:
    """The first sample answers in a file; a run writes a few of them."""
    return Tail(path).read(MOST_BYTES)[:MOST_SAMPLES]


def sample_rows(
    left: tuple[int, Sequence[Record]], right: tuple[int, Sequence[Record]], width: int
) -> tuple[Row, ...]:
    """For each prompt the answers of two steps beside each other, or one below the other where it is narrow."""
    before = {str(one.get("prompt")): one for one in left[1]}
    rows: list[Row] = []
    for number, sample in enumerate(right[1], 1):
        prompt = str(sample.get("prompt"))
        label = f" {number}. "
        rows += [
            (((label if place == 0 else " " * len(label)), "strong"), (line, ""))
            for place, line in enumerate(_lines(prompt, width - 5))
        ]
        reference = sample.get("reference")
        if reference:
            rows += [
                (("    ", ""), ("        " if place else "wanted: ", "muted"), (line, "good"))
                for place, line in enumerate(_lines(reference, width - 13))
            ]
        answer = before.get(prompt, {}).get("answer")
        rows += _beside(
            (f"step {left[0]:,}", answer), (f"step {right[0]:,}", sample.get("answer")), width - 4
        )
        rows.append(())
    if len(right[1]) >= MOST_SAMPLES:
        rows.append(((f" only the first {MOST_SAMPLES} samples of a step are shown", "muted"),))
    return tuple(rows)


def _beside(left: tuple[str, object], right: tuple[str, object], width: int) -> list[Row]:
    half = (width - len(_GAP)) // 2
    if half < _LEAST_COLUMN:
        return [
            (("    ", ""), (line, style))
            for title, answer in (left, right)
            for line, style in [(title, "muted"), *((line, "") for line in _lines(answer, max(8, width)))]
        ]
    one, two = _lines(left[1], half), _lines(right[1], half)
    rows: list[Row] = [(("    ", ""), (pad(left[0], half), "muted"), (_GAP, "axis"), (right[0], "muted"))]
    for place in range(max(len(one), len(two))):
        first = one[place] if place < len(one) else ""
        second = two[place] if place < len(two) else ""
        rows.append((("    ", ""), (_filled(first, half), ""), (_GAP, "axis"), (second, "")))
    return rows


def _lines(text: object, width: int) -> list[str]:
    """Safe lines of at most `width` cells."""
    if text is None:
        return ["(no answer)"]
    return [line for part in str(text).split("\n") for line in wrapped(part, max(8, width))]


def _filled(text: str, width: int) -> str:
    return text + " " * max(0, width - cell_len(text))
