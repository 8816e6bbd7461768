"""The weight files of a model folder: which tensors are in which file, without reading them."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from safetensors import safe_open

from finetui_core.data.model_files import INDEX, WEIGHTS, read_json, shard_names
from finetui_core.train.tensor_file import TYPES

Described = tuple[torch.dtype, tuple[int, ...]]
_TYPES = {name: dtype for dtype, name in TYPES.items()}
_INDEX_MOST = 32 << 20


@dataclass(frozen=True, slots=True)
class Shards:
    """`files` by name: the tensors in each, by name, with type and shape."""

    folder: Path
    files: Mapping[str, Mapping[str, Described]]

    @property
    def tensors(self) -> dict[str, Described]:
        return {name: one for file in self.files.values() for name, one in file.items()}


def bytes_of(described: Described) -> int:
    dtype, shape = described
    return dtype.itemsize * prod(shape)


def shards_of(folder: Path) -> Shards:
    """The weights of a model folder that was looked through (`check_model_files`)."""
    index = folder / INDEX
    names = [WEIGHTS] if (folder / WEIGHTS).is_file() else shard_names(read_json(index, _INDEX_MOST), index)
    return Shards(folder, {name: _described(folder / name) for name in names})


def _described(path: Path) -> dict[str, Described]:
    found: dict[str, Described] = {}
    with safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118 - it is no mapping
            one = file.get_slice(name)
            found[name] = _TYPES[one.get_dtype()], tuple(one.get_shape())
    return found
