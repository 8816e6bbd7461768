"""`python -m finetui_core.hosted.follower RUN --attempt N`: what follows a hosted job, as a run's trainer.

The supervisor of the run starts it, starts it again after a crash, and records how it ended.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from finetui_core.errors import InputError
from finetui_core.hosted.client import connect
from finetui_core.hosted.following import Follower, follow
from finetui_core.hosted.record import place_of, read_record
from finetui_core.runs.lock import keep_lock_from_children
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.writer import Heartbeat, RunWriter
from finetui_core.secrets import redact_output

_SECONDS = 30.0
"""For a whole answer: shorter than the supervisor's patience with a stop."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m finetui_core.hosted.follower")
    parser.add_argument("run", type=Path)
    parser.add_argument("--attempt", type=int, required=True)
    options = parser.parse_args(arguments)
    os.umask(0o077)
    redact_output()
    paths = RunPaths(options.run)
    keep_lock_from_children(paths)
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGXCPU):
        signal.signal(number, note)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    writer = RunWriter(paths, options.attempt)
    try:
        with Heartbeat(paths) as beats:
            return _followed(paths, writer, beats, lambda: bool(received))
    except InputError as error:
        problems = [{"what": one.what, "where": one.where, "hint": one.hint} for one in error.problems]
        writer.event("error", kind="input", problems=problems)
        return 2
    finally:
        writer.close()


def _followed(paths: RunPaths, writer: RunWriter, beats: Heartbeat, told_to_end: Callable[[], bool]) -> int:
    record = read_record(paths)
    if record is None:
        print(f"{paths.hosted} is missing or damaged", file=sys.stderr)
        return 1
    client = connect(place_of(record), _SECONDS)
    return follow(Follower(paths, record, client, writer, beats, told_to_end=told_to_end))


if __name__ == "__main__":
    sys.exit(main())
