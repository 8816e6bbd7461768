"""How long the training rows probably are, from some of them and the longest of their file: a guess in milliseconds.

A trace counts them with the model's own tokenizer; this is what is said before it.
"""

import functools
import json
import math
import statistics
from pathlib import Path
from string import ascii_letters
from typing import Any

from finetui_core.preflight.figures import RowLengths
from finetui_core.recipe.facts import Facts
from finetui_core.recipe.options import Recipe

_READ_WHOLE = 1 << 24
"""Bytes up to which a file is read whole, so that its longest rows are known."""
_SAMPLE = 1 << 18
"""Bytes that are read of a larger one."""
_MOST_ROWS = 300
_LONGEST_ROWS = 5
_LONGER = 1.35
"""How much longer than guessed the longest row may be."""
_TOKENS_PER_TURN = 5
"""What a chat template adds to a turn, about."""
_WORDS = (ascii_letters + " ").encode()
_ASCII = bytes(range(128))
_KEYS_OF_TEXT = frozenset(
    {
        "content",
        "value",
        "text",
        "instruction",
        "input",
        "output",
        "prompt",
        "completion",
        "response",
        "system",
    }
)


def sample_lengths(recipe: Recipe, facts: Facts, vocabulary: int) -> RowLengths | None:
    """Estimated lengths, or None where the rows are not JSONL or not counted. Never raises.

    The longest is that of the whole file, with a third on top for the guess; of a large file it is as long as the
    recipe allows.
    """
    if not facts.rows:
        return None
    sample, longest_rows, whole = _rows_of(Path(recipe.data.train))
    found = [length for row in sample if (length := _tokens(row, vocabulary)) > 1]
    if not found:
        return None
    most = recipe.data.max_length or 1 << 31
    lengths = [min(length, most) for length in found]
    longest = math.ceil(_LONGER * max(_tokens(row, vocabulary) for row in [*sample, *longest_rows]))
    return RowLengths(
        rows=facts.rows,
        mean=sum(lengths) / len(lengths),
        longest=min(longest, most) if whole else most,
        supervised_share=1.0,
        exact=False,
        val_rows=_val_rows(recipe, facts),
        deviation=_LONGER * statistics.pstdev(lengths),
    )


def characters_per_token(vocabulary: int) -> float:
    """Of English words, with the spaces: about 1 with 256 tokens, 4 with 4,000 and 5 from 10,000 on."""
    return min(5.0, max(1.0, 1 + 0.75 * (math.log2(max(2, vocabulary)) - 8)))


def _rows_of(path: Path) -> tuple[list[Any], list[Any], bool]:
    """Some rows of a file, its longest ones, and whether all of it was looked at."""
    try:
        if path.suffix != ".jsonl":
            return [], [], False
        stat = path.stat()
        sample, longest = _lines(path, stat.st_size, stat.st_mtime_ns)
    except (OSError, ValueError):
        return [], [], False
    return _parsed(sample), _parsed(longest), stat.st_size <= _READ_WHOLE


@functools.lru_cache(maxsize=4)
def _lines(path: Path, size: int, changed: int) -> tuple[list[bytes], list[bytes]]:
    """Lines from all over a file, and the longest: kept for as long as its `size` and time of change stay."""
    with path.open("rb") as file:
        lines = file.read(size if size <= _READ_WHOLE else _SAMPLE).split(b"\n")
    if size > _READ_WHOLE and len(lines) > 1:
        lines.pop()
    lines = [line for line in lines if line.strip()]
    return lines[:: -(-len(lines) // _MOST_ROWS) or 1], sorted(lines, key=len)[-_LONGEST_ROWS:]


def _parsed(lines: list[bytes]) -> list[Any]:
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return rows


def _tokens(row: Any, vocabulary: int) -> int:
    tokens, turns, waiting, each = 0.0, 0, [row], characters_per_token(vocabulary)
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            texts = [text for key, text in value.items() if key in _KEYS_OF_TEXT and isinstance(text, str)]
            tokens += sum(_tokens_of(text, each) for text in texts)
            turns += bool(texts)
            waiting += [part for part in value.values() if isinstance(part, list | dict)]
    return round(tokens) + _TOKENS_PER_TURN * turns


def _tokens_of(text: str, each: float) -> float:
    """Words by so many characters for a token, signs and digits one by one, and half a token for other bytes."""
    encoded = text.encode("utf-8", "replace")
    rest = encoded.translate(None, _WORDS)
    beyond = len(rest.translate(None, _ASCII))
    return (len(encoded) - len(rest)) / each + (len(rest) - beyond) + beyond / 2


def _val_rows(recipe: Recipe, facts: Facts) -> int:
    """Rows of the validation file, or those that are kept apart."""
    rows = facts.rows or 0
    if recipe.data.val is None:
        kept = recipe.data.val_fraction
        return round(rows / (1 - kept) * kept) if kept else 0
    path = Path(recipe.data.val)
    try:
        if path.suffix != ".jsonl" or path.stat().st_size > 100_000_000:
            return recipe.eval.max_rows
        with path.open("rb") as file:
            return sum(bool(line.strip()) for line in file)
    except (OSError, ValueError):
        return 0
