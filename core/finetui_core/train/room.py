"""Whether the disk has room for checkpoints, asked before the first step is taken."""

import shutil
from pathlib import Path

from finetui_core.errors import InputError, Problem
from finetui_core.runs.checkpoints import Checkpoint, spare_beside
from finetui_core.runs.paths import step_name
from finetui_core.train.checkpoint import Progress, trainable
from finetui_core.train.output import Output
from finetui_core.train.setup import Session
from finetui_core.wording import size

_MOMENTS = 2
"""AdamW keeps two for each weight, of the weight's own type; `optimizer.py` has no other optimizer."""


def checkpoint_bytes(session: Session) -> int:
    """What a checkpoint takes: the weights in it, the moments of those that learn, and what is beside them."""
    learned = sum(value.numel() * value.element_size() for value in trainable(session.model).values())
    held = learned
    if session.recipe.train.method == "full":
        tensors = [*session.model.parameters(), *session.model.buffers()]
        held = sum(value.numel() * value.element_size() for value in tensors)
    beside = sum(len(content) for content in session.configuration.values())
    return held + _MOMENTS * learned + beside


def free_bytes(folder: Path) -> int:
    """Raises OSError."""
    return shutil.disk_usage(folder).free


def check_room(session: Session, progress: Progress, newest: Checkpoint | None, output: Output) -> None:
    """Raise InputError when not one checkpoint fits on the disk, and warn when the run's first two do not.

    Two are needed so that the last one is there until the next is whole. `newest` is the one that the run goes on
    from; older ones count as free, since a save that finds no room deletes those that a newer one supersedes.
    """
    paths, needed = session.paths, checkpoint_bytes(session)
    best = frozenset() if progress.best_step is None else frozenset({step_name(progress.best_step)})
    spare = [] if newest is None else spare_beside(paths.checkpoints, newest, best)
    free = free_bytes(paths.root) + sum(_bytes_in(path) for path in spare)
    room = f"the disk has {size(free)} free, and one checkpoint takes about {size(needed)}"
    if free < needed:
        hint = "Free some space, or put the runs on another disk by setting FTUI_RUNS."
        raise InputError(Problem(room, where=str(paths.root), hint=hint))
    if newest is None and free < 2 * needed:
        output.event(
            "alarm",
            kind="room",
            severity="watch",
            step=progress.step,
            message=f"{room}: the second will not fit beside the first, which stays until the second is whole",
            go_back_to=None,
            remedy="Free some space while it trains, or work since the first checkpoint may be lost.",
        )


def _bytes_in(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    except OSError:
        return 0
