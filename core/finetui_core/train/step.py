"""One optimizer step, from row numbers to changed weights."""

import hashlib
import math
import time
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from finetui_core.train.attention import attention
from finetui_core.train.batches import share_of_process
from finetui_core.train.checkpoint import trainable
from finetui_core.train.evaluation import Processes, passes_of
from finetui_core.train.forward import attention_for, summed_loss, supervised_tokens
from finetui_core.train.nonfinite import nonfinite_in
from finetui_core.train.schedule import learning_rate_at
from finetui_core.train.setup import Session, inner_model


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step measured. `loss` is in nats per supervised token of the global batch.

    `where` says what was not finite, so that the update was left out or, for "weights", spoilt them; it is "" where
    all was well, or where a gradient was only too large for the loss scaling, which the next step scales less.
    `tensors` are the parameters concerned; for a gradient the one that the backward pass met first comes first.
    """

    loss: float
    grad_norm: float
    learning_rate: float
    tokens: int
    supervised_tokens: int
    seconds: float
    where: Literal["", "loss", "gradient", "weights"] = ""
    tensors: tuple[str, ...] = ()

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


def seed_step(seed: int, step: int, process: int) -> None:
    """Seed torch's generators for one step.

    Random numbers are a function of (seed, step, process), so there is no generator state to save, and
    nothing done between steps (an evaluation, a sample on demand) can change what follows.
    """
    digest = hashlib.blake2b(f"{seed}/{step}/{process}".encode(), digest_size=8).digest()
    torch.manual_seed(int.from_bytes(digest) >> 1)


def train_step(session: Session, step: int, rate: float | None = None) -> StepResult:
    """Run optimizer step `step` (counted from 1) and return what it measured.

    `rate` is the learning rate; left out, that of the recipe's schedule. Gradients are those of the mean loss
    over the supervised tokens of the global batch, clipped to `max_grad_norm`. A step whose loss or gradient is
    not finite leaves the weights as they were. Loss, gradient and changed weights are judged by what all processes
    have together, so that each of them comes to the same result.
    """
    began = time.perf_counter()
    recipe, model, data = session.recipe.train, session.model, session.data.train
    numbers = session.schedule.rows_of_step(step)
    lengths = {number: len(data[number][0]) for number in numbers}
    supervised = sum(supervised_tokens(data[number][1]) for number in numbers)
    mine = share_of_process(numbers, lengths, session.processes.index, session.processes.count)
    if rate is None:
        rate = learning_rate_at(
            step,
            peak=recipe.learning_rate or 0.0,
            shape=recipe.lr_scheduler_type,
            warmup_steps=session.warmup_steps,
            total_steps=session.schedule.total_steps,
        )
    for group in session.optimizer.param_groups:
        group["lr"] = rate

    seed_step(recipe.seed, step, session.processes.index)
    model.train()
    total = torch.zeros((), dtype=torch.float32, device=session.device)
    inner = inner_model(session)
    for one in passes_of(data, mine, session.layout, session.device):
        with attention(inner, attention_for(inner, one)):
            with session.autocast():
                loss = summed_loss(inner, one, own_head=session.layout.own_head)
            session.scaler.scale(loss / supervised).backward()
        total += loss.detach()

    named = trainable(model)
    parameters = list(named.values())
    _add_gradients(parameters, session.processes)
    session.scaler.unscale_(session.optimizer)
    norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    summed, grad_norm = torch.stack([session.processes.add(total).to(norm.device), norm.float()]).tolist()
    mean_loss = summed / supervised
    where: Literal["", "loss", "gradient", "weights"] = ""
    tensors: list[str] = []
    if math.isfinite(mean_loss) and math.isfinite(grad_norm):
        clip_grads_with_norm_(parameters, recipe.max_grad_norm, norm)
        session.scaler.step(session.optimizer)
        if not _are_finite(named, session.processes):
            where, tensors = "weights", nonfinite_in(named)
        session.scaler.update()
    else:
        session.scaler.update()
        if not math.isfinite(mean_loss):
            where = "loss"
        elif not _only_scaled_too_much(session.scaler):
            gradients = {name: one.grad for name, one in named.items() if one.grad is not None}
            where, tensors = "gradient", nonfinite_in(gradients)[::-1]
    session.optimizer.zero_grad(set_to_none=True)
    seconds = time.perf_counter() - began
    return StepResult(
        mean_loss, grad_norm, rate, sum(lengths.values()), supervised, seconds, where, tuple(tensors)
    )


def _are_finite(named: dict[str, torch.nn.Parameter], processes: Processes) -> bool:
    """Whether the weights are finite on every process. Their norm is a quick sieve, which large ones overflow."""
    norm = get_total_norm([parameter.detach() for parameter in named.values()])
    if math.isfinite(float(processes.add(norm))):
        return True
    spoilt = torch.tensor(float(bool(nonfinite_in(named))), device=norm.device)
    return not float(processes.add(spoilt))


def _only_scaled_too_much(scaler: torch.amp.GradScaler) -> bool:
    """Whether a gradient in half precision may have been infinite only because its loss was scaled up."""
    return scaler.is_enabled() and scaler.get_scale() >= 1


def _add_gradients(parameters: list[torch.nn.Parameter], processes: Processes) -> None:
    """Sum the gradients over all processes, in one message. Each process may have run other passes, or none."""
    if processes.count == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients: list[Any] = [parameter.grad for parameter in parameters]
    summed = processes.add(torch.cat([gradient.reshape(-1) for gradient in gradients]))
    for gradient, part in zip(gradients, summed.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
