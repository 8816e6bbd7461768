"""Where a recipe's model is read from: always a folder on this machine, looked through before it is used.

A hub model is fetched into the hub's cache first, its small files before its weights, and read from there like any
folder: what was checked is what is loaded, and nothing asks the network while it is loaded.
"""

import hashlib
import os
from pathlib import Path

from finetui_core.data.model_files import INDEX, WEIGHTS, check_model_files, read_json, shard_names
from finetui_core.errors import InputError, Problem, first_line
from finetui_core.recipe.options import ModelOptions, Recipe
from finetui_core.recipe.remote_code import may_run_code

_SMALL = ("*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken")
_CODE = ("*.py",)
_INDEX_MOST = 32 << 20  # bytes
_SAMPLE = 256 << 10  # bytes


def model_folder(options: ModelOptions, *, with_weights: bool = False) -> Path:
    """The folder that holds the recipe's model, its files checked.

    Raises InputError where it cannot be had or must not be read, and where it is to run code that nobody agreed to.
    """
    trusted = may_run_code(options)
    folder = Path(options.name)
    if not folder.is_dir():
        folder = _fetched(options, [*_SMALL, *(_CODE if trusted else ())])
        if with_weights:
            index = folder / INDEX
            names = shard_names(read_json(index, _INDEX_MOST), index) if index.is_file() else [WEIGHTS]
            folder = _fetched(options, names)
    check_model_files(folder, with_weights=with_weights, may_run_code=trusted)
    return folder


def check_model(recipe: Recipe) -> None:
    """Raise InputError where the recipe's model is a folder that must not be read; in milliseconds, before anything
    starts. A hub model is looked through when it is fetched."""
    folder = Path(recipe.model.name)
    if folder.is_dir():
        check_model_files(folder, with_weights=True, may_run_code=may_run_code(recipe.model))


def _fetched(options: ModelOptions, names: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(options.name, revision=options.revision, allow_patterns=names))
    except Exception as error:  # of the network, of the hub, of the disk
        raise InputError(cannot_load(options.name, error)) from error


def base_fingerprint(options: ModelOptions, folder: Path) -> str:
    """Tells one model from another in milliseconds: a hub model by its commit, a folder by samples of its files.

    Of a folder that is config.json, and of each weight file its size, its beginning, which names all tensors, and
    pieces from the middle and the end.
    """
    if folder.parent.name == "snapshots":
        return f"{options.name}@{folder.name}"
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        count = path.stat().st_size
        digest.update(f"{path.name} {count} ".encode())
        with path.open("rb") as file:
            for start in (0, count // 2, max(0, count - _SAMPLE)):
                file.seek(start)
                digest.update(file.read(_SAMPLE))
    digest.update((folder / "config.json").read_bytes())
    return digest.hexdigest()


def stay_offline(options: ModelOptions, *sources: str | None) -> None:
    """Keep this process from the network where neither the model nor the rows are the hub's.

    huggingface_hub reads the variable when it is imported, which therefore comes later.
    """
    if Path(options.name).is_dir() and not any((source or "").startswith("hub:") for source in sources):
        os.environ["HF_HUB_OFFLINE"] = "1"
        os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


def cannot_load(name: str, error: BaseException) -> Problem:
    """Why a model's files could not be loaded."""
    if isinstance(error, OSError) and not Path(name).is_dir():
        what = f"there is no folder {name}, and no model of that name can be had from the hub or its cache"
    else:
        what = f"the model {name} cannot be loaded: {first_line(error)}"
    return Problem(
        what,
        hint="Name a folder that holds config.json and safetensors weights, or download a hub model first "
        "with: hf download NAME",
    )
