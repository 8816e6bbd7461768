"""Numbers that are not finite: whether there are any, and what is behind them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.nn.utils import get_total_norm

from finetui_core.train.batches import share_of_process
from finetui_core.train.checkpoint import moments, trainable
from finetui_core.train.evaluation import ALONE, Processes, inference, passes_of
from finetui_core.train.forward import running, summed_loss, supervised_tokens
from finetui_core.train.setup import Session, inner_model
from finetui_core.train.shards import own_part

if TYPE_CHECKING:
    from finetui_core.train.step import StepResult

Row = int | str
"""The line of the training file, or the place of a row that is from elsewhere."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was not finite at a step.

    `where` is "weights" also for the optimizer's moments. `rows` are those of the step's batch, `alone` those of them
    that give the same by themselves. `tensors` are weights, moments or gradients that are not finite. `loss` and
    `grad_norm` are nan where no step measured them.
    """

    step: int
    where: Literal["loss", "gradient", "weights"]
    loss: float
    grad_norm: float
    rows: tuple[Row, ...]
    alone: tuple[Row, ...]
    tensors: tuple[str, ...]


def nonfinite_in(tensors: Mapping[str, torch.Tensor], holders: Processes = ALONE) -> list[str]:
    """The names of the tensors in which something is NaN or infinite, of sharded ones on any of the `holders`.

    One reduction on the device and one wait for it: the norm, which nothing that is not finite leaves finite. Large
    numbers can make it overflow, so the tensors are then looked at one by one.
    """
    filled = {
        name: own_part(one.detach())
        for name, one in tensors.items()
        if one.numel() and one.is_floating_point()
    }
    if math.isfinite(float(holders.add(get_total_norm(list(filled.values()))))):
        return []
    flags = [float(not bool(torch.isfinite(one).all())) for one in filled.values()]
    anywhere = holders.add(torch.tensor(flags)).tolist()
    return [name for name, flag in zip(filled, anywhere, strict=True) if flag]


def nonfinite_state(model: Any, optimizer: torch.optim.Optimizer, holders: Processes = ALONE) -> list[str]:
    """The trained weights and the optimizer's moments (`<parameter>/<key>`) that are not finite."""
    return nonfinite_in({**trainable(model), **moments(model, optimizer)}, holders)


def examine(session: Session, step: int, result: "StepResult") -> Finding:
    """What is behind a step's result that is not finite. Every process of the run takes part.

    It costs a forward pass for each row of the batch, with the dropout off, and a backward pass where it is the
    gradient; the weights are not touched. Where they are sharded no row is run alone.
    """
    assert result.where
    where: Literal["loss", "gradient", "weights"] = result.where
    holders = session.processes.holders
    spoilt = nonfinite_state(session.model, session.optimizer, holders)
    alone: Sequence[int] = ()
    if not result.is_finite and not session.processes.is_sharded:
        alone = _rows_alone(session, step, gradient=where == "gradient")
    tensors = result.tensors
    if _any(session, bool(spoilt)):
        where, tensors = "weights", tuple(spoilt)
    elif where == "loss":
        tensors = tuple(nonfinite_in(dict(session.model.named_parameters()), holders))
    return Finding(
        step,
        where,
        result.loss,
        result.grad_norm,
        rows_of(session, session.schedule.rows_of_step(step)),
        rows_of(session, alone),
        tensors,
    )


def spoilt_state(session: Session, step: int, tensors: Sequence[str]) -> Finding:
    """The finding that the state after a step holds `tensors` that are not finite."""
    rows = rows_of(session, session.schedule.rows_of_step(step)) if step else ()
    return Finding(step, "weights", math.nan, math.nan, rows, (), tuple(tensors))


def rows_of(session: Session, numbers: Sequence[int]) -> tuple[Row, ...]:
    """Where the rows of these numbers stand in the training file, in its order; replayed text comes last."""
    sources = session.data.train.sources
    own = [place(sources[number]) for number in numbers if number < session.own_rows]
    lines = sorted(one for one in own if isinstance(one, int))
    others = [one for one in own if isinstance(one, str)]
    return (*lines, *others, *(sources[number] for number in numbers if number >= session.own_rows))


def place(source: str) -> Row:
    """The line in a source that is written `file:line`, else the source."""
    line = source.rpartition(":")[2]
    return int(line) if line.isascii() and line.isdecimal() else source


def _rows_alone(session: Session, step: int, *, gradient: bool) -> list[int]:
    """The rows of a step whose loss, or its gradient, is not finite when the row is run alone."""
    data, inner = session.data.train, inner_model(session)
    numbers = session.schedule.rows_of_step(step)
    lengths = {number: len(data[number][0]) for number in numbers}
    supervised = sum(supervised_tokens(data[number][1]) for number in numbers)
    parameters = list(trainable(session.model).values())
    found = torch.zeros(len(numbers), device=session.device)
    with inference(session.model), torch.set_grad_enabled(gradient):
        for number in share_of_process(numbers, lengths, session.processes.index, session.processes.count):
            (one,) = passes_of(data, [number], session.layout, session.device)
            with running(inner, one):
                with session.autocast():
                    loss = summed_loss(inner, one, own_head=session.layout.own_head)
                judged: list[torch.Tensor] = [loss]
                if gradient:
                    scaled = session.scaler.scale(loss / supervised)
                    given = torch.autograd.grad(scaled, parameters, allow_unused=True)
                    judged = [one for one in given if one is not None]
            found[numbers.index(number)] = float(not math.isfinite(float(get_total_norm(judged, math.inf))))
    flags = session.processes.add(found).tolist()
    return [number for number, flag in zip(numbers, flags, strict=True) if flag]


def _any(session: Session, here: bool) -> bool:
    """Whether it is so on any process."""
    return bool(session.processes.add(torch.tensor(float(here), device=session.device)))
