"""The base model and its adapters."""

import importlib.util
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from finetui_core.data.model_files import check_model_files
from finetui_core.data.model_source import cannot_load, model_folder
from finetui_core.errors import InputError, Problem
from finetui_core.recipe.defaults import adapts_experts
from finetui_core.recipe.options import Recipe
from finetui_core.recipe.remote_code import may_run_code

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def best_device() -> torch.device:
    """The GPU that this process would train on, NVIDIA's or Apple's, else the processor."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def compute_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 on a GPU that computes in it, float32 elsewhere (exact, and faster on most CPUs)."""
    if wanted != "auto":
        return DTYPES[wanted]
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float32


def load_model(recipe: Recipe, device: torch.device, dtype: torch.dtype, weights: Path | None) -> Any:
    """The causal language model on `device`, from its own weights or from a full checkpoint in `weights`.

    Full fine-tuning holds float32 weights and computes in `dtype`, since updates near 1e-5 vanish in
    bfloat16's 8 bits; a frozen base is held in `dtype`. Raises InputError if it cannot be loaded.
    """
    options = recipe.model
    trusted = may_run_code(options)
    if weights is None:
        source = model_folder(options, with_weights=True)
    else:
        source = weights
        check_model_files(source, with_weights=True, may_run_code=trusted)
    arguments: dict[str, Any] = {
        "dtype": torch.float32 if recipe.train.method == "full" else dtype,
        "trust_remote_code": trusted,
        "use_safetensors": True,
        "local_files_only": True,
    }
    if options.attn_implementation != "auto":
        arguments["attn_implementation"] = options.attn_implementation
    if options.quantize != "none":
        arguments |= {
            "quantization_config": _quantization(options.quantize, dtype, device),
            "device_map": {"": device},
        }
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(source, **arguments)
    except Exception as error:  # a made-up file brings up any of them
        raise InputError(cannot_load(str(weights or options.name), error)) from error
    if weights is None:
        model.name_or_path = model.config._name_or_path = options.name  # which peft writes beside an adapter
    if options.quantize == "none":
        model.to(device)
    if recipe.train.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model


def _quantization(kind: str, dtype: torch.dtype, device: torch.device) -> Any:
    """Settings for bitsandbytes. Off a CUDA device its 4-bit layers give no gradient, without an error."""
    problems = []
    if importlib.util.find_spec("bitsandbytes") is None:
        problems.append(
            Problem(
                f'model.quantize = "{kind}" needs the package bitsandbytes, which is not installed',
                hint="Install it with: pip install 'finetui[train,quant]', or use train.method = \"lora\".",
            )
        )
    if device.type != "cuda":
        problems.append(
            Problem(
                f'model.quantize = "{kind}" needs an NVIDIA GPU to train on, and this run is on {device.type}',
                hint='Use train.method = "lora" with model.quantize = "none".',
            )
        )
    if problems:
        raise InputError(problems)
    from transformers import BitsAndBytesConfig

    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def linear_module_names(model: Any) -> list[str]:
    """Full names of the layers that an adapter can stand beside: all linear ones but the vocabulary head."""
    head = model.get_output_embeddings()
    return [
        name
        for name, module in model.named_modules()
        if module is not head and (isinstance(module, torch.nn.Linear | Conv1D) or _is_quantized(module))
    ]


def _is_quantized(module: torch.nn.Module) -> bool:
    return type(module).__name__ in ("Linear4bit", "Linear8bitLt")


def add_adapters(model: Any, recipe: Recipe) -> Any:
    """Wrap `model` by peft's LoRA. Raises InputError naming the layers it has if `target_modules` match none.

    The adapter's weights are float32 whatever the base is (peft's own default), as its updates are small.
    """
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    lora = recipe.lora
    _check_targets(model, recipe)
    if recipe.model.quantize != "none":
        model = prepare_model_for_kbit_training(
            model,
            use_gradient_checkpointing=recipe.train.gradient_checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": False},
        )
    elif recipe.train.gradient_checkpointing:
        model.enable_input_require_grads()
    targets = lora.target_modules
    first = next(iter(linear_module_names(model)))
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        use_rslora=lora.use_rslora,
        use_dora=lora.use_dora,
        modules_to_save=list(lora.modules_to_save) or None,
        fan_in_fan_out=isinstance(model.get_submodule(first), Conv1D),
    )
    return get_peft_model(model, config)


def _check_targets(model: Any, recipe: Recipe) -> None:
    lora = recipe.lora
    names = linear_module_names(model)
    leaves = sorted({name.rpartition(".")[2] for name in names})
    problems = []
    if lora.target_modules != "all-linear":
        missing = [
            target
            for target in lora.target_modules
            if not any(name == target or name.endswith(f".{target}") for name in names)
        ]
        if missing:
            problems.append(
                Problem(
                    f"lora.target_modules names {_listed(missing)}, which this {model.config.model_type} model "
                    "does not have",
                    hint=f'It has {_listed(leaves)}. Name those, or use target_modules = "all-linear".',
                )
            )
    modules = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    unknown = [name for name in lora.modules_to_save if name not in modules]
    if unknown:
        problems.append(
            Problem(
                f"lora.modules_to_save names {_listed(unknown)}, which this model does not have",
                hint="Name modules such as its input embedding or its head, or leave the list empty.",
            )
        )
    problems += _refused_on_experts(model, recipe)
    if problems:
        raise InputError(problems)


def _refused_on_experts(model: Any, recipe: Recipe) -> list[Problem]:
    """What peft would refuse with an error of its own."""
    if not adapts_experts(recipe, model.config.model_type):
        return []
    asked = [f"lora.lora_dropout is {recipe.lora.lora_dropout}"] if recipe.lora.lora_dropout else []
    asked += ["lora.use_dora is true"] if recipe.lora.use_dora else []
    where = f"which adapters on the experts of this {model.config.model_type} model cannot have"
    hint = "Leave it out, or name the layers of the attention as lora.target_modules."
    return [Problem(f"{one}, {where}", hint=hint) for one in asked]


def matched_modules(model: Any) -> dict[str, int]:
    """Which layers carry an adapter: leaf name → how many of them."""
    from peft.tuners.lora import LoraLayer

    counts: dict[str, int] = {}
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            leaf = name.rpartition(".")[2]
            counts[leaf] = counts.get(leaf, 0) + 1
    return counts


def causal_model(model: Any) -> Any:
    """The transformers model inside, whether or not peft wraps it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _listed(names: list[str]) -> str:
    return ", ".join(names)
