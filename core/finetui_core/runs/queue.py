"""The queue of a folder of runs: which runs wait, in which order, and the process that starts them.

A run waits for as long as its own folder holds a `queued.json` with a place, and the attempt that this names has not
begun. So a run is queued by the same rename that makes it, is started once however often somebody tries, and takes
its place along into the trash and back. `.queue/` in the folder of runs holds nothing that cannot be lost: locks, the
mark that the queue is paused, and the worker's log.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from finetui_core.errors import InputError, Problem, RunFailed
from finetui_core.files import open_private, private_folder, write_atomically
from finetui_core.runs.command import child_environment
from finetui_core.runs.lock import held, is_file_locked, take_lock
from finetui_core.runs.logind import at_logout
from finetui_core.runs.ownership import require_own, require_safe_folder
from finetui_core.runs.paths import RunPaths, run_ids
from finetui_core.runs.records import Queued, read_small

Direction = Literal["up", "down", "first", "last"]
BUSY = 3
"""The worker's exit code where there is one already."""
_START_WITHIN = 30.0  # seconds
_POLL_EVERY = 0.05
_LEAST_GAP = 1e-6  # between two places, below which all are numbered anew


@dataclass(frozen=True, slots=True)
class QueuePaths:
    """The files beside the runs of `root` that belong to their queue."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / ".queue"

    @property
    def lock(self) -> Path:
        return self.folder / "worker.lock"

    @property
    def order(self) -> Path:
        return self.folder / "order.lock"

    @property
    def paused(self) -> Path:
        return self.folder / "paused"

    @property
    def log(self) -> Path:
        return self.folder / "worker.txt"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run in the queue."""

    paths: RunPaths
    queued: Queued

    @property
    def place(self) -> float:
        return self.queued.place or 0.0


# What is there.


def waiting(root: Path) -> list[Waiting]:
    """The runs in the queue, the next one first. A stat for each run of the folder."""
    found = [one for name in run_ids(root) if (one := waiting_run(RunPaths(root / name)))]
    return sorted(found, key=lambda one: (one.place, one.paths.id))


def waiting_run(paths: RunPaths) -> Waiting | None:
    """The run, if it waits in the queue."""
    queued = read_small(paths.queued, Queued)
    if queued is None or queued.place is None or queued.attempt <= max(paths.attempt_numbers(), default=0):
        return None
    return Waiting(paths, queued)


def is_paused(root: Path) -> bool:
    return QueuePaths(root).paused.exists()


def is_working(root: Path) -> bool:
    """Whether a worker goes through this queue."""
    return is_file_locked(QueuePaths(root).lock)


def standstill(root: Path, number: int) -> str:
    """Why the `number` runs that wait are not being started, and what starts them; "" where they are."""
    if not number:
        return ""
    runs = f"{number:,} {'run waits' if number == 1 else 'runs wait'}"
    if is_paused(root):
        return f"{runs} in the queue, which is paused: ftui queue start"
    if not is_working(root):
        return f"{runs}, and the queue stands still: ftui queue start"
    return ""


# Changing it. Every change is one file written whole, with the lock of the order held.


@contextmanager
def changing(root: Path) -> Iterator[None]:
    """Keep the order to oneself for a moment. Raises InputError where the folder cannot or must not be written."""
    queue = QueuePaths(root)
    require_safe_folder(queue.folder)
    try:
        private_folder(queue.folder)
        with held(queue.order):
            yield
    except OSError as error:
        what = f"the queue cannot be changed: {error.strerror}"
        hint = "check that the folder of runs is yours and that the disk can be written"
        raise InputError(Problem(what, str(error.filename or root), hint)) from error


def at_the_end(root: Path, number: int = 1) -> list[Queued]:
    """Entries for that many new runs, after all others; asked for and written inside `changing`."""
    last = max((one.place for one in waiting(root)), default=0.0)
    now = time.time()
    return [Queued(last + 1.0 + offset, since=now) for offset in range(number)]


def encoded(queued: Queued) -> bytes:
    return msgspec.json.encode(queued) + b"\n"


