"""Put the fused forms into a model, after its adapters, and take them out again where they prove wrong."""

from collections.abc import Callable

import torch

from finetui_core.train.fused.dropout import draw_zeros
from finetui_core.train.fused.last_layer import narrow_forward, narrow_last_layer
from finetui_core.train.fused.linear import fuse_linears, linear_forward
from finetui_core.train.fused.lora import adapted_forward, fuse_adapters
from finetui_core.train.fused.norm import fuse_norms, norm_forward
from finetui_core.train.model import causal_model

_FORMS = (adapted_forward, linear_forward, norm_forward, narrow_forward)


def fuse(model: torch.nn.Module, draw: Callable[[torch.Tensor, float], torch.Tensor] = draw_zeros) -> str:
    """Run what is known in `model` in fewer passes; a note names what keeps its own form, "" where nothing does.

    Only forward methods of single modules are set: parameters, their names and all files stay as they are. `draw` is
    what chooses the zeros of the adapters' dropout.
    """
    fuse_adapters(model, draw)
    fuse_linears(model)
    notes = fuse_norms(model)
    narrow_last_layer(causal_model(model))
    return "; ".join(notes)


def unfuse(model: torch.nn.Module) -> None:
    """Give every module of `model` its own forward method back."""
    for module in model.modules():
        if getattr(module.__dict__.get("forward"), "func", None) in _FORMS:
            del module.forward
