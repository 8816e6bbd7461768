"""What is exported: a run, one of its checkpoints, and the base model under it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetui_core.data.model_source import base_fingerprint, model_folder
from finetui_core.errors import InputError, Problem
from finetui_core.evaluate.subject import subject_of
from finetui_core.recipe.options import Recipe
from finetui_core.runs.checkpoints import Checkpoint
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import content_of

TEMPLATE = "chat_template.jinja"
_STEP = re.compile(r"(?:step-)?0*(\d+)")


@dataclass(frozen=True, slots=True)
class Source:
    """A run and the checkpoint that is exported.

    The recipe's chat template is the one that was trained, and its model that of a full checkpoint; `base` is the
    model that the run began with, as its recipe names it.
    """

    run: RunPaths
    recipe: Recipe
    checkpoint: Checkpoint
    base: str

    @property
    def is_full(self) -> bool:
        return self.recipe.train.method == "full"

    @property
    def template(self) -> Path:
        return self.checkpoint.path / TEMPLATE


def source_of(wanted: str, runs: Path, checkpoint: str) -> Source:
    """The run that fits `wanted` and its checkpoint: "best", "latest", or a step as `step-N` or N.

    Raises InputError where there is none that can be trusted.
    """
    if Path(wanted).suffix == ".toml" and Path(wanted).is_file():
        hint = "Train it first (ftui train), and name the run."
        raise InputError(Problem("a recipe has no weights to export", wanted, hint))
    step = _STEP.fullmatch(checkpoint)
    if step is None and checkpoint not in ("best", "latest"):
        hint = "Say best, latest, or a step such as step-500."
        raise InputError(Problem(f"there is no checkpoint {checkpoint!r}", "--checkpoint", hint))
    subject = subject_of(wanted, runs, step[1] if step else checkpoint)
    assert subject.run is not None and subject.checkpoint is not None
    trained = _as_trained(subject.recipe, subject.checkpoint)
    return Source(subject.run, trained, subject.checkpoint, subject.recipe.model.name)


def _as_trained(recipe: Recipe, checkpoint: Checkpoint) -> Recipe:
    """With the template of the checkpoint: the file that the recipe names may have changed since.

    A full checkpoint needs no other model.
    """
    changed: dict[str, Any] = {}
    template = checkpoint.path / TEMPLATE
    if template.is_file():
        changed["chat_template"] = str(template)
    if recipe.train.method == "full" and not recipe.model.trust_remote_code:
        changed |= {"name": str(checkpoint.path), "revision": None}
    return recipe.model_copy(update={"model": recipe.model.model_copy(update=changed)})


def base_folder(source: Source) -> Path:
    """The folder of the base model, its files checked.

    Raises InputError where it is gone, or is another one than at the training.
    """
    options = source.recipe.model
    try:
        folder = model_folder(options, with_weights=True)
    except InputError as error:
        if Path(options.name).is_dir():
            raise
        what = f"the base model that the run was trained on is not there: {options.name}"
        hint = "Put it back. The adapter alone needs no base: --to adapter --no-check."
        raise InputError(Problem(what, str(source.run.root), hint)) from error
    before = source.checkpoint.facts.get("base")
    now = base_fingerprint(options, folder)
    if before is not None and before != now:
        what = "the base model is not the one that the run was trained on: its files have changed since"
        raise InputError(Problem(what, str(folder), "Put the model of the training back there."))
    return folder


def trained_template(source: Source) -> str:
    """The chat template that the run was trained with; "" where the checkpoint has none."""
    try:
        return content_of(source.template).decode()
    except (OSError, ValueError):
        return ""
