"""How long the training rows probably are, from the beginning of their file: a guess in a millisecond.

A trace counts them with the model's own tokenizer; this is what is said before it.
"""

import json
import math
from pathlib import Path
from typing import Any

from finetui_core.preflight.figures import RowLengths
from finetui_core.recipe.facts import Facts
from finetui_core.recipe.options import Recipe

_SAMPLE = 1 << 18
"""Bytes that are read."""
_MOST_ROWS = 300
_TOKENS_PER_TURN = 6
"""What a chat template adds to a turn, about."""
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
    """Estimated lengths, or None where the rows are not JSONL or not counted. Never raises."""
    if not facts.rows:
        return None
    found = [_tokens(row, vocabulary) for row in _first_rows(Path(recipe.data.train))]
    found = [length for length in found if length > 1]
    if not found:
        return None
    most = recipe.data.max_length
    lengths = [min(length, most) if most else length for length in found]
    return RowLengths(
        rows=facts.rows,
        mean=sum(lengths) / len(lengths),
        longest=max(lengths),
        supervised_share=1.0,
        exact=False,
        val_rows=_val_rows(recipe, facts),
    )


def characters_per_token(vocabulary: int) -> float:
    """About 1 with 256 tokens, 3 with 4,000 and 4.4 from 30,000 on, for English."""
    return min(4.4, max(1.0, 1 + 0.5 * (math.log2(max(2, vocabulary)) - 8)))


def _first_rows(path: Path) -> list[Any]:
    try:
        if path.suffix != ".jsonl":
            return []
        with path.open("rb") as file:
            sample = file.read(_SAMPLE)
    except (OSError, ValueError):
        return []
    lines = sample.split(b"\n")
    rows = []
    for line in lines[:_MOST_ROWS] if len(lines) == 1 else lines[:-1][:_MOST_ROWS]:
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return rows


def _tokens(row: Any, vocabulary: int) -> int:
    characters, turns, waiting = 0, 0, [row]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            texts = [text for key, text in value.items() if key in _KEYS_OF_TEXT and isinstance(text, str)]
            characters += sum(map(len, texts))
            turns += bool(texts)
            waiting += [part for part in value.values() if isinstance(part, list | dict)]
    return round(characters / characters_per_token(vocabulary)) + _TOKENS_PER_TURN * turns


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
