"""Putting new runs into the queue: what `train --queue` and `sweep` share."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from finetui_core.cli.say import talk
from finetui_core.errors import InputError
from finetui_core.preflight.history import Prediction
from finetui_core.runs import queue
from finetui_core.runs.listing import list_runs
from finetui_core.runs.paths import QUEUED, RunPaths


@dataclass(frozen=True, slots=True)
class Planned:
    """A run to be made; `files` are those that it has from the start, `prediction` what preflight said of it."""

    recipe_file: Path
    overrides: tuple[str, ...]
    name: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    prediction: Prediction | None = None


def queue_runs(root: Path, plans: Sequence[Planned], make_run: Callable[..., RunPaths]) -> list[RunPaths]:
    """Make the runs, each of them queued from its first moment; none is left where one cannot be made."""
    made: list[RunPaths] = []
    with queue.changing(root):
        entries = queue.at_the_end(root, len(plans))
        try:
            for plan, entry in zip(plans, entries, strict=True):
                files = {**plan.files, QUEUED: queue.encoded(entry)}
                made.append(
                    make_run(
                        plan.recipe_file,
                        plan.overrides,
                        plan.name,
                        root,
                        prediction=plan.prediction,
                        files=files,
                    )
                )
        except InputError:
            for paths in made:
                if queue.waiting_run(paths):  # an earlier worker may have begun with it
                    shutil.rmtree(paths.root, ignore_errors=True)
            raise
    return made


def start_queue(root: Path) -> None:
    """Let a worker begin unless the queue is paused, which is said."""
    queue.start_worker(root)
    if queue.is_paused(root):
        talk(queue.standstill(root, len(queue.waiting(root))))


def summary_in_queue(root: Path, paths: RunPaths) -> dict[str, Any]:
    """The run as the list of runs has it: its number in the queue depends on the others."""
    (one,) = [run for run in list_runs(root) if run.id == paths.id]
    return dict(msgspec.to_builtins(one))
