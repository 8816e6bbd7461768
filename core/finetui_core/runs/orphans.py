"""Ending a trainer whose supervisor is gone, so that nobody else would."""

import os
import signal
from contextlib import suppress

import psutil

from finetui_core.runs.pidfd import has_ended, hold, send, started_at
from finetui_core.runs.process import host_name
from finetui_core.runs.records import Attempt

_DIES_WITHIN = 10.0  # seconds


def end_orphan(attempt: Attempt) -> bool:
    """SIGKILL the trainer of an attempt with its process group; False where it is not on this machine, or gone.

    While the trainer lives and is held, the group of its number is its own. Raises PermissionError.
    """
    if attempt.host != host_name():
        return False
    with hold(attempt.pid, started_at(attempt.start_ticks, attempt.boot_id)) as trainer:
        if trainer is None:
            return False
        for pid in psutil.pids():
            if pid != attempt.pid:
                _end_member(pid, attempt.pid)
        return send(trainer, signal.SIGKILL) and has_ended(trainer, _DIES_WITHIN)


def _end_member(pid: int, group: int) -> None:
    def is_member(pid: int) -> bool:
        with suppress(OSError):
            return os.getpgid(pid) == group
        return False

    if is_member(pid):
        with suppress(PermissionError), hold(pid, is_member) as member:
            if member is not None:
                send(member, signal.SIGKILL)
