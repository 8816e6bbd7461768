"""Linear layers in 8 or 4 bits, as bitsandbytes holds and runs them, as far as memory goes. It runs on CUDA alone."""

from typing import Any

import torch
import torch.nn.functional as F
from transformers.pytorch_utils import Conv1D

from finetui_core.preflight.formula import NF4_BYTES
from finetui_core.train.live_memory import LiveMemory
from finetui_core.train.model import linear_module_names


def quantize(model: Any, kind: str, dtype: torch.dtype, memory: LiveMemory) -> None:
    """Count the weights of all linear layers but the head in few bits, and run them as bitsandbytes would.

    The weights keep their shape; what is cast for each use is made, counted and freed as it would be.
    """
    from peft.tuners.lora import LoraLayer

    under_autocast = dtype != torch.float32
    for module in model.modules():
        if isinstance(module, LoraLayer) and under_autocast:
            module.cast_input_dtype_enabled = False
    make = _four_bit(dtype) if kind == "nf4" else _eight_bit()
    for name in linear_module_names(model):
        if ".lora_" in name:
            continue
        module = model.get_submodule(name)
        if not isinstance(module, torch.nn.Linear | Conv1D):
            continue
        weight = module.weight
        outputs = weight.shape[1] if isinstance(module, Conv1D) else weight.shape[0]
        size = int(weight.numel() * NF4_BYTES) if kind == "nf4" else weight.numel() + 4 * outputs
        memory.hold(weight, "weights", size)
        module.forward = make(module)


def _as_linear(module: Any) -> torch.Tensor:
    """The weight as (outputs, inputs); GPT-2's layers have it the other way round."""
    weight: torch.Tensor = module.weight
    return weight.t() if isinstance(module, Conv1D) else weight


def _four_bit(dtype: torch.dtype) -> Any:
    def make(module: Any) -> Any:
        def forward(x: torch.Tensor) -> torch.Tensor:
            product = _FourBits.apply(x.to(dtype), _as_linear(module), module.bias)
            return product.to(x.dtype).clone()

        return forward

    return make


def _eight_bit() -> Any:
    def make(module: Any) -> Any:
        return lambda x: _EightBits.apply(x, _as_linear(module), module.bias)

    return make


class _FourBits(torch.autograd.Function):
    """A product with a weight that exists in full only while it is used."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: Any) -> torch.Tensor:
        ctx.weight = weight
        return F.linear(x, weight.to(x.dtype, copy=True), bias)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = upstream
        return gradient @ ctx.weight.to(gradient.dtype, copy=True), None, None


class _EightBits(torch.autograd.Function):
    """A product of 8-bit numbers, added up in 32 bits; the input is kept as it was."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: Any) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.weight = weight
        half = x.to(torch.float16)
        rounded = half.to(torch.int8)
        shape = (*x.shape[:-1], weight.shape[0])
        added = torch.empty(shape, dtype=torch.int32)
        del half, rounded
        product = added.to(torch.float16)
        del added
        return product.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = upstream
        _ = ctx.saved_tensors
        return gradient @ ctx.weight.to(gradient.dtype, copy=True), None, None
