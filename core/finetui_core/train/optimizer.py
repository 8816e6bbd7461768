"""The optimizer of a run."""

from typing import Any

import torch

from finetui_core.recipe.options import Recipe
from finetui_core.train.checkpoint import trainable


def build_optimizer(model: Any, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW over the trainable parameters; vectors (biases, norms) are not decayed, as is usual."""
    parameters = list(trainable(model).values())
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.train.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=recipe.train.learning_rate, fused=fused
    )
