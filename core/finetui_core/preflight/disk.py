"""What a run writes below its folder, what is free there, and what kind of file system that is."""

import os
import shutil
from pathlib import Path

from finetui_core.preflight.figures import Disk, Memory
from finetui_core.recipe.options import Recipe
from finetui_core.wording import size

TOKENIZER = 4 * 2**20
"""Bytes of a tokenizer's files where they are not at hand; those of 32,000 tokens take 2 to 4 MB."""
RECORDS_PER_STEP = 600
"""Bytes that metrics, events and samples of the machine come to for each step, about."""
_OVERHEAD = 1.02  # of a checkpoint: names, offsets and the manifest
_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "merges.txt", "vocab.txt",
)  # fmt: skip
_WEIGHT_ENDINGS = (".safetensors",)

_WARNINGS = {
    "tmpfs": "it is kept in memory, and gone after a restart",
    "ramfs": "it is kept in memory, and gone after a restart",
    "overlay": "it is a container's own layer, and may be gone with the container",
    "nfs": "it is on the network: saves are slower, and a lost server holds up the run",
    "nfs4": "it is on the network: saves are slower, and a lost server holds up the run",
    "cifs": "it is on the network, and may not keep file permissions",
    "smb3": "it is on the network, and may not keep file permissions",
    "fuse.sshfs": "it is on the network: saves are slower, and a lost server holds up the run",
    "9p": "it is shared with a host, and may be slow",
    "vfat": "its files may not be larger than 4 GiB",
    "msdos": "its files may not be larger than 4 GiB",
}


def plan_disk(
    recipe: Recipe,
    memory: Memory,
    folder: Path,
    *,
    checkpoints: int,
    total_steps: int | None,
    parameters: int,
) -> Disk:
    """What a run of `recipe` writes below `folder`, which need not exist yet.

    A checkpoint holds the trained weights and both moments, which `memory` has by kind. `checkpoints` is how many
    are written in all; `parameters` those of the model, for the merged export in 2 bytes each.
    """
    one = checkpoint_bytes(recipe, memory)
    kept = max(recipe.save.total_limit, 2 if recipe.save.keep_best else 1)
    at_once = max(1, min(checkpoints, kept + 1))
    needed = one * at_once + RECORDS_PER_STEP * (total_steps or 0)
    place = existing(folder)
    free = shutil.disk_usage(place).free
    kind = file_system(place)
    export = 2 * parameters + tokenizer_bytes(recipe)
    enough = free >= needed
    return Disk(
        one, at_once, 0, export, needed, free, kind, enough, _says(needed, one, at_once, export, free, kind)
    )


def checkpoint_bytes(recipe: Recipe, memory: Memory) -> int:
    """Weights or adapter, both moments and the tokenizer."""
    kinds = memory.peaks.get("train", {})
    trained = kinds.get("weights", 0) if recipe.train.method == "full" else kinds.get("adapter", 0)
    return round(_OVERHEAD * (trained + kinds.get("optimizer", 0))) + tokenizer_bytes(recipe)


def tokenizer_bytes(recipe: Recipe) -> int:
    sizes = [_size(Path(recipe.model.name) / name) for name in _TOKENIZER_FILES]
    return sum(sizes) or TOKENIZER


def weight_bytes(recipe: Recipe) -> int | None:
    """Bytes of the model's weight files, where its folder is at hand."""
    try:
        files = [path for path in Path(recipe.model.name).iterdir() if path.name.endswith(_WEIGHT_ENDINGS)]
    except OSError:
        return None
    return sum(_size(path) for path in files) or None


def host_memory(recipe: Recipe, memory: Memory, device_kind: str, libraries: int) -> int:
    """Bytes of the machine's own memory that a run on a GPU takes at its highest: while the weights are loaded.

    They are built on the processor and moved; a quantized base is read a file at a time.
    """
    held = memory.peaks.get("load", memory.peaks.get("train", {})).get("weights", 0)
    if device_kind == "cpu":
        return libraries + sum(memory.peaks.get("train", {}).values())
    return libraries + (held if recipe.model.quantize == "none" else (weight_bytes(recipe) or held))


def existing(folder: Path) -> Path:
    """`folder`, or the nearest folder above it that exists."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def file_system(folder: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """The kind of file system that `folder` is on, such as "ext4"; "" where the system does not say."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    wanted = os.path.realpath(folder)
    found, kind = "", ""
    for line in lines:
        fields = line.split()
        if len(fields) < 3:
            continue
        point = _unescaped(fields[1])
        inside = wanted == point or wanted.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(found):
            found, kind = point, fields[2]
    return kind


def warning(kind: str) -> str:
    """What is to be known of a kind of file system, or ""."""
    return _WARNINGS.get(kind, "")


def _unescaped(point: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, character)
    return point


def _says(needed: int, one: int, at_once: int, export: int, free: int, kind: str) -> str:
    times = f"{at_once} checkpoints of {size(one)}" if at_once > 1 else f"a checkpoint of {size(one)}"
    on = f" on {kind}" if kind else ""
    says = f"{size(needed)} for {times}; {size(free)} free{on}"
    if free < needed:
        return f"Not enough room: {says}."
    lacking = "" if free >= needed + export else ", for which there is no room"
    says = f"{says}. A merged model takes {size(export)} more{lacking}."
    return says + (f" Mind the file system: {warning(kind)}." if warning(kind) else "")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
