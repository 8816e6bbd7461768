"""What is compared: a recipe before training, or a run with one of its checkpoints."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from finetui_core.data.readers import HUB_PREFIX
from finetui_core.errors import InputError, Problem
from finetui_core.evaluate.kept_answers import folder_fingerprint
from finetui_core.recipe.load import load_recipe
from finetui_core.recipe.options import ModelOptions, Recipe
from finetui_core.runs.checkpoints import (
    MANIFEST,
    Checkpoint,
    Skipped,
    best_or_newest,
    newest_valid,
    published,
    read,
)
from finetui_core.runs.paths import RunPaths, find_run, is_run
from finetui_core.runs.records import content_of

_MODEL_FILES = (".json", ".jinja", ".safetensors", ".bin", ".model", ".txt", ".py")


@dataclass(frozen=True, slots=True)
class Subject:
    """`name` is the recipe's file as it was named, or the run's id; a recipe has neither run nor checkpoint."""

    name: str
    recipe: Recipe
    run: RunPaths | None = None
    checkpoint: Checkpoint | None = None


def subject_of(
    wanted: str, runs: Path, checkpoint: str | None = None, *, needs_checkpoint: bool = True
) -> Subject:
    """The recipe in a file of that name, or else the run that fits.

    `checkpoint` is "best" (the newest, where none is marked as that), "latest", a step or a folder's name. Raises
    InputError where there is none, and, where it `needs_checkpoint`, for a run without one that can be trusted.
    """
    path = Path(wanted).expanduser()
    if wanted and not is_run(path) and (path.suffix == ".toml" or path.is_file()):
        if checkpoint is not None:
            raise InputError(
                Problem("a recipe has no checkpoints", "--checkpoint", "name a run, or leave it out")
            )
        return Subject(wanted, load_recipe(path))
    run = find_run(runs, wanted)
    try:
        recipe = Recipe.model_validate_json(content_of(run.resolved_recipe))
    except (OSError, ValueError, ValidationError) as error:
        hint = "name a run that ftui has trained, or a recipe"
        raise InputError(Problem("this run has no recipe that can be read", str(run.root), hint)) from error
    chosen = _named_checkpoint(run, checkpoint or "best") if needs_checkpoint else None
    return Subject(run.id, recipe, run, chosen)


def _named_checkpoint(run: RunPaths, wanted: str) -> Checkpoint:
    """The best or the newest one, or one by its step or by the name of its folder."""
    if wanted == "best":
        return best_or_newest(run)
    if wanted == "latest" and (newest := newest_valid(run.checkpoints)[0]) is not None:
        return newest
    there = {path.name: path for path in published(run.checkpoints)}
    name = run.checkpoint(int(wanted)).name if wanted.isdecimal() else wanted
    if name not in there:
        steps = ", ".join(str(int(one.removeprefix("step-"))) for one in there) or "none"
        raise InputError(
            Problem(f"there is no checkpoint {wanted!r}", str(run.root), f"its steps are: {steps}")
        )
    found = read(there[name])
    if isinstance(found, Skipped):
        hint = "name another one, or leave --checkpoint out"
        raise InputError(Problem(f"this checkpoint is damaged: {found.reason}", str(found.path), hint))
    return found


def weights_fingerprint(subject: Subject, *, tuned: bool) -> str:
    """Of the weights that answer: the base model as it is loaded, and the checkpoint upon it."""
    base = _model_fingerprint(subject.recipe.model)
    if not tuned or subject.checkpoint is None:
        return base
    manifest = (subject.checkpoint.path / MANIFEST).read_bytes()  # it has the sha256 of every file
    return f"{base} {hashlib.sha256(manifest).hexdigest()}"


def _model_fingerprint(options: ModelOptions) -> str:
    """A folder by its files, a hub model by its name; and how it is loaded."""
    folder = Path(options.name)
    named = f"{options.name}@{options.revision or ''}"
    if folder.is_dir():
        files = [path for path in folder.iterdir() if path.suffix in _MODEL_FILES and path.is_file()]
        named = folder_fingerprint(files)
    template = Path(options.chat_template).read_bytes() if options.chat_template else b""
    return f"{named} {options.dtype} {options.quantize} {hashlib.sha256(template).hexdigest()[:16]}"


def changed_data(subject: Subject) -> Iterator[str]:
    """Notes on data files that are no longer what the checkpoint was trained and evaluated with."""
    if subject.checkpoint is None:
        return
    data = subject.recipe.data
    for source, fact, what in (
        (data.train, "data_sha256", "training"),
        (data.val, "val_sha256", "validation"),
    ):
        before = subject.checkpoint.facts.get(fact)
        if source is None or before is None or source.startswith(HUB_PREFIX):
            continue
        with Path(source).open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != before:
                yield (
                    f"the {what} file has changed since this run was trained: rows that it was trained on may be "
                    "among those it is asked"
                )
