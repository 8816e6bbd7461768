"""The files of a whole model: the adapter merged into its base, or what full fine-tuning left."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from finetui_core.data.model_files import read_json
from finetui_core.export.adapter_file import read_adapter_file
from finetui_core.export.beside import GENERATION, as_json, code_files, generation_settings, reading_files
from finetui_core.export.merge import index_of, merged_file, plan_merge
from finetui_core.export.source import Source, base_folder
from finetui_core.recipe.remote_code import may_run_code
from finetui_core.runs.manifest import Buffer
from finetui_core.train.checkpoint import WEIGHTS

_PIECE = 16 << 20

Content = Callable[[], Iterable[Buffer]]
"""Gives a file's content, in pieces, when it is written."""


@dataclass(frozen=True, slots=True)
class Parts:
    """An export before it is written: large files by name, small ones, and sentences for the person."""

    large: Mapping[str, Content]
    bytes: int
    small: Mapping[str, bytes]
    notes: tuple[str, ...] = ()

    @property
    def all_bytes(self) -> int:
        return self.bytes + sum(map(len, self.small.values()))


def whole_model(source: Source, tokenizer: Any) -> Parts:
    """The model as transformers loads it. Raises InputError where the adapter cannot be merged exactly."""
    if source.is_full:
        return _full(source, tokenizer)
    base = base_folder(source)
    merge = plan_merge(base, read_adapter_file(source.checkpoint.path), may_run_code(source.recipe.model))
    small = {
        **reading_files(source),
        **code_files(base),
        **index_of(merge.files),
        "config.json": as_json(merge.config),
        GENERATION: as_json(generation_settings(base, tokenizer)),
    }
    notes = []
    if source.recipe.model.quantize != "none":
        notes.append(
            f"The adapter was trained on the base in {source.recipe.model.quantize} and is merged into the base's own "
            "weights, which are not quantised: answers may differ a little from those of the run."
        )
    large = {name: partial(merged_file, merge, name) for name in merge.files}
    return Parts(large, merge.bytes, small, tuple(notes))


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
