"""Weights, gradients and optimizer state in parts, one on each process: torch's fully_shard (FSDP2).

A process holds a 1/n part of every tensor. The whole of a layer is put together while it computes, and is dropped
after it. So all processes run the same number of passes, one after the other, whoever has rows for them.
https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from finetui_core.train.model import causal_model
from finetui_core.train.tensor_file import Fetch

Add = Callable[[torch.Tensor], torch.Tensor]


class Whole(torch.nn.Module):
    """Runs a function of the model as its own forward pass: what is outside of the layers is whole meanwhile."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named)


def shard(model: Any, device: torch.device, count: int) -> Callable[..., Any]:
    """Leave on this process its part of every weight, on `device`, and return what runs the model from now on.

    The weights may lie elsewhere before; no more than one layer is moved to the device at a time, and what is outside
    of the layers. Gradients are added up over the processes, not averaged.
    """
    mesh = init_device_mesh(device.type, (count,))
    whole = Whole(model)
    kinds = set(causal_model(model)._no_split_modules or ())
    layers = [module for module in model.modules() if type(module).__name__ in kinds]
    for module in (*layers, whole):
        part: Any = fully_shard(module, mesh=mesh, reshard_after_forward=True)
        assert isinstance(part, FSDPModule)
        part.set_gradient_divide_factor(1.0)
        part.set_force_sum_reduction_for_comms(True)  # gloo has no other
        part.set_reduce_scatter_unused_params(True)

    def run(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        try:
            return whole(function, *arguments, **named)
        except BaseException:
            part.reset_iter_state()  # the model may be tried in another way
            raise

    return run


def own_part(tensor: torch.Tensor) -> torch.Tensor:
    """What this process holds of a tensor, in the same memory: all of one that is not sharded."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def part_for(parameter: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """A whole tensor as `parameter` is held: its part on this process, and on the same device. Nothing is sent."""
    if not isinstance(parameter, DTensor):
        return whole.to(parameter.device)
    mesh, placements = parameter.device_mesh, parameter.placements
    return distribute_tensor(whole.to(parameter.device), mesh, placements, src_data_rank=None)


@torch.no_grad()
def put(parameter: torch.Tensor, whole: torch.Tensor) -> None:
    """Overwrite a tensor, or this process's part of it, by a whole one."""
    own_part(parameter).copy_(own_part(part_for(parameter, whole)))


def squared_norm(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """The sum of the squares of what this process holds of the tensors, in float64: those of all processes add up."""
    total = torch.zeros((), dtype=torch.float64, device=tensors[0].device if tensors else None)
    for tensor in tensors:
        total += torch.linalg.vector_norm(own_part(tensor), dtype=torch.float64).square()
    return total


@contextmanager
def gathering(tensors: Mapping[str, torch.Tensor], add: Add) -> Iterator[Fetch]:
    """On process 0: puts one tensor after the other together, as often and in whichever order it asks for them.

    The other processes are in `gather_along` with the same tensors until this block is left, however that is.
    """
    numbers = {name: number for number, name in enumerate(_in_parts(tensors), start=1)}

    def fetch(name: str, tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, DTensor):
            return tensor
        add(torch.tensor(numbers[name]))
        return tensor.full_tensor()

    try:
        yield fetch
    finally:
        add(torch.tensor(0))


def gather_along(tensors: Mapping[str, torch.Tensor], add: Add) -> None:
    """On the other processes: give their parts of what process 0 asks for, until it has all."""
    parts = list(_in_parts(tensors).values())
    while number := int(add(torch.tensor(0))):
        parts[number - 1].full_tensor()


def _in_parts(tensors: Mapping[str, torch.Tensor]) -> dict[str, DTensor]:
    return {name: tensor for name, tensor in sorted(tensors.items()) if isinstance(tensor, DTensor)}
