"""The queue's worker: starts the next run whenever a device is free, and ends when no run waits.

It lives in its own session and holds the queue's lock. It keeps nothing in mind: what waits and what is taken is read
from the runs each time, so that another worker goes on where this one was killed.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from finetui_core.errors import InputError, RunFailed
from finetui_core.runs.checkpoints import newest_valid
from finetui_core.runs.devices import devices, taken
from finetui_core.runs.live import LiveRuns
from finetui_core.runs.lock import is_locked, take_file_lock
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.process import boot_id, host_name
from finetui_core.runs.queue import BUSY, QueuePaths, Waiting, is_paused, remove, waiting, waiting_run
from finetui_core.runs.records import Attempt, content_of, read_small
from finetui_core.runs.supervisor import launch
from finetui_core.secrets import redact_output

POLL_EVERY = 0.5  # seconds


def work(root: Path) -> int:
    """Start runs until none waits or the queue is paused; returns the exit code."""
    live, every = LiveRuns(root), devices()
    while True:
        lock = take_file_lock(QueuePaths(root).lock)
        if lock is None:
            return BUSY
        while start_next(root, live, every):
            time.sleep(POLL_EVERY)
        os.close(lock)
        # A run that was added while the lock was held has no other worker.
        if is_paused(root) or not waiting(root):
            return 0


def start_next(root: Path, live: LiveRuns, every: Sequence[str]) -> bool:
    """Start the next run if enough of the devices are free; False where none waits or the queue is paused.

    None overtakes another: one that needs several GPUs gets them when they are free at once.
    """
    if is_paused(root):
        return False
    order = waiting(root)
    if not order:
        return False
    occupied = set[str]().union(*(_taken(RunPaths(path), every) for path in live.find()))
    free = [device for device in every if device not in occupied]
    needed = min(_processes(order[0].paths), len(every))
    if len(free) >= needed:
        _start(root, order[0], ",".join(free[:needed]))
    return True


def _start(root: Path, one: Waiting, device: str) -> None:
    """Start the run; one that cannot be started is taken out, so that the others do not wait for it."""
    paths = one.paths
    try:
        checkpoint, _ = newest_valid(paths.checkpoints)
        launch(paths, f"checkpoints/{checkpoint.path.name}" if checkpoint else None, device)
        print(f"{time.strftime('%F %T')} {paths.id} on {device}", flush=True)
    except (RunFailed, OSError) as error:
        print(f"{time.strftime('%F %T')} {paths.id}: {error}", flush=True)
        if waiting_run(paths) and not is_locked(paths):
            try:
                remove(root, paths, fault=str(error).splitlines()[0])
            except InputError as refused:
                print(refused, flush=True)


def _taken(paths: RunPaths, every: Sequence[str]) -> set[str]:
    numbers = paths.attempt_numbers()
    attempt = read_small(paths.attempt(numbers[-1]), Attempt) if numbers else None
    if attempt is None or attempt.host != host_name() or attempt.boot_id != boot_id():
        return set()
    return set(taken(attempt, _processes(paths), every))


def _processes(paths: RunPaths) -> int:
    """How many processes the run trains with, each on a GPU of its own."""
    try:
        resolved = msgspec.json.decode(content_of(paths.resolved_recipe))
        return max(1, int(resolved["launch"]["nproc_per_node"]))
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError):
        return 1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m finetui_core.runs.queue_worker")
    parser.add_argument("root", type=Path)
    options = parser.parse_args(arguments)
    os.umask(0o077)
    redact_output()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the runs that it starts inherit this
    return work(options.root)


if __name__ == "__main__":
    sys.exit(main())
