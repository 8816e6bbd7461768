"""The lock that lets a run be trained by one process at a time; the kernel drops it with its last holder."""

import fcntl
import os
import time

from finetui_core.runs.paths import RunPaths

_TRIES = 5
_PAUSE = 0.02  # seconds; `is_locked` holds the lock for microseconds and must not look like a running trainer


def take_lock(paths: RunPaths) -> int | None:
    """The descriptor that holds the lock, for as long as any process has it open; None if it is taken.

    Where the file system has no locks (some mounts of Lustre and NFS) the run goes on without one.
    Raises OSError where the lock file cannot be made.
    """
    descriptor = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
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


def is_locked(paths: RunPaths) -> bool:
    """Whether a supervisor or a trainer of this run is alive, as far as its lock tells."""
    try:
        descriptor = os.open(paths.lock, os.O_RDONLY | os.O_CLOEXEC)
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
