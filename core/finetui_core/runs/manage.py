"""What a person does to whole runs: label them, put them away and take them back.

Nothing here deletes: a deleted run lies in `.trash` of the folder of runs until somebody empties that.
"""

import os
from collections.abc import Callable
from pathlib import Path

from finetui_core.errors import InputError, Problem
from finetui_core.files import fsync_folder
from finetui_core.runs.foreign_kinds import kind_of
from finetui_core.runs.labels import Labels, read_labels, write_labels
from finetui_core.runs.listing import summarise
from finetui_core.runs.liveness import LIVE
from finetui_core.runs.lock import take_lock
from finetui_core.runs.paths import ARCHIVE, TRASH, RunPaths


def relabel(paths: RunPaths, change: Callable[[Labels], Labels]) -> Labels:
    """Change the labels of a run; returns what they were. Raises InputError where that cannot be."""
    if _is_of_another(paths):
        raise InputError(
            Problem("a run of another trainer is only read: it takes no labels", str(paths.root))
        )
    before = read_labels(paths)
    after = change(before)
    if after != before:
        write_labels(paths, after)
    return before


def archive(paths: RunPaths) -> RunPaths:
    """Put a run that has ended into the archive, out of the list; returns where it is now."""
    return _put_away(paths, ARCHIVE, "archived")


def delete(paths: RunPaths) -> RunPaths:
    """Put a run that has ended into the trash; returns where it is now."""
    return _put_away(paths, TRASH, "deleted")


def restore(paths: RunPaths) -> RunPaths:
    """Bring a run back from the archive or the trash. Raises InputError where it is in neither."""
    folder = paths.root.parent
    if folder.name not in (ARCHIVE, TRASH):
        raise InputError(Problem("this run is neither archived nor deleted", str(paths.root)))
    return _move(paths, folder.parent)


def runs_folder(paths: RunPaths) -> Path:
    """The folder of runs that a run belongs to, be it in the list, in the archive or in the trash."""
    folder = paths.root.parent
    return folder.parent if folder.name in (ARCHIVE, TRASH) else folder


def refusal(paths: RunPaths) -> str | None:
    """Why a run cannot be moved; None where it can. A run that goes on is left alone."""
    if _is_of_another(paths):
        return "a run of another trainer is only read"
    summary = summarise(paths.root)
    if summary is None:
        return "there is no run any more"
    if summary.state in LIVE and paths.attempt_numbers():
        return f"it is {summary.state} ({summary.reason}); stop it first with: ftui ctl {paths.id} stop"
    return None


def _put_away(paths: RunPaths, folder: str, done: str) -> RunPaths:
    reason = refusal(paths)
    if reason is None and runs_folder(paths) / folder == paths.root.parent:
        reason = f"it is {done} already"
    if reason is not None:
        raise InputError(Problem(f"{paths.id} cannot be {done}: {reason}", str(paths.root)))
    return _move(paths, runs_folder(paths) / folder)


def _move(paths: RunPaths, folder: Path) -> RunPaths:
    """Rename the run into `folder` while nobody can start it. Raises InputError."""
    moved = RunPaths(folder / paths.id)
    if moved.root.exists():
        raise InputError(
            Problem("there is a run of this name already", str(moved.root), "rename that folder")
        )
    try:
        lock = take_lock(paths)
        if lock is None:
            raise InputError(Problem(f"{paths.id} is being trained", str(paths.root), "stop it first"))
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            paths.root.rename(moved.root)
        finally:
            os.close(lock)
        fsync_folder(folder)
    except OSError as error:
        hint = "check that the folder is yours and that the disk can be written"
        raise InputError(Problem(f"it cannot be moved: {error.strerror}", str(paths.root), hint)) from error
    return moved


def _is_of_another(paths: RunPaths) -> bool:
    return not paths.identity.exists() and kind_of(paths.root) is not None
