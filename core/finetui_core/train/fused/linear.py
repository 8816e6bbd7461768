"""Linear layers without an adapter, by the faster library: trained ones, and frozen ones such as the head."""

from functools import partial
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from finetui_core.train.fused.products import linear, uses_onednn


class Product(torch.autograd.Function):
    """`x @ weight.T + bias`, and its gradients for whatever of the three is trained."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """(rows, inputs) and (outputs, inputs) give (rows, outputs)."""
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        return linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = upstream
        x, weight = ctx.saved_tensors
        of_x = linear(gradient, weight.t()) if ctx.needs_input_grad[0] else None
        of_weight = linear(gradient.t(), x.t()) if ctx.needs_input_grad[1] else None
        of_bias = gradient.sum(0) if ctx.needs_input_grad[2] else None
        return of_x, of_weight, of_bias


def fuse_linears(model: torch.nn.Module) -> int:
    """Run the linear layers in `model` that have no adapter by oneDNN where that is faster; returns how many."""
    from peft.tuners.lora import LoraLayer

    if not uses_onednn():
        return 0
    fused = 0
    adapted = {
        id(part) for layer in model.modules() if isinstance(layer, LoraLayer) for part in layer.modules()
    }
    for module in model.modules():
        if type(module) in (torch.nn.Linear, Conv1D) and id(module) not in adapted:
            module.forward = partial(linear_forward, module)
            fused += 1
    return fused


def linear_forward(module: Any, x: torch.Tensor) -> torch.Tensor:
    """The forward pass of a linear layer; types other than float32, and autocast, keep the library's own."""
    weight = module.weight
    if x.dtype != torch.float32 or weight.dtype != torch.float32 or torch.is_autocast_enabled(x.device.type):
        original: torch.Tensor = type(module).forward(module, x)
        return original
    weight = weight.t() if isinstance(module, Conv1D) else weight
    output: torch.Tensor = Product.apply(x.reshape(-1, x.shape[-1]), weight, module.bias)
    return output.view(*x.shape[:-1], output.shape[-1])
