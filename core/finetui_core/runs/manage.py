"""What a person does to whole runs: label them, put them away and take them back.

Nothing here deletes: a deleted run lies in `.trash` of the folder of runs until somebody empties that.
"""

import os
from collections.abc import Callable
from pathlib import Path

from finetui_core.errors import InputError, Problem
from finetui_core.files import fsync_folder, private_folder
from finetui_core.runs.foreign_kinds import kind_of
from finetui_core.runs.labels import Labels, read_labels, write_labels
from finetui_core.runs.listing import summarise
from finetui_core.runs.liveness import LIVE
from finetui_core.runs.lock import take_lock
from finetui_core.runs.paths import ARCHIVE, TRASH, RunPaths
from finetui_core.runs.process import host_name
from finetui_core.runs.records import Attempt, read_small


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


def refusal(paths: RunPaths) -> tuple[str, str] | None:
    """Why a run cannot be moved, and what to do; None where it can. A run that goes on is left alone."""
    if _is_of_another(paths):
        return "a run of another trainer is only read", ""
    summary = summarise(paths.root)
    if summary is None:
        return "there is no run any more", ""
    numbers = paths.attempt_numbers()
    if summary.state not in LIVE or not numbers:
        return None
    attempt = read_small(paths.attempt(numbers[-1]), Attempt)
    reason = f"it is {summary.state} ({summary.reason})"
    stop = f"stop it first with: ftui ctl {paths.id} stop"
    if attempt is None or attempt.host == host_name():
        return reason, stop
    return f"{reason}, as far as its files tell", _ELSEWHERE.format(
        id=paths.id, host=attempt.host, stop=stop, folder=runs_folder(paths)
    )


_ELSEWHERE = (
    "ftui watch {id} tells after a minute whether it still writes. If it does, {stop} (the command travels by "
    "files). If it does not, look at {host}: from here a dead process cannot be told from a broken network, and "
    "nothing forces this. Once you know that it is over, move its folder yourself into {folder}/"
    + ARCHIVE
    + " or "
    "{folder}/" + TRASH + "; ftui runs restore {id} brings it back"
)


def _put_away(paths: RunPaths, folder: str, done: str) -> RunPaths:
    refused = refusal(paths)
    if refused is None and runs_folder(paths) / folder == paths.root.parent:
        refused = f"it is {done} already", ""
    if refused is not None:
        reason, hint = refused
        raise InputError(Problem(f"{paths.id} cannot be {done}: {reason}", str(paths.root), hint))
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
            private_folder(folder)
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
