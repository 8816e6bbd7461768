"""An export in the making: a hidden folder beside the place where it is to stand, renamed when it is whole.

What was written before an interruption is kept with its hashes, so that the same export goes on where it stopped.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from finetui_core.errors import InputError, Problem
from finetui_core.files import fsync_folder, private_folder, write_atomically
from finetui_core.runs.manifest import Buffer, Entry, Unsound, compare_file, write_sealed
from finetui_core.runs.records import read_small
from finetui_core.wording import size

_JOURNAL = ".export.json"
_SPARE = 16 << 20
"""Bytes beyond the files themselves: folders, the file system's own, parity.json."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class _Journal(msgspec.Struct, frozen=True):
    """What is written of which export; `plan` is a fingerprint of all that its files follow from."""

    plan: str
    files: dict[str, Entry]


@dataclass(frozen=True, slots=True)
class Staging:
    """`files` are those that are whole, by name."""

    folder: Path
    target: Path
    plan: str
    files: dict[str, Entry]


def check_target(target: Path) -> None:
    """Raise InputError where something stands in the place of the export, or its folder cannot be made."""
    if os.path.lexists(target):
        hint = "Name another folder with --out, or move this one away."
        raise InputError(Problem("there is something of this name already", str(target), hint))
    if not target.name or target.name in (".", ".."):
        raise InputError(Problem("this is no name for a folder", str(target), "Name another one with --out."))


def check_space(target: Path, needed: int) -> None:
    """Raise InputError where the disk has no room for `needed` bytes beside what an interrupted export left."""
    place = next((one for one in target.parents if one.is_dir()), Path("/"))
    left = [path for path in staging_folder(target).glob("*") if path.is_file()]
    free = shutil.disk_usage(place).free + sum(path.stat().st_size for path in left)
    if free < needed + _SPARE:
        what = f"the export takes {size(needed)}, and the disk has {size(free)} free"
        raise InputError(Problem(what, str(place), "Free some space, or name another place with --out."))


def staging_folder(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


@contextmanager
def staged(target: Path, plan: str) -> Iterator[Staging]:
    """A place to write into; when the block ends well it stands at `target`.

    An interruption leaves it for the next time, any error of the disk removes it. Raises InputError for these, and
    where another process makes the same export.
    """
    check_target(target)
    folder = staging_folder(target)
    with _disk_errors(target), _alone(private_folder(folder)):
        try:
            staging = Staging(folder, target, plan, _kept(folder, plan))
            yield staging
            _commit(staging)
        except Exception:
            shutil.rmtree(folder, ignore_errors=True)
            raise


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        hint = "Nothing is left of it. Free some space and export again." if error.errno in _NO_ROOM else ""
        raise InputError(Problem(f"the export cannot be written: {reason}", str(target), hint)) from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Raises InputError where another process holds the folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            hint = "Wait for it, or name another folder with --out."
            raise InputError(Problem("another process is making this export", str(folder), hint)) from error
        yield
    finally:
        os.close(descriptor)


def _kept(folder: Path, plan: str) -> dict[str, Entry]:
    """What an interrupted export of the same plan left whole; anything else in the folder is removed."""
    journal = read_small(folder / _JOURNAL, _Journal)
    kept: dict[str, Entry] = {}
    if journal is not None and journal.plan == plan:
        for name, entry in journal.files.items():
            with suppress(Unsound, OSError):
                compare_file(folder, name, entry)
                kept[name] = entry
    tops = {PurePosixPath(name).parts[0] for name in kept}
    for path in folder.iterdir():
        if path.name not in tops and path.name != _JOURNAL:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return kept


def put(staging: Staging, name: str, content: Iterable[Buffer]) -> bool:
    """Write a file, unless it is there whole; returns whether it was written. Raises OSError."""
    if name in staging.files:
        return False
    path = staging.folder / name
    if PurePosixPath(name).parent != PurePosixPath("."):
        private_folder(path.parent)
    path.unlink(missing_ok=True)
    staging.files[name] = write_sealed(path, content)
    journal = _Journal(staging.plan, staging.files)
    write_atomically(staging.folder / _JOURNAL, msgspec.json.encode(journal))
    return True


def put_all(staging: Staging, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        put(staging, name, [content])


def adopt(staging: Staging, name: str) -> None:
    """Take over a file that another program wrote into the folder: for this user alone, and on the disk."""
    path = staging.folder / name
    path.chmod(0o600)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _commit(staging: Staging) -> None:
    check_target(staging.target)
    (staging.folder / _JOURNAL).unlink(missing_ok=True)
    for inner in (staging.folder, *(path for path in staging.folder.rglob("*") if path.is_dir())):
        fsync_folder(inner)
    staging.folder.rename(staging.target)
    fsync_folder(staging.target.parent)
