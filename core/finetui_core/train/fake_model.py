"""The model of a run with sizes and types but no numbers: the real classes, adapters and all, on fake tensors."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModelForCausalLM

from finetui_core.errors import InputError, Problem, first_line
from finetui_core.recipe.options import Recipe
from finetui_core.train.live_memory import LiveMemory
from finetui_core.train.model import DTYPES, add_adapters

_NOT_FOR_BUILDING = (
    "auto_map",
    "quantization_config",
    "architectures",
    "_name_or_path",
    "transformers_version",
)
_CANNOT_BUILD = (
    *(
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        RuntimeError,
        ImportError,
        ArithmeticError,
    ),
    *(AssertionError, StrictDataclassError),
)
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")


def build(config: Mapping[str, Any], recipe: Recipe, dtype: str, layers: int) -> Any:
    """The model on the meta device with `layers` decoder layers, wrapped as `train.model` would.

    Raises InputError where transformers cannot build it.
    """
    full = recipe.train.method == "full"
    try:
        model_config = _with_layers(config, layers)
        if recipe.model.attn_implementation == "eager":
            model_config._attn_implementation = "eager"
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(
                model_config, dtype=torch.float32 if full else DTYPES[dtype]
            )
    except _CANNOT_BUILD as error:
        name = str(config.get("model_type"))
        raise InputError(
            Problem(f"the model of type {name[:64]} cannot be built: {first_line(error)}")
        ) from error
    if recipe.train.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if full:
        return model
    quantized = recipe.model.quantize
    if quantized != "none":
        setattr(model, "is_loaded_in_4bit" if quantized == "nf4" else "is_loaded_in_8bit", True)
    try:
        return add_adapters(model, recipe)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise InputError(Problem(f"peft cannot add these adapters: {first_line(error)[:200]}")) from error


def has_kinds_of_layers(config: Mapping[str, Any]) -> bool:
    """Whether a model's decoder layers are not all alike, such as those whose attention slides every other time."""
    kinds = getattr(_with_layers(config, 4).get_text_config(), "layer_types", None)
    return kinds is not None and len(set(kinds)) > 1


def _with_layers(config: Mapping[str, Any], layers: int) -> Any:
    values = {key: value for key, value in config.items() if key not in _NOT_FOR_BUILDING}
    nested = values.get("text_config")
    if isinstance(nested, dict):
        values["text_config"] = _cut(nested, layers)
    return AutoConfig.for_model(**_cut(values, layers))


def _cut(config: Mapping[str, Any], layers: int) -> dict[str, Any]:
    """The same configuration with fewer layers."""
    values = copy.deepcopy(dict(config))
    for name in _LAYERS:
        if name in values:
            values[name] = layers
    for name, value in values.items():
        if name in ("layer_types", "mlp_layer_types", "no_rope_layers") and isinstance(value, list):
            values[name] = value[:layers]
    return values


def make_fake(model: Any, memory: LiveMemory) -> None:
    """Give every meta parameter and buffer of `model` a fake tensor on the processor, counted by its kind.

    Call it inside a FakeTensorMode. Weights tied to each other stay tied.
    """
    made: dict[int, torch.nn.Parameter] = {}
    adapted = hasattr(model, "get_base_model")
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            if id(parameter) not in made:
                made[id(parameter)] = torch.nn.Parameter(
                    _empty(parameter), requires_grad=parameter.requires_grad
                )
                kind = "adapter" if adapted and parameter.requires_grad else "weights"
                memory.hold(made[id(parameter)], kind)
            module._parameters[name] = made[id(parameter)]
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = _empty(buffer)
                memory.hold(module._buffers[name], "weights")


def _empty(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
