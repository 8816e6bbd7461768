"""The learning rate as a pure function of the step: there is no scheduler state to save or to lose."""

import math

SHAPES = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
}


def learning_rate_at(step: int, *, peak: float, shape: str, warmup_steps: int, total_steps: int) -> float:
    """Learning rate of optimizer step `step`, counted from 1.

    It rises linearly to `peak` over the warm-up and follows `shape` to zero after it. The values are those
    of transformers' get_scheduler, whose step counts from 0.
    """
    done = step - 1
    if done < warmup_steps:
        return peak * done / warmup_steps
    progress = (done - warmup_steps) / max(1, total_steps - warmup_steps)
    return peak * SHAPES[shape](progress)


def rising_rate(step: int, *, low: float, high: float, total_steps: int) -> float:
    """Learning rate of step `step`, counted from 1, of a range test: from `low` to `high` by equal factors."""
    return float(low * (high / low) ** ((step - 1) / max(1, total_steps - 1)))
