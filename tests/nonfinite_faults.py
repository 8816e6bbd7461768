"""Faults put into a training in this process at a chosen step: numbers that are not finite, of every origin.

Inside `fault_in_training` the trainer's step is the real one with the fault around it. What a fault changes for the
length of a step (a hook, a frozen weight) is undone when the next step begins, so that the search for its rows still
meets it; what it spoils of the trained state stays spoilt.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from finetui_core.train import loop
from finetui_core.train.checkpoint import trainable
from finetui_core.train.nonfinite import Row, rows_of
from finetui_core.train.setup import Session, inner_model
from finetui_core.train.step import StepResult

OVERFLOWING_RATE = 1e39


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong and at which step. With `once` it happens in one attempt only, as a flipped bit does."""

    kind: str
    step: int
    value: float = math.nan
    once: bool = False


@dataclass(slots=True)
class Met:
    """What a fault touched: how often, the rows that give it alone, and the tensor that it was put into."""

    times: int = 0
    rows: tuple[Row, ...] = ()
    tensor: str = ""
    undo: list[Callable[[], None]] = field(default_factory=list)


@contextmanager
def fault_in_training(fault: Fault) -> Iterator[Met]:
    real, met = loop.train_step, Met()

    def undo() -> None:
        while met.undo:
            met.undo.pop()()

    def step_with_fault(session: Session, step: int, rate: float | None = None) -> StepResult:
        undo()
        if step == fault.step and not (fault.once and met.times):
            met.times += 1
            rate = PUT[fault.kind](session, fault, met) or rate
        return real(session, step, rate)

    loop.train_step = step_with_fault
    try:
        yield met
    finally:
        undo()
        loop.train_step = real


def _row_loss(session: Session, fault: Fault, met: Met) -> None:
    """The states of one row of the batch come out of the model as they must not."""
    number = _one_row(session, fault, met)

    def spoil(module: Any, inputs: Any, output: Any) -> None:
        at = _places_of_row(session, number, inputs, output.last_hidden_state)
        output.last_hidden_state = torch.where(at, fault.value, output.last_hidden_state)

    _hook_decoder(session, met, spoil)


def _row_gradient(session: Session, fault: Fault, met: Met) -> None:
    """The gradient of one row of the batch is spoilt on its way back; its loss is not."""
    number = _one_row(session, fault, met)

    def spoil(module: Any, inputs: Any, output: Any) -> None:
        states = output.last_hidden_state
        if states.requires_grad:
            at = _places_of_row(session, number, inputs, states)
            states.register_hook(lambda gradient: torch.where(at, fault.value, gradient))

    _hook_decoder(session, met, spoil)


def _gradient(session: Session, fault: Fault, met: Met) -> None:
    name, parameter = list(trainable(session.model).items())[-1]
    handle = parameter.register_hook(lambda gradient: torch.full_like(gradient, fault.value))
    met.undo.append(handle.remove)
    met.tensor, met.rows = name, rows_of(session, session.schedule.rows_of_step(fault.step))


def _weight(session: Session, fault: Fault, met: Met) -> None:
    name, parameter = next(iter(trainable(session.model).items()))
    _spoil(parameter, fault.value)
    met.tensor = name


def _moment(session: Session, fault: Fault, met: Met) -> None:
    """Adam's first moment: the update carries it into the weight at once."""
    name, parameter = list(trainable(session.model).items())[1]
    _spoil(session.optimizer.state[parameter]["exp_avg"], fault.value)
    met.tensor = name


def _second_moment(session: Session, fault: Fault, met: Met) -> None:
    """Adam's second moment at infinity: its weight never moves again, and stays finite."""
    name, parameter = list(trainable(session.model).items())[1]
    _spoil(session.optimizer.state[parameter]["exp_avg_sq"], math.inf)
    met.tensor = f"{name}/exp_avg_sq"


def _overflow(session: Session, fault: Fault, met: Met) -> float:
    return OVERFLOWING_RATE


def _embedding(session: Session, fault: Fault, met: Met) -> None:
    """The embedding of one token, which some rows of the batch have and, where possible, not all."""
    numbers = session.schedule.rows_of_step(fault.step)
    ids = {number: set(session.data.train[number][0][:-1].tolist()) for number in numbers}
    tokens = sorted(set().union(*ids.values()), key=lambda token: sum(token in one for one in ids.values()))
    token = tokens[0]
    met.rows = rows_of(session, [number for number in numbers if token in ids[number]])
    weight = inner_model(session).get_input_embeddings().weight
    before = weight.detach()[token].clone()
    with torch.no_grad():
        weight[token] = fault.value
    if not weight.requires_grad:

        def mend() -> None:
            weight[token] = before

        met.undo.append(mend)


PUT: dict[str, Callable[[Session, Fault, Met], float | None]] = {
    "row loss": _row_loss,
    "row gradient": _row_gradient,
    "gradient": _gradient,
    "weight": _weight,
    "moment": _moment,
    "second moment": _second_moment,
    "overflow": _overflow,
    "embedding": _embedding,
}
WHERE = {
    "row loss": "loss",
    "row gradient": "gradient",
    "gradient": "gradient",
    "weight": "weights",
    "moment": "weights",
    "second moment": "weights",
    "overflow": "weights",
}
"""What the finding must say; of an embedding "loss" where it is frozen, "weights" where it is trained."""


def _one_row(session: Session, fault: Fault, met: Met) -> int:
    numbers = session.schedule.rows_of_step(fault.step)
    number = numbers[fault.step % len(numbers)]
    met.rows = rows_of(session, [number])
    return number


def _hook_decoder(session: Session, met: Met, hook: Callable[[Any, Any, Any], None]) -> None:
    inner = inner_model(session)
    decoder = getattr(inner, inner.base_model_prefix)

    def with_inputs(module: Any, arguments: Any, keywords: Any, output: Any) -> None:
        hook(module, keywords["input_ids"], output)

    met.undo.append(decoder.register_forward_hook(with_inputs, with_kwargs=True).remove)


def _places_of_row(
    session: Session, number: int, input_ids: torch.Tensor, states: torch.Tensor
) -> torch.Tensor:
    """True where the loss of the row reads `states` (sequences, tokens, width), as a mask that fits them."""
    ids, supervised = session.data.train[number]
    row = ids[: np.flatnonzero(supervised)[-1]].astype(np.int64)
    mask = torch.zeros(input_ids.shape, dtype=torch.bool)
    for line, ids in enumerate(input_ids.numpy()):
        windows = np.lib.stride_tricks.sliding_window_view(ids, len(row)) if len(ids) >= len(row) else []
        for start in np.flatnonzero([bool((window == row).all()) for window in windows]):
            mask[line, start : start + len(row)] = True
    return mask[..., None].expand_as(states)


def _spoil(tensor: torch.Tensor, value: float) -> None:
    with torch.no_grad():
        tensor.view(-1)[tensor.numel() // 2] = value
