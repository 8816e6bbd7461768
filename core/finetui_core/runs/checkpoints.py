"""Checkpoints on disk: published whole or not at all, trusted only when every byte is as it was written.

A checkpoint is written into a hidden folder, hashed into manifest.json, flushed and renamed. The rename is the
commit: a crash at any moment leaves the checkpoints that were there before, and a hidden folder to sweep up.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetui_core.errors import InputError, Problem
from finetui_core.files import fsync_folder, write_atomically
from finetui_core.runs.paths import RunPaths, step_name

MANIFEST = "manifest.json"
STAGING = ".staging-"
_NAME = re.compile(r"step-(\d{6,})")


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


def publish(folder: Path, step: int, write: Callable[[Path], None], facts: Mapping[str, Any]) -> Checkpoint:
    """Let `write` fill a hidden folder, then make it the checkpoint of `step` in one rename.

    Replaces a checkpoint of the same step. Raises OSError, or what `write` raises, and then leaves nothing.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    staging = folder / f"{STAGING}{step_name(step)}-{os.getpid()}"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(mode=0o700)
        write(staging)
        files = {str(path.relative_to(staging)): _seal(path) for path in _files_in(staging)}
        manifest = {"schema": 1, "step": step, "facts": dict(facts), "files": files}
        write_atomically(staging / MANIFEST, json.dumps(manifest, indent=1).encode())
        for inner in staging.rglob("*"):
            if inner.is_dir():
                fsync_folder(inner)
        target = folder / step_name(step)
        superseded = folder / f"{STAGING}superseded-{os.getpid()}"
        if target.exists():
            target.rename(superseded)
        staging.rename(target)
        fsync_folder(folder)
        shutil.rmtree(superseded, ignore_errors=True)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    size = sum(int(entry["bytes"]) for entry in files.values())
    return Checkpoint(target, step, size, dict(facts))


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)


def _seal(path: Path) -> dict[str, int | str]:
    """Flush one file to disk and describe it for the manifest."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fchmod(descriptor, 0o600)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return {"bytes": path.stat().st_size, "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read(path: Path) -> Checkpoint | Skipped:
    """The checkpoint at `path` if every file is there and unchanged, else the reason why it is not."""
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        step, files, facts = manifest["step"], manifest["files"], manifest["facts"]
        if step_name(step) != path.name:
            return Skipped(path, f"its manifest says step {step}")
        for name, entry in files.items():
            file = path / name
            if not file.is_file():
                return Skipped(path, f"{name} is missing")
            if file.stat().st_size != entry["bytes"]:
                return Skipped(path, f"{name} has {file.stat().st_size} bytes, not {entry['bytes']}")
            if _sha256(file) != entry["sha256"]:
                return Skipped(path, f"{name} is damaged (its sha256 differs from the manifest)")
    except FileNotFoundError:
        return Skipped(path, f"{MANIFEST} is missing")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Skipped(path, f"it cannot be read: {error}")
    return Checkpoint(path, step, sum(int(entry["bytes"]) for entry in files.values()), facts)


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
        best = paths.checkpoints / paths.best.read_text(encoding="utf-8").strip()
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


def prune(folder: Path, total_limit: int, protected: frozenset[str]) -> list[Path]:
    """Delete the oldest checkpoints beyond `total_limit`, never one named in `protected`.

    Nothing is deleted unless the newest one verifies, since only then has it superseded the others.
    Returns what was deleted.
    """
    paths = published(folder)
    if len(paths) <= total_limit or isinstance(read(paths[0]), Skipped):
        return []
    spare = [path for path in paths[1:] if path.name not in protected]
    kept = len(paths) - len(spare)
    doomed = spare[max(0, total_limit - kept) :]
    for path in doomed:
        shutil.rmtree(path, ignore_errors=True)
    return doomed


def sweep(folder: Path) -> None:
    """Remove what writers that were killed left behind."""
    if folder.is_dir():
        for path in folder.glob(f"{STAGING}*"):
            shutil.rmtree(path, ignore_errors=True)
