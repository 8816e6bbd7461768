"""What a checkpoint holds: all that a bitwise equal continuation needs, in safetensors and JSON.

Row order, learning rate and random numbers are functions of the seed and the step, so the weights, the
optimizer's moments and a few counters are the whole state.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

STATE = "trainer_state.json"
OPTIMIZER = "optimizer.safetensors"
ADAPTER = "adapter_model.safetensors"
SCALER = "scaler.json"


@dataclass(frozen=True, slots=True)
class Progress:
    """The counters of a run: what has been done and what was best so far.

    `skipped` are the steps whose update was or will be left out because something in them was not finite, and
    `rollbacks` counts how often the run went back to a checkpoint for that.
    """

    step: int = 0
    best_eval_loss: float | None = None
    best_step: int | None = None
    evaluations_without_improvement: int = 0
    skipped: tuple[int, ...] = ()
    rollbacks: int = 0


def trainable(model: Any) -> dict[str, torch.nn.Parameter]:
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def write_state(
    folder: Path,
    model: Any,
    tokenizer: Any,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    progress: Progress,
) -> None:
    """Fill `folder` with the adapter (or the full model), the tokenizer and the training state.

    peft and transformers load the result as it is. Raises OSError where the disk refuses it.
    """
    try:
        _write_state(folder, model, tokenizer, optimizer, scaler, progress)
    except SafetensorError as error:  # what safetensors makes of a full disk
        raise OSError(str(error)) from error


def _write_state(
    folder: Path,
    model: Any,
    tokenizer: Any,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    progress: Progress,
) -> None:
    if hasattr(model, "get_base_model"):
        model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)
    else:
        model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    save_file(moments(model, optimizer), folder / OPTIMIZER)
    if scaler.is_enabled():
        (folder / SCALER).write_text(json.dumps(scaler.state_dict()))
    (folder / STATE).write_text(json.dumps(asdict(progress), indent=1))


def moments(model: Any, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's state as flat tensors, named `<parameter>/<key>`."""
    return {
        f"{name}/{key}": value.detach().contiguous()
        for name, parameter in trainable(model).items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def read_progress(folder: Path) -> Progress:
    fields = json.loads((folder / STATE).read_text())
    return Progress(**{**fields, "skipped": tuple(fields.get("skipped", ()))})


def read_state(
    folder: Path, model: Any, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler
) -> None:
    """Put a checkpoint's adapter and optimizer state into a model and optimizer just built.

    A full checkpoint's weights are loaded with the model itself (see `model.load_model`).
    """
    read_adapter(folder, model)
    saved = load_file(folder / OPTIMIZER)
    for name, parameter in trainable(model).items():
        prefix = f"{name}/"
        state = {key.removeprefix(prefix): saved[key] for key in saved if key.startswith(prefix)}
        if state:
            optimizer.state[parameter] = {
                key: value if key == "step" and not _step_on_device(optimizer) else value.to(parameter.device)
                for key, value in state.items()
            }
    if scaler.is_enabled():
        scaler.load_state_dict(json.loads((folder / SCALER).read_text()))


def read_adapter(folder: Path, model: Any) -> None:
    """Put a checkpoint's adapter into a model that has one."""
    if hasattr(model, "get_base_model"):
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(model, load_file(folder / ADAPTER))


def _step_on_device(optimizer: torch.optim.Optimizer) -> bool:
    """torch keeps Adam's step counter beside the parameters only in its fused form."""
    return bool(optimizer.param_groups[0].get("fused"))
