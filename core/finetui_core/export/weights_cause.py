"""Why exported weights answer otherwise than the run: whose they are, or what was done to them."""

from collections.abc import Iterator, Mapping
from hashlib import file_digest
from math import inf
from pathlib import Path
from typing import Any

import msgspec
import torch

from finetui_core.evaluate.engine import Loaded, load, weights_of
from finetui_core.export import causes
from finetui_core.export.adapter_file import CONFIG
from finetui_core.export.differences import logits_apart
from finetui_core.export.side import logits_at
from finetui_core.export.source import Source, base_folder
from finetui_core.export.trained import Trained, checked_recipe
from finetui_core.export.weights import shards_of
from finetui_core.runs.checkpoints import Checkpoint, published, read
from finetui_core.runs.manifest import MANIFEST, Unsound, decode
from finetui_core.runs.records import content_of
from finetui_core.train.checkpoint import ADAPTER, WEIGHTS, read_adapter


def cause_of_logits(
    source: Source, folder: Path, trained: Trained, logits: Mapping[str, torch.Tensor], tolerance: float
) -> str:
    """Which weights answer as the exported ones do, or how they differ from the trained ones."""
    known = _known_elsewhere(source, folder)
    if known:
        return known
    if (folder / CONFIG).is_file() and _settings_differ(source, folder):
        return causes.SETTINGS
    nearest, label = min(
        ((_apart(other, logits), label) for label, other in _others(source, trained)), default=(inf, "")
    )
    if nearest <= tolerance or (trained.rounded and nearest < _apart(trained.rounded, logits) / 2):
        return label
    if _is_coarser(source, folder):
        return causes.ROUNDING
    return causes.OTHER_WEIGHTS


def _apart(expected: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> float:
    """As `logits_apart`, and without limit where they are of other prompts or of none."""
    if not expected or expected.keys() != found.keys():
        return inf
    return logits_apart(expected, found)[0]


def _known_elsewhere(source: Source, folder: Path) -> str:
    """Where the exported weights are, byte by byte, those of another checkpoint of the run."""
    name = WEIGHTS if source.is_full else ADAPTER
    path = folder / name
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    for checkpoint in published(source.run.checkpoints):
        if checkpoint.name == source.checkpoint.path.name:
            continue
        try:
            entry = decode(content_of(checkpoint / MANIFEST)).files.get(name)
        except (OSError, Unsound):  # one that cannot be read tells nothing
            continue
        if entry is not None and entry.sha256 == digest:
            return f"{causes.STALE_WEIGHTS if source.is_full else causes.STALE}: that of {checkpoint.name}"
    return ""


def _settings_differ(source: Source, folder: Path) -> bool:
    def settings(place: Path) -> dict[str, Any]:
        value: dict[str, Any] = msgspec.json.decode((place / CONFIG).read_bytes())
        return {
            key: part
            for key, part in value.items()
            if key not in ("base_model_name_or_path", "inference_mode")
        }

    return settings(folder) != settings(source.checkpoint.path)


def _others(source: Source, trained: Trained) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Logits of the base, and of the run's other checkpoints."""
    asked_for = [one for one in trained.side.reads if one.name in trained.logits]

    def asked(loaded: Loaded, model: Any) -> dict[str, torch.Tensor]:
        return {one.name: logits_at(model, one.prompt_ids, loaded.device) for one in asked_for}

    others = [
        read(path) for path in published(source.run.checkpoints) if path.name != source.checkpoint.path.name
    ]
    sound = [one for one in others if isinstance(one, Checkpoint)]
    if source.is_full:
        for one in sound:
            loaded = load(source.recipe, one.path)
            with weights_of(loaded, "tuned") as (model, _):
                yield f"{causes.STALE_WEIGHTS}: those of {one.path.name}", asked(loaded, model)
        return
    loaded = load(checked_recipe(source), source.checkpoint.path)
    with weights_of(loaded, "base") as (model, _):
        yield causes.UNTUNED, asked(loaded, model)
    for one in sound:
        with weights_of(loaded, "tuned") as (model, _):
            read_adapter(one.path, model)
            yield f"{causes.STALE}: that of {one.path.name}", asked(loaded, model)


def _is_coarser(source: Source, folder: Path) -> bool:
    """Whether the exported weights are of a type with fewer digits than those that they were made of."""
    if (folder / CONFIG).is_file():
        return False
    expected = shards_of(source.checkpoint.path if source.is_full else base_folder(source)).tensors
    found = shards_of(folder).tensors
    return any(
        one[0].is_floating_point and torch.finfo(found[name][0]).eps > torch.finfo(one[0]).eps
        for name, one in expected.items()
        if name in found and found[name][0].is_floating_point
    )
