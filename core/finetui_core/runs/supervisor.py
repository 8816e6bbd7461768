"""The supervisor: the trainer's parent, which outlives terminals and records how the trainer ended.

It lives in its own session, holds the lock of the run, samples the hardware and waits.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import psutil

from finetui_core.errors import RunFailed
from finetui_core.files import write_atomically
from finetui_core.hardware.nvml import GpuProbe
from finetui_core.hardware.oom import oom_kills
from finetui_core.hardware.sample import sample
from finetui_core.runs.command import child_environment, trainer_command, trainer_environment
from finetui_core.runs.devices import CPU
from finetui_core.runs.liveness import signal_name
from finetui_core.runs.lock import is_locked, take_lock
from finetui_core.runs.mailbox import refuse_all
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.process import host_name, process_identity
from finetui_core.runs.records import Attempt, End, Queued, read_small
from finetui_core.runs.writer import RecordFile

__all__ = ["BUSY", "is_locked", "launch", "main", "run_attempt"]

BUSY = 3  # exit code: the run is already running
_SAMPLE_EVERY = 2.0  # seconds
_LAUNCH_WITHIN = 30.0
_POLL_EVERY = 0.05
_RETRY_FOR = 60.0  # seconds of trying to write an attempt's record on a full disk


def launch(
    paths: RunPaths, resumed_from: str | None = None, device: str | None = None, *, inexact: bool = False
) -> int:
    """Start a supervisor that survives this process and its terminal, and return its pid.

    With a `device` it is started only if it still waits in the queue, and trains there. Returns when the trainer
    has been started. Raises RunFailed when it was not, with the reason.
    """
    command = [sys.executable, "-m", "finetui_core.runs.supervisor", str(paths.root.absolute())]
    if resumed_from is not None:
        command += ["--resumed-from", resumed_from]
    if device is not None:
        command += ["--from-queue-on", device]
    if inexact:
        command.append("--inexact")
    log = _open_log(paths.supervisor_log)
    said_before = os.fstat(log).st_size
    try:
        supervisor = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=paths.root,
            env=child_environment(),
            start_new_session=True,
        )
    finally:
        os.close(log)
    if not _has_started(paths, supervisor):
        if supervisor.returncode == BUSY:
            raise RunFailed(f"this run is already running: {paths.id}")
        said = paths.supervisor_log.read_bytes()[said_before:].decode(errors="replace").strip()
        raise RunFailed(
            f"the run could not be started: {said or 'no answer in 30 s'}\nsee {paths.supervisor_log}"
        )
    threading.Thread(target=supervisor.wait, daemon=True).start()  # or it stays a zombie of this process
    return supervisor.pid


def _has_started(paths: RunPaths, supervisor: subprocess.Popen[bytes]) -> bool:
    """Wait for the attempt of this supervisor to appear; False if it exits or is slow without one."""
    deadline = time.monotonic() + _LAUNCH_WITHIN
    while time.monotonic() < deadline:
        exited = supervisor.poll() is not None
        numbers = paths.attempt_numbers()
        attempt = read_small(paths.attempt(numbers[-1]), Attempt) if numbers else None
        if attempt and attempt.supervisor_pid == supervisor.pid and (attempt.pid or attempt.end):
            return True
        if exited:
            return False
        time.sleep(_POLL_EVERY)
    return False


def run_attempt(
    paths: RunPaths,
    command: Sequence[str],
    environment: Mapping[str, str],
    resumed_from: str | None = None,
    device: str | None = None,
    *,
    inexact: bool = False,
) -> int:
    """Run `command --attempt N` as the next attempt, to its end; return its exit code, or BUSY.

    With a `device` of the queue only if the run still waits for this attempt, which is looked at with the run's
    lock held: so nothing is started twice. Must be called from the main thread. A trainer ended by signal S
    gives 128 + S.
    """
    lock = take_lock(paths)
    if lock is None:
        print(f"this run is already running: {paths.id}", file=sys.stderr)
        return BUSY
    attempt = _new_attempt(paths, resumed_from, device, inexact)
    if device is not None and not is_due(read_small(paths.queued, Queued), attempt.attempt):
        print(f"this run does not wait in the queue any more: {paths.id}", file=sys.stderr)
        return BUSY
    trainer: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        if trainer:
            trainer[0].send_signal(number)
        else:
            early.append(number)

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the trainer inherits this
    signal.signal(signal.SIGTERM, forward)
    signal.signal(signal.SIGINT, forward)

    refuse_all(paths, "the run was not running")
    write_atomically(paths.attempt(attempt.attempt), msgspec.json.encode(attempt))
    paths.queued.unlink(
        missing_ok=True
    )  # a kill between these two leaves a place that the attempt has overtaken
    kills_before = oom_kills()
    log = _open_log(paths.log(attempt.attempt))
    try:
        process = subprocess.Popen(
            [*command, "--attempt", str(attempt.attempt)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            process_group=0,
            pass_fds=[lock],
        )
    except OSError as error:
        _record(paths, attempt, End(time.time(), reason=f"the trainer could not be started: {error}"))
        return 1
    finally:
        os.close(log)
    trainer.append(process)
    for number in early:
        process.send_signal(number)
    attempt = msgspec.structs.replace(attempt, pid=process.pid, start_ticks=process_identity(process.pid)[0])
    _record(paths, attempt, None)
    code = _wait_and_sample(paths, attempt.attempt, process)
    killed_by_kernel = code == -signal.SIGKILL and oom_kills() > kills_before
    _record(paths, attempt, _end(code, killed_by_kernel))
    return code if code >= 0 else 128 - code


def is_due(queued: Queued | None, attempt: int) -> bool:
    """Whether the run waits in the queue for this attempt to be started."""
    return queued is not None and queued.place is not None and queued.attempt == attempt


def _new_attempt(paths: RunPaths, resumed_from: str | None, device: str | None, inexact: bool) -> Attempt:
    ticks, boot = process_identity(os.getpid())
    return Attempt(
        attempt=max(paths.attempt_numbers(), default=0) + 1,
        pid=0,
        start_ticks=0,
        boot_id=boot,
        host=host_name(),
        supervisor_pid=os.getpid(),
        supervisor_start_ticks=ticks,
        started_at=time.time(),
        resumed_from=resumed_from,
        device=device,
        inexact=inexact,
    )


def _end(code: int, oom: bool) -> End:
    """`code` as subprocess gives it: negative for a signal."""
    if code < 0:
        reason = f"killed by {signal_name(-code)}" + (" (out of memory)" if oom else "")
        return End(time.time(), signal=-code, oom=oom, reason=reason)
    return End(time.time(), exit_code=code, reason=f"exit code {code}")


def _record(paths: RunPaths, attempt: Attempt, end: End | None) -> None:
    """Write the attempt's file. A full disk is waited for a while, and never harms the trainer."""
    content = msgspec.json.encode(msgspec.structs.replace(attempt, end=end))
    deadline = time.monotonic() + _RETRY_FOR
    while True:
        try:
            return write_atomically(paths.attempt(attempt.attempt), content)
        except OSError as error:
            if time.monotonic() > deadline:
                return print(f"attempt {attempt.attempt} cannot be recorded: {error}", file=sys.stderr)
        time.sleep(1.0)


