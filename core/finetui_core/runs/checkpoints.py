"""Checkpoints on disk: published whole or not at all, trusted only when every byte is as it was written.

A checkpoint is written into a hidden folder, its files are hashed as they are written and flushed, the manifest
comes last, and the folder is renamed. The rename is the commit: a crash at any moment leaves the checkpoints that
were there before, and a hidden folder to sweep up.
"""

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetui_core.errors import InputError, Problem
from finetui_core.files import fsync_folder
from finetui_core.runs.manifest import (
    MANIFEST,
    SCHEMA,
    Buffer,
    Manifest,
    Unsound,
    decode,
    encode,
    has_its_files,
    is_inside,
    verified,
    write_sealed,
)
from finetui_core.runs.paths import RunPaths, step_name
from finetui_core.runs.records import Identity, content_of, read_small

__all__ = ["MANIFEST", "Checkpoint", "Skipped", "publish", "read"]

STAGING = ".staging-"
_REPLACED = ".replaced-"
"""Before the name of a checkpoint that makes room for another of its step, until that one is in its place."""
_NAME = re.compile(r"step-(\d{6,})")

Files = Mapping[str, Iterable[Buffer]]
"""The content of a checkpoint's files, in pieces, by their paths inside it."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A published checkpoint. `facts` is what the writer noted of its circumstances."""

    path: Path
    step: int
    bytes: int
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A checkpoint that cannot be trusted, and why."""

    path: Path
    reason: str


def publish(folder: Path, step: int, files: Files, facts: Mapping[str, Any]) -> Checkpoint:
    """Write `files` into a hidden folder, then make it the checkpoint of `step` in one rename.

    One of the same step that has the same content is left as it is; another one is replaced, and there is no moment
    at which neither could be had (see `sweep`). Raises OSError, or what a content raises, and then leaves nothing.
    """
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    staging = folder / f"{STAGING}{step_name(step)}-{os.getpid()}"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(mode=0o700)
        entries = {name: write_sealed(_place(staging, name), content) for name, content in files.items()}
        manifest = Manifest(SCHEMA, step, dict(facts), entries, run=_run_of(folder))
        sealed = encode(manifest)
        write_sealed(staging / MANIFEST, [sealed])
        for inner in (staging, *(path for path in staging.rglob("*") if path.is_dir())):
            fsync_folder(inner)
        target = _commit(folder, staging, step_name(step), sealed)
        fsync_folder(folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return _checkpoint(target, manifest)


def _place(staging: Path, name: str) -> Path:
    """Where a file goes; the folders above it are made."""
    if not is_inside(name):
        raise ValueError(f"{name!r} is no file inside a checkpoint")
    path = staging / name
    if path.parent != staging:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _run_of(folder: Path) -> str:
    """The id of the run whose checkpoints lie in `folder`; "" for a folder that belongs to none."""
    identity = read_small(RunPaths(folder.parent).identity, Identity)
    return identity.id if identity is not None else ""


def _commit(folder: Path, staging: Path, name: str, manifest: bytes) -> Path:
    target, replaced = folder / name, folder / f"{_REPLACED}{name}"
    if not os.path.lexists(target):
        return staging.rename(target)
    if isinstance(read(target), Checkpoint) and content_of(target / MANIFEST) == manifest:
        shutil.rmtree(staging, ignore_errors=True)
        return target
    shutil.rmtree(replaced, ignore_errors=True)
    target.rename(replaced)
    try:
        staging.rename(target)
    except BaseException:
        replaced.rename(target)
        raise
    fsync_folder(folder)
    shutil.rmtree(replaced, ignore_errors=True)
    return target


def read(path: Path) -> Checkpoint | Skipped:
    """The checkpoint at `path` if every file is there and unchanged, else the reason why it is not."""
    try:
        manifest = verified(path)
    except Unsound as error:
        return Skipped(path, str(error))
    except (OSError, ValueError) as error:
        return Skipped(path, f"it cannot be read: {error}")
    if step_name(manifest.step) != path.name:
        return Skipped(path, f"its manifest says step {manifest.step}")
    run = _run_of(path.parent)
    if run and manifest.run and manifest.run != run:
        return Skipped(path, f"it is of another run: {manifest.run}")
    return _checkpoint(path, manifest)


def _checkpoint(path: Path, manifest: Manifest) -> Checkpoint:
    size = sum(entry.bytes for entry in manifest.files.values())
    return Checkpoint(path, manifest.step, size, manifest.facts)


def published(folder: Path) -> list[Path]:
    """Folders that look like checkpoints, newest step first; their contents are not verified."""
    if not folder.is_dir():
        return []
    found = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda pair: int(pair[0][1]), reverse=True)]


def newest_valid(folder: Path) -> tuple[Checkpoint | None, list[Skipped]]:
    """The newest checkpoint that verifies, and the newer ones that were passed over."""
    skipped: list[Skipped] = []
    for path in published(folder):
        checkpoint = read(path)
        if isinstance(checkpoint, Checkpoint):
            return checkpoint, skipped
        skipped.append(checkpoint)
    return None, skipped


def best_or_newest(paths: RunPaths) -> Checkpoint:
    """The checkpoint that a run is judged by: its best, or the newest where none is marked as that.

    Raises InputError where there is none that can be trusted; a damaged best one is not replaced by another.
    """
    try:
        best = paths.checkpoints / content_of(paths.best).decode().strip()
    except (OSError, ValueError):
        best = None
    if best is not None and _NAME.fullmatch(best.name) and best.is_dir():
        checkpoint = read(best)
        if isinstance(checkpoint, Checkpoint):
            return checkpoint
        hint = "Name another checkpoint of the run, or train it again."
        raise InputError(Problem(f"the best checkpoint is damaged: {checkpoint.reason}", str(best), hint))
    newest, skipped = newest_valid(paths.checkpoints)
    if newest is not None:
        return newest
    problems = [Problem(f"this checkpoint is damaged: {one.reason}", str(one.path)) for one in skipped]
    hint = f"Let it train until it saves one (ftui resume {paths.id}; save.steps says when)."
    raise InputError([*problems, Problem("the run has no checkpoint to use", str(paths.root), hint)])


def prune(folder: Path, newest: Checkpoint, total_limit: int, protected: frozenset[str]) -> list[Path]:
    """Delete the oldest checkpoints beyond `total_limit`, never `newest` or one named in `protected`.

    `newest` is the one that this process has just published: its bytes were hashed on their way to the disk, so it
    is not read again, only looked at. Those of later steps are leftovers that did not verify; they neither count nor
    go. Returns what was deleted.
    """
    older = [path for path in published(folder) if _step_of(path) < newest.step]
    if 1 + len(older) <= total_limit or not _is_whole(newest):
        return []
    spare = [path for path in older if path.name not in protected]
    kept = 1 + len(older) - len(spare)
    doomed = spare[max(0, total_limit - kept) :]
    for path in doomed:
        _discard(path)
    return doomed


def free_oldest(folder: Path, protected: frozenset[str]) -> Path | None:
    """Delete the oldest checkpoint that a newer one supersedes, which is verified first; None where there is none."""
    newest, _ = newest_valid(folder)
    spare = [] if newest is None else spare_beside(folder, newest, protected)
    if spare:
        _discard(spare[-1])
    return spare[-1] if spare else None


def spare_beside(folder: Path, newest: Checkpoint, protected: frozenset[str]) -> list[Path]:
    """The checkpoints that may be deleted where room is needed, newest first."""
    return [path for path in published(folder) if _step_of(path) < newest.step and path.name not in protected]


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _is_whole(checkpoint: Checkpoint) -> bool:
    """Whether the files are still there with their sizes."""
    try:
        manifest = decode(content_of(checkpoint.path / MANIFEST))
    except (OSError, Unsound):
        return False
    return has_its_files(checkpoint.path, manifest)


def _discard(path: Path) -> None:
    """Delete a checkpoint; a crash in the middle leaves a hidden folder, never a checkpoint with files missing."""
    hidden = path.with_name(f"{STAGING}discarded-{path.name}")
    try:
        shutil.rmtree(hidden, ignore_errors=True)
        path.rename(hidden)
    except OSError:
        hidden = path
    shutil.rmtree(hidden, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Put back a checkpoint whose replacement never came, and remove what writers that were killed left behind."""
    if not folder.is_dir():
        return
    for path in folder.glob(f"{_REPLACED}*"):
        target = folder / path.name.removeprefix(_REPLACED)
        if os.path.lexists(target):
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.rename(target)
    for path in folder.glob(f"{STAGING}*"):
        shutil.rmtree(path, ignore_errors=True)
