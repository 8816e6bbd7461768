"""Several new files that appear together, whole, and never over another one."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from finetui_core.errors import InputError, Problem
from finetui_core.files import fsync_folder

PRIVATE = 0o600


@contextmanager
def new_files(paths: Sequence[Path], modes: Sequence[int]) -> Iterator[list[BinaryIO]]:
    """Open a temporary file for each path; name them once the body is done, and leave nothing if it fails.

    Each is on disk before the first gets its name; the last path is named last, so that who finds it finds
    all. Raises InputError where a path is taken, or cannot be written.
    """
    refuse_taken(paths)
    temporary = [path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}") for path in paths]
    named: list[Path] = []
    files: list[BinaryIO] = []
    try:
        for path, mode in zip(temporary, modes, strict=True):
            files.append(open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb"))  # noqa: PTH123, SIM115
        yield files
        for file in files:
            file.flush()
            os.fsync(file.fileno())
        for written, path in zip(temporary, paths, strict=True):
            _name(written, path)
            named.append(path)
        for folder in {path.parent for path in paths}:
            fsync_folder(folder)
    except BaseException as error:
        for path in named:
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            raise InputError(
                Problem(
                    f"the file cannot be written: {reason}", str(paths[-1]), "Name another place with -o."
                )
            ) from error
        raise
    finally:
        for file in files:
            file.close()
        for path in temporary:
            path.unlink(missing_ok=True)


def mode_of(source: Path) -> int:
    """The permissions that a file made from `source` gets: no wider than its own."""
    return stat.S_IMODE(source.stat().st_mode) & 0o666


def refuse_taken(paths: Sequence[Path]) -> None:
    """Raise InputError for each path where there is something already."""
    taken = [path for path in paths if os.path.lexists(path)]
    if taken:
        hint = "Files are never written over: name another one with -o, or move this one away."
        raise InputError([Problem("there is a file of this name already", str(path), hint) for path in taken])


def _name(written: Path, path: Path) -> None:
    """Give a finished file its name. A link fails where the name was taken meanwhile; a rename would not."""
    try:
        os.link(written, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        refuse_taken([path])
        written.rename(path)
