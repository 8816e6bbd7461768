"""The MLP of the last layer, only at the positions that the loss reads: nothing reads what it makes elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

_STACKS = ("layers", "h")  # what transformers' decoders call their layers


def narrow_last_layer(model: Any) -> bool:
    """Let the last MLP of a causal `model` leave out what no loss reads, inside `only_at`; returns whether it can.

    It can where the MLP treats each position by itself, which is tried on made-up numbers.
    """
    mlp = _last_mlp(model)
    if mlp is None or not _treats_positions_alone(mlp, model.config.get_text_config().hidden_size):
        return False
    mlp.read_positions = None
    mlp.forward = partial(narrow_forward, mlp)
    return True


def narrow_forward(module: Any, hidden: torch.Tensor) -> torch.Tensor:
    """(sequences, tokens, width) gives the same; zeros where the result is not read."""
    positions = module.read_positions
    if positions is None:
        whole: torch.Tensor = type(module).forward(module, hidden)
        return whole
    rows = hidden.reshape(-1, hidden.shape[-1])
    made = type(module).forward(module, rows.index_select(0, positions)[None])[0]
    return made.new_zeros(rows.shape).index_copy(0, positions, made).view(hidden.shape)


@contextmanager
def only_at(model: Any, positions: torch.Tensor) -> Iterator[None]:
    """Inside the block nothing but the flat `positions` of the last layer is read, here or in the backward pass."""
    mlp = _last_mlp(model)
    if mlp is None or not _is_narrow(mlp):
        yield
        return
    mlp.read_positions = positions
    try:
        yield
    finally:
        mlp.read_positions = None


def _is_narrow(mlp: torch.nn.Module) -> bool:
    return getattr(mlp.__dict__.get("forward"), "func", None) is narrow_forward


def _last_mlp(model: Any) -> torch.nn.Module | None:
    decoder = getattr(model, getattr(model, "base_model_prefix", ""), None)
    for name in _STACKS:
        stack = getattr(decoder, name, None)
        if isinstance(stack, torch.nn.ModuleList) and len(stack):
            mlp = getattr(stack[-1], "mlp", None)
            return mlp if isinstance(mlp, torch.nn.Module) else None
    return None


@torch.no_grad()
def _treats_positions_alone(mlp: torch.nn.Module, width: int) -> bool:
    weight = next(mlp.parameters(), None)
    if weight is None or weight.is_meta:
        return weight is not None  # a model without numbers is asked for its sizes alone
    dtype = weight.dtype if weight.is_floating_point() else torch.float32
    hidden = torch.randn(1, 6, width, generator=torch.Generator().manual_seed(0)).to(weight.device, dtype)
    was_training = mlp.training
    mlp.eval()
    try:
        together, alone = mlp(hidden), mlp(hidden[:, 1::2])
        difference = (together[:, 1::2].float() - alone.float()).abs().max()
        allowed = 1e-5 if dtype == torch.float32 else 2e-2
        return together.shape == hidden.shape and bool(difference <= allowed * alone.float().abs().max())
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError):
        return False
    finally:
        mlp.train(was_training)
