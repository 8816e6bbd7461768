"""Locks that the kernel drops with their last holder; that of a run lets it be trained by one process at a time."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from finetui_core.files import open_private
from finetui_core.runs.ownership import run_problems
from finetui_core.runs.paths import RunPaths

_TRIES = 5
_MOST_INHERITED = 256
"""Descriptors among which a trainer looks for the lock that its supervisor has passed on."""
_PAUSE = (
    0.02  # seconds; `is_file_locked` holds the lock for microseconds and must not look like a running trainer
)


def take_lock(paths: RunPaths) -> int | None:
    """The descriptor that holds the run's lock; None if it is taken.

    Raises OSError, also where the run is not this user's to write.
    """
    for problem in run_problems(paths):
        raise PermissionError(errno.EPERM, problem.what, problem.where)
    return take_file_lock(paths.lock)


def keep_lock_from_children(paths: RunPaths) -> None:
    """Let no program that the trainer starts inherit the run's lock: one that outlives it would keep it locked."""
    try:
        lock = paths.lock.stat()
    except OSError:
        return
    for descriptor in range(3, _MOST_INHERITED):
        with suppress(OSError):
            found = os.fstat(descriptor)
            if (found.st_dev, found.st_ino) == (lock.st_dev, lock.st_ino):
                os.set_inheritable(descriptor, False)


def is_locked(paths: RunPaths) -> bool:
    """Whether a supervisor or a trainer of this run is alive, as far as its lock tells."""
    return is_file_locked(paths.lock)


def take_file_lock(path: Path) -> int | None:
    """The descriptor that holds the lock, for as long as any process has it open; None if it is taken.

    Where the file system has no locks (some mounts of Lustre and NFS) things go on without one.
    Raises OSError where the lock file cannot be made.
    """
    descriptor = open_private(path, os.O_RDWR)
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        except OSError:
            pass
        return descriptor
    os.close(descriptor)
    return None


def is_file_locked(path: Path) -> bool:
    """Whether somebody holds the lock, as far as can be told."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock for a moment, waiting for others who do. Raises OSError where the file cannot be made."""
    descriptor = open_private(path, os.O_RDWR)
    try:
        with suppress(OSError):  # no locks here
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
