"""The supervisor of another host than the first: it takes part in one attempt of the run after the other.

It decides nothing: which attempt there is, and whether there is another, it reads from the shared run directory,
where the supervisor of the first host writes it. So restarts have one owner, and a host that was away joins the next
attempt.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import psutil

from finetui_core.files import open_private
from finetui_core.hardware.nvml import GpuProbe
from finetui_core.hardware.sample import sample
from finetui_core.runs.command import child_environment, hosts, trainer_command, trainer_environment
from finetui_core.runs.liveness import signal_name
from finetui_core.runs.lock import take_file_lock
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.process import process_identity
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import Attempt, End, NodeEnd, content_of, read_small
from finetui_core.runs.writer import RecordFile, attempt_of_this_process, write_attempt
from finetui_core.secrets import redact_output

FULL = 3
"""Exit code: every place of the run is taken."""
_POLL_EVERY = 0.5
_SAMPLE_EVERY = 2.0
_WAITS_FOR = 3600.0
"""Seconds without a new attempt after which it gives up."""
_OVER = ("finished", "stopped")


def start(paths: RunPaths) -> subprocess.Popen[bytes]:
    """Start the supervisor of this host so that it survives this process and its terminal.

    Its first line is the number that this host got and where its log begins; without one it ends, with FULL or 1.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "finetui_core.runs.node", str(paths.root.absolute())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=paths.root,
        env=child_environment(),
        start_new_session=True,
    )


def take_part(paths: RunPaths, resolved: Mapping[str, Any], node: int, say: Callable[[str], None]) -> int:
    """Train in every attempt of the run as its host number `node`, until the run is over; return the exit code.

    Without automatic restarts (launch.max_restarts = 0) a failed attempt is the end; with them the next one is waited
    for, for an hour. Must be called from the main thread.
    """
    trainer: list[subprocess.Popen[bytes]] = []
    told: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        told.append(number)
        if trainer:
            trainer[-1].send_signal(number)

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, forward)
    signal.signal(signal.SIGINT, forward)
    restarts = bool(resolved.get("launch", {}).get("max_restarts", 0))
    view, served, since = RunView(paths), 0, time.monotonic()
    say(f"host {node + 1} of {hosts(resolved)}: waiting for the run to start on its first host")
    while not told:
        view.refresh()
        number = max(paths.attempt_numbers(), default=0)
        if number > served and _is_open(paths, number, node):
            say(f"attempt {number}: taking part")
            end = _attempt(paths, resolved, node, number, trainer)
            say(f"attempt {number}: {end.reason}")
            served, since = number, time.monotonic()
        elif _is_over(view, number):
            say(f"the run is over: {view.state.state}, {view.state.reason}")
            return 0
        elif not restarts and served and _has_ended(paths, number):
            say(f"the run has ended: {view.state.reason}")
            return 1
        elif not restarts and served and time.monotonic() - since > SETTLES_WITHIN:
            say("the first host has recorded no end: it is lost as well, or cannot be reached")
            return 1
        elif time.monotonic() - since > _WAITS_FOR:
            say("no new attempt for an hour")
            return 1
        time.sleep(_POLL_EVERY)
    return 128 + told[-1]


SETTLES_WITHIN = 30.0
"""Seconds that the first host may take to record the end of an attempt that has ended here."""


def _is_open(paths: RunPaths, number: int, node: int) -> bool:
    """Whether the attempt goes on and this host has not taken part in it before."""
    return not _has_ended(paths, number) and not paths.node_attempt(number, node).exists()


def _has_ended(paths: RunPaths, number: int) -> bool:
    attempt = read_small(paths.attempt(number), Attempt)
    return attempt is not None and attempt.end is not None


def _is_over(view: RunView, number: int) -> bool:
    return number > 0 and not view.state.live and view.state.state in _OVER


def _attempt(
    paths: RunPaths,
    resolved: Mapping[str, Any],
    node: int,
    number: int,
    trainer: list[subprocess.Popen[bytes]],
) -> End:
    """Take part in one attempt to its end, and record it in the node's own file."""
    attempt = write_attempt(paths, attempt_of_this_process(number), node)  # the first host waits for this
    log = open_private(paths.log(number, node), os.O_WRONLY | os.O_APPEND)
    try:
        process = subprocess.Popen(
            [*trainer_command(paths, resolved, node), "--attempt", str(number)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=trainer_environment(resolved),
            process_group=0,
        )
    finally:
        os.close(log)
    trainer.append(process)
    ticks, _ = process_identity(process.pid)
    attempt = write_attempt(paths, msgspec.structs.replace(attempt, pid=process.pid, start_ticks=ticks), node)
    code = _wait_and_sample(paths, node, number, process)
    said = read_small(paths.node_end(number, node), NodeEnd)
    if code < 0:
        end = End(time.time(), signal=-code, reason=f"killed by {signal_name(-code)}")
    else:
        end = End(time.time(), exit_code=code, reason=said.what if said else f"exit code {code}")
    write_attempt(paths, msgspec.structs.replace(attempt, end=end), node)
    return end


def _wait_and_sample(paths: RunPaths, node: int, number: int, process: subprocess.Popen[bytes]) -> int:
    over = threading.Event()

    def sample_until_over() -> None:
        samples, gpus = RecordFile(paths.system(number, node)), GpuProbe()
        psutil.cpu_percent()
        while not over.wait(_SAMPLE_EVERY):
            samples.append(sample(paths.root, process.pid, gpus))
        samples.close()

    sampling = threading.Thread(target=sample_until_over, daemon=True)
    sampling.start()
    with suppress(ChildProcessError):
        os.waitid(
            os.P_PID, process.pid, os.WEXITED | os.WNOWAIT
        )  # until it is reaped its number stays its own
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    code = process.wait()
    over.set()
    sampling.join(timeout=_SAMPLE_EVERY)
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m finetui_core.runs.node")
    parser.add_argument("run", type=Path)
    options = parser.parse_args(arguments)
    os.umask(0o077)
    redact_output()
    paths = RunPaths(options.run)
    resolved = msgspec.json.decode(content_of(paths.resolved_recipe), type=dict[str, Any])
    for node in range(1, hosts(resolved)):
        lock = take_file_lock(paths.node_lock(node))
        if lock is not None:
            break
    else:
        return FULL
    log = os.open(paths.node_log(node), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    print(node, os.fstat(log).st_size, flush=True)  # tells who started it which place it has
    os.dup2(log, 1)
    os.dup2(log, 2)

    def say(line: str) -> None:
        print(f"{time.strftime('%F %T')} {line}", flush=True)

    return take_part(paths, resolved, node, say)


if __name__ == "__main__":
    sys.exit(main())
