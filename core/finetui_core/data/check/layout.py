"""What one epoch costs: how many tokens are computed for those that are real, padded and packed."""

from collections.abc import Sequence

import msgspec

from finetui_core.recipe.options import Recipe
from finetui_core.train.batches import Schedule, packed_passes, padded_passes, shares


class Layouts(msgspec.Struct, frozen=True):
    """One epoch of training rows, dealt to steps and passes as training deals them.

    `padded_share`: real tokens among those of passes padded to their longest row. `packed_share`: real tokens
    among the room of packed passes; what is not filled is not computed, but is a pass more.
    """

    steps: int = 0
    padded_passes: int = 0
    padded_share: float = 1.0
    packed_passes: int = 0
    packed_share: float = 1.0


def layouts(recipe: Recipe, lengths: Sequence[int], max_length: int) -> Layouts:
    """`lengths` are those of the training rows, in tokens."""
    train, processes = recipe.train, recipe.launch.world_size
    batch_size = train.per_device_train_batch_size * train.gradient_accumulation_steps * processes
    budget = train.per_device_train_batch_size * max_length
    schedule = Schedule(len(lengths), batch_size, train.seed, total_steps=0)
    steps = padded_count = packed_count = computed = 0
    for rows in schedule.steps_of_epoch(0):
        steps += 1
        of_step = {row: lengths[row] for row in rows}
        for mine in shares(rows, of_step, processes):
            padded = padded_passes(mine, of_step, train.per_device_train_batch_size)
            computed += sum(len(group) * max(of_step[row] for row in group) for group in padded)
            padded_count += len(padded)
            packed_count += len(packed_passes(mine, of_step, budget))
    real = sum(lengths)
    return Layouts(
        steps,
        padded_count,
        real / computed if computed else 1.0,
        packed_count,
        real / (packed_count * budget) if packed_count else 1.0,
    )
