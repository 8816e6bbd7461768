"""The files of a whole model: the adapter merged into its base, or what full fine-tuning left."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from finetui_core.data.model_files import read_json
from finetui_core.export.adapter_file import read_adapter_file
from finetui_core.export.beside import GENERATION, as_json, code_files, generation_settings, reading_files
from finetui_core.export.merge import Merge, index_of, merged_file, merged_tensors, plan_merge
from finetui_core.export.source import Source, base_folder
from finetui_core.export.weights import Described, shards_of
from finetui_core.recipe.remote_code import may_run_code
from finetui_core.runs.manifest import Buffer
from finetui_core.train.checkpoint import WEIGHTS

_PIECE = 16 << 20

Content = Callable[[], Iterable[Buffer]]
"""Gives a file's content, in pieces, when it is written."""


@dataclass(frozen=True, slots=True)
class Tensors:
    """A whole model's tensors: `described` by name; `opened` gives the function that loads each of them."""

    described: Mapping[str, Described]
    opened: Callable[[], AbstractContextManager[Callable[[str], torch.Tensor]]]
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parts:
    """An export before it is written: large files by name, small ones, and sentences for the person."""

    large: Mapping[str, Content]
    large_bytes: int
    small: Mapping[str, bytes]
    notes: tuple[str, ...] = ()

    @property
    def all_bytes(self) -> int:
        return self.large_bytes + sum(map(len, self.small.values()))


def whole_model(source: Source, tokenizer: Any) -> Parts:
    """The model as transformers loads it. Raises InputError where the adapter cannot be merged exactly."""
    if source.is_full:
        return _full(source, tokenizer)
    base, merge = _merge(source)
    small = {
        **reading_files(source),
        **code_files(base),
        **index_of(merge.files),
        "config.json": as_json(merge.config),
        GENERATION: as_json(generation_settings(base, tokenizer)),
    }
    large = {name: partial(merged_file, merge, name) for name in merge.files}
    return Parts(large, merge.bytes, small, tuple(quantised_notes(source)))


def _merge(source: Source) -> tuple[Path, Merge]:
    base = base_folder(source)
    trusted = may_run_code(source.recipe.model)
    return base, plan_merge(base, read_adapter_file(source.checkpoint.path), trusted)


def quantised_notes(source: Source) -> list[str]:
    kind = source.recipe.model.quantize
    if kind == "none":
        return []
    return [
        f"The adapter was trained on the base in {kind} and is merged into the base's own weights, which are not "
        "quantised: answers may differ a little from those of the run."
    ]


def model_tensors(source: Source) -> Tensors:
    """The tensors of the whole model, for a file of another format. Raises InputError as `whole_model` does."""
    if source.is_full:
        folder = source.checkpoint.path
        return Tensors(
            shards_of(folder).tensors, partial(_full_tensors, folder), read_json(folder / "config.json")
        )
    _, merge = _merge(source)
    described = {name: one for there in merge.files.values() for name, one in there.items()}
    return Tensors(described, partial(merged_tensors, merge, described), merge.config)


@contextmanager
def _full_tensors(folder: Path) -> Iterator[Callable[[str], torch.Tensor]]:
    with safe_open(folder / WEIGHTS, "pt") as file:
        yield file.get_tensor


def _full(source: Source, tokenizer: Any) -> Parts:
    folder = source.checkpoint.path
    config = read_json(folder / "config.json")
    small = {
        **reading_files(source),
        "config.json": as_json(config),
        GENERATION: as_json(generation_settings(folder, tokenizer)),
    }
    weights = folder / WEIGHTS
    return Parts({WEIGHTS: partial(pieces_of, weights)}, weights.stat().st_size, small)


def pieces_of(path: Path) -> Iterator[bytes]:
    """A file's bytes, a few megabytes at a time."""
    with path.open("rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            yield piece
