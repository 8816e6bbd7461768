"""The adapter alone, as plain peft loads it."""

from functools import partial
from typing import Any

from finetui_core.errors import InputError, Problem
from finetui_core.export.adapter_file import CONFIG
from finetui_core.export.beside import GENERATION, as_json, generation_settings, reading_files
from finetui_core.export.model_parts import Parts, pieces_of
from finetui_core.export.source import Source, base_folder
from finetui_core.train.checkpoint import ADAPTER


def adapter_parts(source: Source, tokenizer: Any = None) -> Parts:
    """The checkpoint's adapter in peft's format, with tokenizer, template and generation settings.

    Without a `tokenizer` the base is not looked at, and the generation settings stay the base's own. Raises
    InputError for full fine-tuning, which has no adapter.
    """
    if source.is_full:
        hint = "Export the model itself: --to merged."
        raise InputError(
            Problem("the run trained every weight, so there is no adapter", str(source.run.root), hint)
        )
    folder = source.checkpoint.path
    small = {**reading_files(source), CONFIG: (folder / CONFIG).read_bytes()}
    if tokenizer is not None:
        small[GENERATION] = as_json(generation_settings(base_folder(source), tokenizer))
    weights = folder / ADAPTER
    return Parts({ADAPTER: partial(pieces_of, weights)}, weights.stat().st_size, small)
