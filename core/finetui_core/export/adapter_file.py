"""An adapter's tensors and settings as a checkpoint holds them, in peft's own format."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from finetui_core.data.model_files import read_json
from finetui_core.errors import InputError, Problem
from finetui_core.train.checkpoint import ADAPTER

CONFIG = "adapter_config.json"
_PREFIX = "base_model.model."
_UNMERGEABLE = (
    "rank_pattern",
    "alpha_pattern",
    "lora_bias",
    "trainable_token_indices",
    "target_parameters",
    "layer_replication",
)
_WAY_OUT = "Export the adapter (--to adapter): peft itself applies it to its base."


@dataclass(frozen=True, slots=True)
class Pair:
    """The keys of what adapts one layer: `b` @ `a` is added to its weight; with `magnitude` (DoRA) each output is
    brought to that length."""

    a: str
    b: str
    magnitude: str | None


@dataclass(frozen=True, slots=True)
class Adapter:
    """`pairs` by the adapted module; `whole` the key of each tensor that replaces one of the base, by its name."""

    path: Path
    scale: float
    pairs: Mapping[str, Pair]
    whole: Mapping[str, str]


def read_adapter_file(folder: Path) -> Adapter:
    """What the checkpoint in `folder` changes of its base. Raises InputError for what cannot be merged."""
    config = read_json(folder / CONFIG)
    _refuse_unmergeable(config, folder / CONFIG)
    with safe_open(folder / ADAPTER, "pt") as file:
        keys = sorted(file.keys())
    names = {key: key.removeprefix(_PREFIX) for key in keys}
    pairs: dict[str, Pair] = {}
    whole: dict[str, str] = {}
    for key, name in names.items():
        if name.endswith(".lora_A.weight"):
            module = name.removesuffix(".lora_A.weight")
            stem = key.removesuffix(".lora_A.weight")
            magnitude = next(
                (
                    one
                    for one in (f"{stem}.lora_magnitude_vector", f"{stem}.lora_magnitude_vector.weight")
                    if one in names
                ),
                None,
            )
            pairs[module] = Pair(key, f"{stem}.lora_B.weight", magnitude)
            if pairs[module].b not in names:
                raise InputError(Problem(f"the adapter has no lora_B of {module}", str(folder / ADAPTER)))
        elif ".lora_" not in name:
            whole[name] = key
        elif not name.endswith((".lora_B.weight", ".lora_magnitude_vector", ".lora_magnitude_vector.weight")):
            raise InputError(
                _cannot(f"of the kind {name.rpartition('.lora_')[2]}, which is not merged", folder / ADAPTER)
            )
    rank = math.sqrt(config["r"]) if config.get("use_rslora") else config["r"]
    return Adapter(folder / ADAPTER, config["lora_alpha"] / rank, pairs, whole)


def _refuse_unmergeable(config: Mapping[str, Any], path: Path) -> None:
    if config.get("peft_type") != "LORA":
        raise InputError(_cannot(f"of the type {config.get('peft_type')}, which is not merged", path))
    for name in _UNMERGEABLE:
        if config.get(name):
            raise InputError(_cannot(f"set up with {name}, which is not merged", path))


def _cannot(what: str, path: Path) -> Problem:
    return Problem(f"the adapter is {what}", str(path), _WAY_OUT)