def _wait_and_sample(paths: RunPaths, number: int, process: subprocess.Popen[bytes]) -> int:
    """Wait for the trainer, then end what it left behind in its process group."""
    over = threading.Event()
    sampling = threading.Thread(target=_sample_until, args=(over, paths, number, process.pid), daemon=True)
    sampling.start()
    code = process.wait()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # data loaders that outlive it keep its lock and GPU memory
    over.set()
    sampling.join(timeout=_SAMPLE_EVERY)
    return code


def _sample_until(over: threading.Event, paths: RunPaths, number: int, trainer_pid: int) -> None:
    """Runs in a thread of its own: whatever happens here, the trainer's end is still waited for."""
    samples = RecordFile(paths.system(number))
    gpus = GpuProbe()
    psutil.cpu_percent()  # the first reading only sets the start of the next
    while not over.wait(_SAMPLE_EVERY):
        samples.append(sample(paths.root, trainer_pid, gpus))
    samples.close()


def _open_log(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m finetui_core.runs.supervisor")
    parser.add_argument("run", type=Path)
    parser.add_argument("--resumed-from")
    parser.add_argument("--from-queue-on", metavar="DEVICE")
    parser.add_argument("--inexact", action="store_true")
    options = parser.parse_args(arguments)
    os.umask(0o077)
    paths = RunPaths(options.run)
    try:
        resolved = msgspec.json.decode(paths.resolved_recipe.read_bytes(), type=dict[str, Any])
        command, environment = trainer_command(paths, resolved), trainer_environment(resolved)
        if options.from_queue_on not in (None, CPU):
            environment["CUDA_VISIBLE_DEVICES"] = options.from_queue_on
        return run_attempt(
            paths,
            command,
            environment,
            options.resumed_from,
            options.from_queue_on,
            inexact=options.inexact,
        )
    except (OSError, msgspec.DecodeError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
