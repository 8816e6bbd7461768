"""What is known of a recipe's model and data without loading either: a small file read, and lines counted."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetui_core.recipe.options import Recipe
from finetui_core.runs.records import content_of

_LARGEST_CONFIG = 1_000_000  # bytes
_LARGEST_COUNTED = 100_000_000  # bytes of rows; counting them takes some 50 ms
_CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")


@dataclass(frozen=True, slots=True)
class Facts:
    """None or "" where it is not known: a hub model, rows that are not JSONL, or very many.

    `rows` are those that are trained on, without the share that is kept for validation.
    """

    model_type: str = ""
    hidden_size: int | None = None
    context_length: int | None = None
    rows: int | None = None


def look(recipe: Recipe) -> Facts:
    """Read config.json and count the training rows. Never raises: what cannot be read is not known."""
    config = _config(Path(recipe.model.name))
    rows = _rows(recipe.data.train)
    kept_apart = recipe.data.val_fraction if recipe.data.val is None else 0.0
    lengths = [_whole(config.get(name)) for name in _CONTEXT_NAMES]
    return Facts(
        model_type=str(config.get("model_type") or ""),
        hidden_size=_whole(config.get("hidden_size")),
        context_length=next((length for length in lengths if length), None),
        rows=None if rows is None else round(rows * (1 - kept_apart)),
    )


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads(content_of(folder / "config.json", _LARGEST_CONFIG))
        text = config.get("text_config")
        return {**config, **text} if isinstance(text, dict) else dict(config)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return {}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _rows(train: str) -> int | None:
    path = Path(train)
    try:
        if path.suffix != ".jsonl" or not path.is_file() or path.stat().st_size > _LARGEST_COUNTED:
            return None
        with path.open("rb") as file:
            return sum(bool(line.strip()) for line in file)
    except (OSError, ValueError):
        return None
