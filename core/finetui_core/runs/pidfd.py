"""Waiting for another process and signalling it, so that a stranger with its pid is never met.

A pid is used again once its process is gone. A pidfd stands for one process for ever: it is opened first, and who it
is of is looked at afterwards, so that whatever happens in between, a signal meets the process that was meant or
nobody. Where the system has none (macOS, Linux before 5.3), the process is looked at right before the signal.
"""

import errno
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from finetui_core.runs.process import boot_id, start_ticks

_LOOK_EVERY = 0.05  # seconds, where there is nothing to wait on


@dataclass(frozen=True, slots=True)
class Held:
    """A process. `descriptor` is its pidfd, None where there are none; then its `ticks` tell it from others."""

    pid: int
    ticks: int | None
    descriptor: int | None


@contextmanager
def hold(
    pid: int, is_meant: Callable[[int], bool], lookup: Callable[[int], int | None] = start_ticks
) -> Iterator[Held | None]:
    """The live process `pid` if `is_meant` says so of it, else None.

    `is_meant` is asked once the pidfd is open. Raises PermissionError where the process is of another user.
    """
    try:
        descriptor = _open(pid)
    except OSError:  # gone, or no process but a thread
        yield None
        return
    try:
        ticks = lookup(pid)
        yield Held(pid, ticks, descriptor) if ticks is not None and is_meant(pid) else None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def started_at(
    ticks: int, boot: str, lookup: Callable[[int], int | None] = start_ticks
) -> Callable[[int], bool]:
    """A condition for `hold`: the process that was recorded with these start ticks and this boot id."""
    return lambda pid: ticks > 0 and boot == boot_id() and lookup(pid) == ticks


def hold_child(pid: int) -> Held:
    """A child of this process that has not been waited for: until it is, nobody else can get its pid.

    To be given to `let_go`.
    """
    return Held(pid, start_ticks(pid), _open(pid))


def let_go(held: Held) -> None:
    if held.descriptor is not None:
        os.close(held.descriptor)


def send(held: Held, number: int, lookup: Callable[[int], int | None] = start_ticks) -> bool:
    """Send a signal; False where the process is gone. Raises PermissionError."""
    try:
        if held.descriptor is not None:
            signal.pidfd_send_signal(held.descriptor, number)
        elif lookup(held.pid) == held.ticks:
            os.kill(held.pid, number)
        else:
            return False
    except ProcessLookupError:
        return False
    return True


def has_ended(held: Held, within: float) -> bool:
    """Wait up to `within` seconds for the end of the process; a zombie has ended."""
    if held.descriptor is not None:
        poll = select.poll()
        poll.register(held.descriptor, select.POLLIN)
        return bool(poll.poll(max(0, round(within * 1000))))
    deadline = time.monotonic() + within
    while start_ticks(held.pid) == held.ticks:
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(_LOOK_EVERY, left))
    return True


def _open(pid: int) -> int | None:
    """The pidfd, or None where the system has none. Raises OSError where there is no such process."""
    if pid <= 0:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    opens = getattr(os, "pidfd_open", None)
    if opens is None or not hasattr(signal, "pidfd_send_signal"):
        return None
    try:
        descriptor: int = opens(pid)
        return descriptor
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EPERM):  # an old kernel, or a sandbox that knows no pidfds
            return None
        raise
