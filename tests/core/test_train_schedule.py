"""The learning rate is that of transformers' schedulers, step by step."""

import pytest
import torch
from transformers import get_scheduler

from finetui_core.train.schedule import learning_rate_at


@pytest.mark.parametrize("shape", ["constant", "linear", "cosine"])
@pytest.mark.parametrize(("warmup", "total"), [(0, 10), (3, 20), (20, 20), (1, 1)])
def test_equals_transformers(shape: str, warmup: int, total: int) -> None:
    name = "constant_with_warmup" if shape == "constant" else shape
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    theirs = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=total)
    for step in range(1, total + 1):
        ours = learning_rate_at(step, peak=0.5, shape=shape, warmup_steps=warmup, total_steps=total)
        assert ours == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()
