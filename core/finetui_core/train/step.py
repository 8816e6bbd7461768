"""One optimizer step, from row numbers to changed weights."""

import hashlib
import math
import time
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from finetui_core.train.checkpoint import trainable
from finetui_core.train.evaluation import ALONE, Processes, even_groups, pass_of
from finetui_core.train.forward import running, summed_loss, supervised_tokens
from finetui_core.train.nonfinite import nonfinite_in
from finetui_core.train.peers import LostPeer
from finetui_core.train.schedule import learning_rate_at
from finetui_core.train.setup import Session, inner_model
from finetui_core.train.shards import own_part, squared_norm


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
    groups, own = even_groups(numbers, lengths, session.layout, session.processes)
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
    for at, group in enumerate(groups):
        one = pass_of(data, group, session.layout, session.device)
        with running(inner, one):
            with session.autocast():
                loss = session.processes.run(summed_loss, inner, one, own_head=session.layout.own_head)
            loss = loss if at < own else 0 * loss
            session.scaler.scale(loss / supervised).backward()
        total += loss.detach()

    named = trainable(model)
    parameters = list(named.values())
    if session.processes.is_sharded:
        total, norm = _added(parameters, total, session.processes)
    else:
        total = _add_gradients(parameters, total, session.processes)
        session.scaler.unscale_(session.optimizer)
        norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    summed, grad_norm = torch.stack([total.to(norm.device).float(), norm.float()]).tolist()
    mean_loss = summed / supervised
    where: Literal["", "loss", "gradient", "weights"] = ""
    tensors: list[str] = []
    if math.isfinite(mean_loss) and math.isfinite(grad_norm):
        _clip(parameters, recipe.max_grad_norm, norm)
        session.scaler.step(session.optimizer)
        if not _are_finite(named, session.processes):
            where, tensors = "weights", nonfinite_in(named, session.processes.holders)
        session.scaler.update()
    else:
        session.scaler.update()
        if not math.isfinite(mean_loss):
            where = "loss"
        elif not _only_scaled_too_much(session.scaler):
            gradients = {name: one.grad for name, one in named.items() if one.grad is not None}
            where, tensors = "gradient", nonfinite_in(gradients, session.processes.holders)[::-1]
    session.optimizer.zero_grad(set_to_none=True)
    seconds = time.perf_counter() - began
    return StepResult(
        mean_loss, grad_norm, rate, sum(lengths.values()), supervised, seconds, where, tuple(tensors)
    )


def _are_finite(named: dict[str, torch.nn.Parameter], processes: Processes) -> bool:
    """Whether the weights are finite on every process. Their norm is a quick sieve, which large ones overflow.

    The step is done: where another process is lost meanwhile, this one that holds all weights judges them alone, and
    the next step meets the loss.
    """
    try:
        return _are_finite_on(named, processes)
    except LostPeer:
        if processes.is_sharded:
            raise
        return _are_finite_on(named, ALONE)


def _are_finite_on(named: dict[str, torch.nn.Parameter], processes: Processes) -> bool:
    norm = get_total_norm([own_part(parameter.detach()) for parameter in named.values()])
    if math.isfinite(float(processes.add(norm))):
        return True
    spoilt = torch.tensor(float(bool(nonfinite_in(named, processes.holders))), device=norm.device)
    return not float(processes.add(spoilt))


def _clip(parameters: list[torch.nn.Parameter], most: float, norm: torch.Tensor) -> None:
    """Scale the gradients down to the norm `most`; of sharded ones each process its own parts."""
    if not isinstance(parameters[0].grad, DTensor):
        return clip_grads_with_norm_(parameters, most, norm)
    share = torch.clamp(most / (norm + 1e-6), max=1.0)
    return torch._foreach_mul_([own_part(one.grad) for one in parameters if one.grad is not None], share)


def _added(
    parameters: list[torch.nn.Parameter], loss: torch.Tensor, processes: Processes
) -> tuple[torch.Tensor, torch.Tensor]:
    """The sum of the losses of all processes, and the norm of gradients that are sharded and added up already."""
    squares = squared_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    both = processes.add(torch.stack([loss.to(squares.dtype), squares]))
    return both[0], both[1].sqrt().float()


def _only_scaled_too_much(scaler: torch.amp.GradScaler) -> bool:
    """Whether a gradient in half precision may have been infinite only because its loss was scaled up."""
    return scaler.is_enabled() and scaler.get_scale() >= 1


def _add_gradients(
    parameters: list[torch.nn.Parameter], loss: torch.Tensor, processes: Processes
) -> torch.Tensor:
    """Sum the gradients over all processes, and return the sum of their losses, all in one message.

    Each process may have run other passes, or none.
    """
    if processes.count == 1:
        return loss
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients: list[Any] = [parameter.grad for parameter in parameters]
    summed = processes.add(torch.cat([*(gradient.reshape(-1) for gradient in gradients), loss[None]]))
    *parts, losses = summed.split([*(gradient.numel() for gradient in gradients), 1])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
    return losses[0]