def add(root: Path, paths: RunPaths, place: float | None = None) -> None:
    """Put a run that does not go on into the queue, for its next attempt: at the end, or at a place it had before.

    Raises InputError where it waits already, or is another user's.
    """
    require_own(paths)
    with changing(root):
        if waiting_run(paths):
            raise InputError(Problem(f"{paths.id} waits in the queue already", hint="see: ftui queue"))
        attempt = max(paths.attempt_numbers(), default=0) + 1
        entry = msgspec.structs.replace(at_the_end(root)[0], attempt=attempt)
        if place is not None:
            entry = msgspec.structs.replace(entry, place=place)
        _write(paths, entry)


def remove(root: Path, paths: RunPaths, fault: str = "") -> float:
    """Take a run out of the queue and return the place that it had; it is kept, and can be put back or resumed.

    Raises InputError where it does not wait, or is being started at this moment.
    """
    with changing(root):
        lock = take_lock(paths)
        try:
            one = waiting_run(paths)
            if one is None or lock is None:
                raise _not_waiting(paths)
            _write(paths, Queued(None, one.queued.attempt, time.time(), fault))
            return one.place
        finally:
            if lock is not None:
                os.close(lock)


def move(root: Path, paths: RunPaths, direction: Direction) -> int:
    """Move a run within the queue, and return its new number, counted from 1. Raises InputError."""
    with changing(root):
        order = waiting(root)
        at = next((at for at, one in enumerate(order) if one.paths.root == paths.root), None)
        if at is None:
            raise _not_waiting(paths)
        to = {"up": at - 1, "down": at + 1, "first": 0, "last": len(order) - 1}[direction]
        to = min(max(to, 0), len(order) - 1)
        if to != at:
            one = order.pop(at)
            order.insert(to, one)
            _put_between(order, to)
        return to + 1


def _put_between(order: Sequence[Waiting], at: int) -> None:
    """Give the run at this index a place between its neighbours; one write, unless their places are too close."""
    before = order[at - 1].place if at else order[at + 1].place - 2.0
    after = order[at + 1].place if at + 1 < len(order) else before + 2.0
    if after - before > _LEAST_GAP:
        return _write_place(order[at], (before + after) / 2)
    first = max(one.place for one in order) + 1.0
    for offset, one in reversed(list(enumerate(order))):  # from the last: the order holds at every moment
        _write_place(one, first + offset)
    return None


def _write_place(one: Waiting, place: float) -> None:
    _write(one.paths, msgspec.structs.replace(one.queued, place=place))


def _write(paths: RunPaths, queued: Queued) -> None:
    write_atomically(paths.queued, encoded(queued))


def _not_waiting(paths: RunPaths) -> InputError:
    return InputError(Problem(f"{paths.id} does not wait in the queue", hint="see: ftui queue"))


def pause(root: Path) -> None:
    """Start no further runs until `start`; those under way go on. Raises InputError."""
    with changing(root):
        write_atomically(QueuePaths(root).paused, b"")


def start(root: Path) -> bool:
    """Let the queue go on: no pause, and a worker if runs wait. Returns whether one was started.

    Raises InputError where the folder cannot be written and RunFailed where no worker starts.
    """
    with changing(root):
        QueuePaths(root).paused.unlink(missing_ok=True)
    return start_worker(root)


def start_worker(root: Path) -> bool:
    """Start a worker that survives this process and its terminal, if one is needed; whether it was.

    Returns once it works, or is through. Raises RunFailed where it does not start.
    """
    if is_working(root) or is_paused(root) or not waiting(root):
        return False
    queue = QueuePaths(root)
    log = open_private(queue.log, os.O_WRONLY | os.O_APPEND)
    said_before = os.fstat(log).st_size
    try:
        worker = subprocess.Popen(
            [
                *at_logout().prefix,
                sys.executable,
                "-m",
                "finetui_core.runs.queue_worker",
                str(root.absolute()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=root,
            env=child_environment(),
            start_new_session=True,
        )
    finally:
        os.close(log)
    deadline = time.monotonic() + _START_WITHIN
    while worker.poll() is None and not is_working(root):
        if time.monotonic() > deadline:
            raise RunFailed(f"the queue did not start within {_START_WITHIN:.0f} s; see {queue.log}")
        time.sleep(_POLL_EVERY)
    if worker.returncode not in (None, 0, BUSY):
        said = queue.log.read_bytes()[said_before:].decode(errors="replace").strip()
        raise RunFailed(f"the queue could not be started: {said}\nsee {queue.log}")
    threading.Thread(target=worker.wait, daemon=True).start()  # or it stays a zombie of this process
    return True
