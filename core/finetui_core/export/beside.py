"""What stands beside the weights: tokenizer, chat template, generation settings, as the run was trained with them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from finetui_core.data.conversation import Conversation, Message
from finetui_core.data.model_files import read_json
from finetui_core.data.render import Example, renderer, special_ids
from finetui_core.export.adapter_file import CONFIG
from finetui_core.export.source import Source
from finetui_core.runs.manifest import MANIFEST
from finetui_core.train.checkpoint import ADAPTER, OPTIMIZER, SCALER, STATE, WEIGHTS

GENERATION = "generation_config.json"
_NOT_READING = {ADAPTER, CONFIG, GENERATION, MANIFEST, OPTIMIZER, SCALER, STATE, WEIGHTS, "config.json"}
_SHORT = (Message("user", "Hello"), Message("assistant", "Hello"))


def reading_files(source: Source) -> dict[str, bytes]:
    """The tokenizer's files with the chat template, from the checkpoint, by name."""
    folder = source.checkpoint.path
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: path.read_bytes() for name, path in names.items() if name not in _NOT_READING}


def code_files(base: Path) -> dict[str, bytes]:
    """The Python files that a model brings along."""
    return {path.name: path.read_bytes() for path in sorted(base.glob("*.py"))}


def turn_end(tokenizer: Any) -> int | None:
    """The token that ends an answer in the trained template; None where it is no special one."""
    rendered = renderer(tokenizer, "last")(Conversation(_SHORT, None, ""))
    if not isinstance(rendered, Example) or not rendered.mask.any():
        return None
    last = int(rendered.ids[np.flatnonzero(rendered.mask)[-1]])
    return last if last in special_ids(tokenizer) else None


def generation_settings(folder: Path, tokenizer: Any) -> dict[str, Any]:
    """Those of the model in `folder`, with every token that ends an answer, the turn's own first."""
    path = folder / GENERATION
    settings = read_json(path) if path.is_file() else {}
    config = read_json(folder / "config.json")
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        settings.setdefault(name, config.get(name))
    before = settings.get("eos_token_id")
    ends = [turn_end(tokenizer), *(before if isinstance(before, list) else [before]), tokenizer.eos_token_id]
    known = [*dict.fromkeys(end for end in ends if end is not None)]
    settings["eos_token_id"] = known[0] if len(known) == 1 else known
    return {name: value for name, value in settings.items() if value is not None and value != []}


def as_json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"
