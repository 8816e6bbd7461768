"""A trainer in which nothing runs any more, as the supervisor sees it: its heartbeat stands still.

The trainer's own watchdog is a thread of Python, and cannot act where a library keeps Python's lock for ever. A
heartbeat is a file, so it also stands still on a full or dead disk, and while the process is stopped: neither counts.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from finetui_core.files import write_atomically
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.process import start_ticks
from finetui_core.runs.records import Heartbeat, read_small

FROZEN_AFTER = 900.0
"""Seconds, of 450 heartbeats: far more than any library keeps Python's lock for good reason."""
_MOST_BETWEEN = 10.0  # seconds that count between two looks: a machine that slept was not waited for
_STOPPED = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)


class Stillness:
    """For how long the heartbeat of one trainer has stood still while it could have moved."""

    def __init__(self, paths: RunPaths, pid: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._paths = paths
        self._pid, self._ticks = pid, start_ticks(pid)
        self._clock = clock
        self._looked_at: float | None = None
        self._seq: int | None = None
        self._seconds = 0.0

    def is_frozen(self) -> bool:
        """Look again; true once it has stood still for too long, and a file like it can be written."""
        now = self._clock()
        elapsed = 0.0 if self._looked_at is None else min(now - self._looked_at, _MOST_BETWEEN)
        self._looked_at = now
        beat = read_small(self._paths.heartbeat, Heartbeat)
        if beat is None or beat.seq != self._seq or _status(self._pid) in _STOPPED:
            self._seq = beat.seq if beat is not None else None
            self._seconds = 0.0
            return False
        self._seconds += elapsed
        return self._seconds > FROZEN_AFTER and self._can_write()

    def abort(self) -> None:
        """End the trainer so that the stacks of its threads come into the log: faulthandler answers SIGABRT."""
        if self._ticks is not None and start_ticks(self._pid) == self._ticks:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self._pid, signal.SIGABRT)

    def _can_write(self) -> bool:
        """Whether a file can be made beside the heartbeat, as the heartbeat is."""
        trial = self._paths.root / ".heartbeat-trial"
        try:
            write_atomically(trial, b"{}", durable=False)
            trial.unlink()
        except OSError:
            return False
        return True


def _status(pid: int) -> str | None:
    try:
        return str(psutil.Process(pid).status())
    except psutil.Error:
        return None
