"""What a checkpoint holds: all that a bitwise equal continuation needs, in safetensors and JSON.

Row order, learning rate and random numbers are functions of the seed and the step, so the weights, the
optimizer's moments and a few counters are the whole state.
"""

import json
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor

from finetui_core.runs.checkpoints import STAGING, Files
from finetui_core.runs.manifest import Buffer
from finetui_core.train.shards import part_for, put
from finetui_core.train.tensor_file import Fetch, content

STATE = "trainer_state.json"
OPTIMIZER = "optimizer.safetensors"
ADAPTER = "adapter_model.safetensors"
WEIGHTS = "model.safetensors"
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


def configuration(model: Any, tokenizer: Any, beside: Path) -> dict[str, bytes]:
    """What stands in a checkpoint beside the tensors and is the same in all of a run: configuration and tokenizer.

    The libraries only write files: they do it once, in a hidden folder below `beside`. Raises OSError.
    """
    beside.mkdir(mode=0o700, parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f"{STAGING}configuration-", dir=beside) as name:
        folder = Path(name)
        if hasattr(model, "get_base_model"):
            _adapter_config(model).save_pretrained(folder)
        else:
            model.save_pretrained(folder, state_dict={})
            (folder / WEIGHTS).unlink(missing_ok=True)
        tokenizer.save_pretrained(folder)
        return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(_files_in(folder))}


def _files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _adapter_config(model: Any) -> Any:
    """As peft saves it. Sets become sorted lists: their order is another one in each process."""
    config = copy(model.peft_config["default"])
    config.inference_mode = True
    for name, value in vars(config).items():
        if isinstance(value, set):
            setattr(config, name, sorted(value))
    return config


def state_files(
    configuration: Mapping[str, bytes],
    model: Any,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    progress: Progress,
    fetch: Fetch = lambda name, tensor: tensor,
) -> Files:
    """The files of a checkpoint: the adapter (or the full model), the tokenizer and the training state.

    peft and transformers load the result as it is. The contents can be gone through once; `fetch` is that of
    `tensor_file.content`.
    """
    files: dict[str, Iterable[Buffer]] = {name: [written] for name, written in configuration.items()}
    if hasattr(model, "get_base_model"):
        files[ADAPTER] = content(_adapter(model), fetch)
    else:
        files[WEIGHTS] = content(_weights(model), fetch)
    files[OPTIMIZER] = content(moments(model, optimizer), fetch)
    if scaler.is_enabled():
        files[SCALER] = [json.dumps(scaler.state_dict()).encode()]
    files[STATE] = [json.dumps(asdict(progress), indent=1).encode()]
    return files


def saved_tensors(model: Any, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint, by the names that they have in its files."""
    weights = _adapter(model) if hasattr(model, "get_base_model") else _weights(model)
    return {**weights, **moments(model, optimizer)}


def _adapter(model: Any) -> dict[str, torch.Tensor]:
    from peft import get_peft_model_state_dict

    return dict(get_peft_model_state_dict(model, save_embedding_layers=False))


def _weights(model: Any) -> dict[str, torch.Tensor]:
    """The model's tensors by the names that its files on the hub have, tied ones once."""
    from transformers.core_model_loading import revert_weight_conversion
    from transformers.modeling_utils import remove_tied_weights_from_state_dict

    ignored = set(model._keys_to_ignore_on_save or ())
    tensors = {name: value for name, value in model.state_dict().items() if name not in ignored}
    return dict(revert_weight_conversion(model, remove_tied_weights_from_state_dict(tensors, model)))


def moments(model: Any, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's state as flat tensors, named `<parameter>/<key>`."""
    return {
        f"{name}/{key}": value.detach()
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
                key: value if key == "step" and not _step_on_device(optimizer) else _held(parameter, value)
                for key, value in state.items()
            }
    if scaler.is_enabled():
        scaler.load_state_dict(json.loads((folder / SCALER).read_text()))


def _held(parameter: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """A moment as the optimizer holds it: in parts where the parameter is, but for a counter."""
    return part_for(parameter, value) if value.ndim else value.to(parameter.device)


def read_adapter(folder: Path, model: Any) -> None:
    """Put a checkpoint's adapter into a model that has one."""
    if not hasattr(model, "get_base_model"):
        return
    saved = load_file(folder / ADAPTER)
    if any(isinstance(one, DTensor) for one in model.parameters()):
        for name, tensor in _adapter(model).items():
            put(tensor, saved[name])
        return
    from peft import set_peft_model_state_dict

    set_peft_model_state_dict(model, saved)


def _step_on_device(optimizer: torch.optim.Optimizer) -> bool:
    """torch keeps Adam's step counter beside the parameters only in its fused form."""
    return bool(optimizer.param_groups[0].get("fused"))
