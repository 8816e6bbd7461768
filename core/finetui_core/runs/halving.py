"""Smaller passes after a want of memory: fewer rows at once and more of them, the same global batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import Attempt, content_of, read_small

ROWS, PASSES = "per_device_train_batch_size", "gradient_accumulation_steps"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rows of a pass on each device, and passes of a step; their product is the batch of a device."""

    rows: int
    passes: int


def smaller(sizes: Sizes) -> Sizes | None:
    """Half the rows and twice the passes; None where a pass has one row.

    An odd number is divided by its smallest factor instead, since the batch must stay the same.
    """
    factor = next((one for one in range(2, sizes.rows + 1) if sizes.rows % one == 0), None)
    return None if factor is None else Sizes(sizes.rows // factor, sizes.passes * factor)


def sizes_of(attempt: Attempt | None, resolved: Mapping[str, Any]) -> Sizes | None:
    """The sizes that an attempt trains with: its own, or those of the recipe; None where neither tells."""
    if attempt is not None and attempt.per_device_train_batch_size and attempt.gradient_accumulation_steps:
        return Sizes(attempt.per_device_train_batch_size, attempt.gradient_accumulation_steps)
    train = resolved.get("train")
    rows, passes = (train.get(ROWS), train.get(PASSES)) if isinstance(train, Mapping) else (None, None)
    return Sizes(rows, passes) if isinstance(rows, int) and isinstance(passes, int) else None


def kept_sizes(paths: RunPaths) -> Sizes | None:
    """The sizes of the newest attempt, where they are other than the recipe's."""
    numbers = paths.attempt_numbers()
    return sizes_of(read_small(paths.attempt(numbers[-1]), Attempt) if numbers else None, {})


def resolved_recipe(paths: RunPaths) -> dict[str, Any]:
    """recipe.resolved.json as it now is, which the trainer completes; empty where it cannot be read."""
    try:
        return msgspec.json.decode(content_of(paths.resolved_recipe), type=dict[str, Any])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}


def differences(before: Sizes, after: Sizes) -> list[dict[str, Any]]:
    """What is other than before, as the event `inexact` names it."""
    return [
        {"name": f"train.{ROWS}", "was": before.rows, "now": after.rows},
        {"name": f"train.{PASSES}", "was": before.passes, "now": after.passes},
    ]


def said(before: Sizes, after: Sizes, phase: str) -> str:
    """The change in words. What is not the same to the last bit is said as well."""
    return (
        f"memory ran out {phase}, so each pass now takes {after.rows} rows instead of {before.rows}, and a step "
        f"{after.passes} passes instead of {before.passes}: batch and schedule stay the same, rounding and dropout "
        "do not"
    )
