"""What a trainer leaves behind: processes that outlive it, and memory of a GPU that they hold.

They are found by a mark in their environment, which children inherit, and, where the system can do it, by this
process being the parent of all orphans among its descendants. Data loaders that have left the trainer's process
group are found either way.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import psutil

from finetui_core.runs.pidfd import has_ended, hold, send
from finetui_core.runs.process import start_ticks

MARK = "FTUI_ATTEMPT"
"""The variable that a trainer and all that it starts have in their environment."""
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
_EACH = 0.2  # seconds that one process may take to die of SIGKILL before the next is looked at


def adopt_orphans() -> bool:
    """Make this process the parent of all orphans among its descendants; False where that cannot be done."""
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def left_behind(mark: str, since: int) -> list[int]:
    """The live processes of the trainer whose mark begins so, which itself has ended; `since` are its start ticks."""
    own = os.getpid()
    with suppress(psutil.Error):
        children = {child.pid for child in psutil.Process(own).children(recursive=True)}
        pids = children | set(psutil.pids())
        return [pid for pid in pids if pid != own and _is_left(pid, mark, children, since)]
    return []


def end_left_behind(mark: str, since: int, within: float) -> tuple[list[int], list[int]]:
    """SIGKILL all that is left, and what that starts meanwhile; returns (whom, those that live after `within` s)."""
    ended: list[int] = []
    deadline = time.monotonic() + within
    while left := left_behind(mark, since):
        ended += [pid for pid in left if pid not in ended]
        for pid in left:
            _kill(pid, mark, since)
        if time.monotonic() > deadline:
            return ended, left_behind(mark, since)
    for pid in ended:
        _reap(pid)
    return ended, []


def _is_left(pid: int, mark: str, children: set[int], since: int) -> bool:
    ticks = start_ticks(pid)
    if ticks is None or ticks < since:
        return False
    return pid in children or _has_mark(pid, mark)


def _has_mark(pid: int, mark: str) -> bool:
    try:
        environment: Mapping[str, str] = psutil.Process(pid).environ()
    except (psutil.Error, OSError):
        return False
    return environment.get(MARK, "").startswith(mark)


def _kill(pid: int, mark: str, since: int) -> None:
    """The process is looked at again once it is held: until then its pid might have become another's."""

    def is_meant(pid: int) -> bool:
        children = set[int]()
        with suppress(psutil.Error):
            children = {child.pid for child in psutil.Process().children(recursive=True)}
        return _is_left(pid, mark, children, since)

    with suppress(PermissionError), hold(pid, is_meant) as held:
        if held is not None and send(held, signal.SIGKILL):
            has_ended(held, _EACH)
    _reap(pid)


def _reap(pid: int) -> None:
    """An orphan that this process adopted stays a zombie until it is waited for."""
    with suppress(OSError):
        os.waitpid(pid, os.WNOHANG)


def gpu_memory_held(
    pids: set[int],
    ask: Callable[[], Mapping[int, int | None]],
    within: float,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[int, int | None]:
    """Which of `pids` still hold memory of a GPU after `within` seconds, and how many bytes where that is told.

    `ask` gives the compute processes of all GPUs; the driver may take seconds to let go of what died.
    """
    left = within
    while True:
        holding = {pid: held for pid, held in ask().items() if pid in pids}
        if not holding or left <= 0:
            return holding
        sleep(min(0.5, left))
        left -= 0.5
