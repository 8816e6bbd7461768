"""A linear layer with its adapter as one operation: `x W.T + bias + scale * dropout(x) A.T B.T`.

The adapter's part is added in place, and only `x` and `x A.T` are kept for the backward pass. peft's own forward
makes five temporaries of the size of the output, and with dropout two of the size of the input.
Hu et al., LoRA, https://arxiv.org/abs/2106.09685
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from finetui_core.preflight.activations import MOST_FUSED_DROPOUT
from finetui_core.train.fused.dropout import add_elsewhere, with_zeros
from finetui_core.train.fused.products import linear

Draw = Callable[[torch.Tensor, float], torch.Tensor]


class AdaptedLinear(torch.autograd.Function):
    """The frozen layer and its adapter. All matrices have one type; `weight` is (outputs, inputs)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scale: float,
        zeros: torch.Tensor | None,
    ) -> torch.Tensor:
        """(rows, inputs) gives (rows, outputs); `down` is (rank, inputs), `up` is (outputs, rank)."""
        small = (x if zeros is None else with_zeros(x, zeros)) @ down.t()
        output = linear(x, weight, bias).addmm_(small, up.t(), alpha=scale)
        ctx.save_for_backward(x, small, weight, down, up, zeros)
        ctx.scale = scale
        return output

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = upstream
        x, small, weight, down, up, zeros = ctx.saved_tensors
        scale: float = ctx.scale
        of_small = gradient @ up
        of_up = (small.t() @ gradient).t().mul(scale)
        of_down = (of_small.t() @ (x if zeros is None else with_zeros(x, zeros))).mul_(scale)
        if not ctx.needs_input_grad[0]:
            of_x = None
        elif zeros is not None:
            of_x = add_elsewhere(linear(gradient, weight.t()), of_small, down, zeros, scale)
        else:
            of_x = linear(gradient, weight.t()).addmm_(of_small, down, alpha=scale)
        return of_x, None, None, of_down, of_up, None, None


def fuse_adapters(model: torch.nn.Module, draw: Draw) -> int:
    """Run the plain adapters of peft in `model` as one operation each; returns how many.

    `draw` chooses the zeros of their dropout. Names, weights and files stay as they are. What peft computes in
    another way, such as DoRA or a quantised base, keeps its own forward, as do all adapters while they are
    disabled, merged or more than one.
    """
    from peft.tuners.lora import Linear

    fused = 0
    for module in model.modules():
        if type(module) is Linear and _is_plain(module):
            module.forward = partial(adapted_forward, module, draw)
            fused += 1
    return fused


def _is_plain(module: Any) -> bool:
    base = module.base_layer
    if type(base) not in (torch.nn.Linear, Conv1D) or "forward" in base.__dict__ or len(module.lora_A) != 1:
        return False
    (name,) = module.lora_A
    parts = (base, module.lora_A[name], module.lora_B[name])
    return (
        not module.lora_variant
        and not module.lora_bias[name]
        and _dropout_share(module.lora_dropout[name]) is not None
        and not any(part._forward_hooks or part._forward_pre_hooks for part in parts)
        and not any(parameter.requires_grad for parameter in base.parameters())
    )


def _dropout_share(dropout: torch.nn.Module) -> float | None:
    """The share that a module of peft zeroes, or None where it is not for this form."""
    if isinstance(dropout, torch.nn.Identity):
        return 0.0
    if type(dropout) is torch.nn.Dropout and 0 <= dropout.p <= MOST_FUSED_DROPOUT:
        return float(dropout.p)
    return None


def adapted_forward(module: Any, draw: Draw, x: torch.Tensor, *arguments: Any, **named: Any) -> torch.Tensor:
    """The forward pass of one of peft's linear layers, in the type that it would compute in."""
    base = module.base_layer
    name = _single_adapter(module)
    dtype = _dtype_of(module, name, x)
    if arguments or named or name is None or dtype is None:
        original: torch.Tensor = type(module).forward(module, x, *arguments, **named)
        return original
    dropout = module.lora_dropout[name]
    share = dropout.p if module.training and isinstance(dropout, torch.nn.Dropout) else 0.0
    rows = x.reshape(-1, x.shape[-1]).to(dtype)
    zeros = draw(rows, share) if share else None
    output: torch.Tensor = AdaptedLinear.apply(
        rows,
        _as_linear(base).to(dtype),
        None if base.bias is None else base.bias.to(dtype),
        module.lora_A[name].weight.to(dtype),
        module.lora_B[name].weight.to(dtype),
        module.scaling[name] / (1 - share),
        zeros,
    )
    return output.view(*x.shape[:-1], output.shape[-1])


def _single_adapter(module: Any) -> str | None:
    """The adapter to compute with, if it is one and neither disabled nor merged."""
    if module.disable_adapters or module.merged or len(module.lora_A) != 1:
        return None
    (name,) = module.lora_A
    return name if list(module.active_adapters) == [name] else None


def _dtype_of(module: Any, name: str | None, x: torch.Tensor) -> torch.dtype | None:
    """The type that the layer and its adapter compute in, or None where they have not the same."""
    if torch.is_autocast_enabled(x.device.type):
        return torch.get_autocast_dtype(x.device.type)
    same = name is not None and x.dtype == module.base_layer.weight.dtype == module.lora_A[name].weight.dtype
    return x.dtype if same else None


def _as_linear(base: Any) -> torch.Tensor:
    """The weight as (outputs, inputs); GPT-2's layers have it the other way round."""
    weight: torch.Tensor = base.weight.t() if isinstance(base, Conv1D) else base.weight
    return weight
