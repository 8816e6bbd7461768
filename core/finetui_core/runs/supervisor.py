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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil

from finetui_core.errors import RunFailed
from finetui_core.files import open_private, write_atomically
from finetui_core.hardware.nvml import GpuProbe
from finetui_core.hardware.oom import oom_kills
from finetui_core.hardware.sample import sample
from finetui_core.runs.command import child_environment, trainer_command, trainer_environment
from finetui_core.runs.devices import CPU
from finetui_core.runs.endings import judged_end, next_attempt, seen_of, tell_end, verify_gone
from finetui_core.runs.frozen import Stillness
from finetui_core.runs.leftovers import MARK, adopt_orphans, end_left_behind
from finetui_core.runs.lock import is_locked, take_lock
from finetui_core.runs.logind import at_logout
from finetui_core.runs.mailbox import refuse_all
from finetui_core.runs.ownership import require_own
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.pidfd import hold_child, let_go
from finetui_core.runs.records import Attempt, End, Queued, content_of, read_small
from finetui_core.runs.restarts import DEFAULT_RESTARTS, Death, Rules
from finetui_core.runs.trouble import TroubleFinder
from finetui_core.runs.watching import FORWARDED, Told, end_group, wait_for_end
from finetui_core.runs.writer import RecordFile, attempt_of_this_process, write_attempt
from finetui_core.secrets import redact_output

__all__ = ["BUSY", "is_locked", "launch", "main", "run_attempt"]

BUSY = 3  # exit code: the run is already running
_SAMPLE_EVERY = 2.0  # seconds
_LAUNCH_WITHIN = 30.0
_POLL_EVERY = 0.05
_GONE_WITHIN = 1.0  # seconds that what the trainer leaves behind may take to die before its end is recorded
ONCE = Rules()
"""No restarts."""


def launch(
    paths: RunPaths, resumed_from: str | None = None, device: str | None = None, *, inexact: bool = False
) -> int:
    """Start a supervisor that survives this process and its terminal, and return its pid.

    With a `device` it is started only if it still waits in the queue, and trains there. Returns when the trainer
    has been started. Raises RunFailed when it was not, with the reason, and InputError where the run is not this
    user's to write.
    """
    require_own(paths)
    command = [*at_logout().prefix, sys.executable, "-m", "finetui_core.runs.supervisor"]
    command.append(str(paths.root.absolute()))
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
    rules: Rules = ONCE,
    *,
    inexact: bool = False,
) -> int:
    """Run `command --attempt N` as the next attempt, to its end, and start it again as `rules` allow.

    Returns the exit code of the last attempt, or BUSY. With a `device` of the queue it runs only if the run still
    waits for this attempt, which is looked at with the run's lock held: so nothing is started twice. Must be called
    from the main thread of a process with no other children. A trainer ended by signal S gives 128 + S.
    """
    lock = take_lock(paths)
    if lock is None:
        print(f"this run is already running: {paths.id}", file=sys.stderr)
        return BUSY
    attempt = _new_attempt(paths, resumed_from, device, inexact)
    if device is not None and not is_due(read_small(paths.queued, Queued), attempt.attempt):
        print(f"this run does not wait in the queue any more: {paths.id}", file=sys.stderr)
        return BUSY
    told = Told()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the trainer inherits this
    for number in FORWARDED:
        signal.signal(number, lambda number, frame: told.receive(number))
    adopt_orphans()
    end_left_behind(_mark(paths), 0, _GONE_WITHIN)  # of an attempt that died with its supervisor
    refuse_all(paths, "the run was not running")
    write_atomically(paths.attempt(attempt.attempt), msgspec.json.encode(attempt))
    paths.queued.unlink(
        missing_ok=True
    )  # a kill between these two leaves a place that the attempt has overtaken
    deaths: list[Death] = []
    while True:
        ended, code = _run_once(paths, attempt, command, environment, lock, told, rules, deaths)
        following = next_attempt(paths, ended, told)
        if following is None:
            return code
        attempt = following
        write_attempt(paths, attempt)


def _run_once(
    paths: RunPaths,
    attempt: Attempt,
    command: Sequence[str],
    environment: Mapping[str, str],
    lock: int,
    told: Told,
    rules: Rules,
    deaths: list[Death],
) -> tuple[Attempt, int]:
    """One attempt from its start to the record of its end, with nothing of it left; adds to `deaths`."""
    number, mark = attempt.attempt, f"{_mark(paths)}{attempt.attempt}/{os.urandom(8).hex()}"
    kills_before = oom_kills()
    log = _open_log(paths.log(number))
    try:
        process = subprocess.Popen(
            [*command, "--attempt", str(number)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**environment, MARK: mark},
            process_group=0,
            pass_fds=[lock],
        )
    except OSError as error:
        reason = f"the trainer could not be started: {error}"
        end = End(time.time(), reason=reason, cause="not_started")
        return write_attempt(paths, msgspec.structs.replace(attempt, end=end)), 1
    finally:
        os.close(log)
    trainer = hold_child(process.pid)
    told.pass_on(trainer)
    attempt = msgspec.structs.replace(attempt, pid=process.pid, start_ticks=trainer.ticks or 0)
    write_attempt(paths, attempt)

    def heard(number: int) -> None:
        nonlocal attempt
        attempt = write_attempt(paths, msgspec.structs.replace(attempt, told=number))

    with _sampled(paths, number, process.pid):
        forced = wait_for_end(paths, attempt, trainer, told, rules, heard=heard)
    end_group(trainer)  # before it is reaped: until then the group's number is its own
    told.trainer = None
    let_go(trainer)
    code = process.wait()
    ended, left = end_left_behind(mark, attempt.start_ticks, _GONE_WITHIN)
    seen = seen_of(paths, attempt)
    facts = seen.facts(code, kernel_oom=oom_kills() > kills_before, told=told.first, forced=forced)
    end = judged_end(paths, attempt, facts, seen, deaths, rules)
    attempt = msgspec.structs.replace(attempt, end=end)
    tell_end(
        paths, attempt, seen, forced=forced
    )  # before the end is recorded, after which few look at events
    write_attempt(paths, attempt)
    verify_gone(paths, attempt, {process.pid, *ended}, left)
    return attempt, code if code >= 0 else 128 - code


def _mark(paths: RunPaths) -> str:
    """How the marks of all trainers of this run begin; with the run's lock held, none of them lives."""
    return f"{paths.root.absolute()}//"


def is_due(queued: Queued | None, attempt: int) -> bool:
    """Whether the run waits in the queue for this attempt to be started."""
    return queued is not None and queued.place is not None and queued.attempt == attempt


def _new_attempt(paths: RunPaths, resumed_from: str | None, device: str | None, inexact: bool) -> Attempt:
    numbers = paths.attempt_numbers()
    before = read_small(paths.attempt(numbers[-1]), Attempt) if numbers else None
    return msgspec.structs.replace(
        attempt_of_this_process(max(numbers, default=0) + 1),
        resumed_from=resumed_from,
        device=device,
        per_device_train_batch_size=before.per_device_train_batch_size if before else None,
        gradient_accumulation_steps=before.gradient_accumulation_steps if before else None,
        inexact=inexact,
    )


@contextmanager
def _sampled(paths: RunPaths, number: int, trainer_pid: int) -> Iterator[None]:
    """Sample the hardware inside the block; a driver that hangs holds up nobody. Of a hosted job it is not ours."""
    if paths.hosted.exists():
        yield
        return
    over = threading.Event()
    threading.Thread(target=_sample_until, args=(over, paths, number, trainer_pid), daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _sample_until(over: threading.Event, paths: RunPaths, number: int, trainer_pid: int) -> None:
    """Runs in a thread of its own: whatever happens here, the trainer's end is still waited for."""
    samples = RecordFile(paths.system(number))
    trouble = TroubleFinder(paths, number, Stillness(paths, trainer_pid))
    gpus = GpuProbe(listens=True)
    psutil.cpu_percent()  # the first reading only sets the start of the next
    while not over.wait(_SAMPLE_EVERY):
        now = sample(paths.root, trainer_pid, gpus)
        samples.append(now)
        trouble.see(now)
    samples.close()
    trouble.close()


def _open_log(path: Path) -> int:
    return open_private(path, os.O_WRONLY | os.O_APPEND)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m finetui_core.runs.supervisor")
    parser.add_argument("run", type=Path)
    parser.add_argument("--resumed-from")
    parser.add_argument("--from-queue-on", metavar="DEVICE")
    parser.add_argument("--inexact", action="store_true")
    options = parser.parse_args(arguments)
    os.umask(0o077)
    redact_output()
    paths = RunPaths(options.run)
    try:
        resolved = msgspec.json.decode(content_of(paths.resolved_recipe), type=dict[str, Any])
        command, environment = trainer_command(paths, resolved), trainer_environment(resolved)
        if options.from_queue_on not in (None, CPU):
            environment["CUDA_VISIBLE_DEVICES"] = options.from_queue_on
        rules = Rules(max_restarts=int(resolved.get("launch", {}).get("max_restarts", DEFAULT_RESTARTS)))
        return run_attempt(
            paths,
            command,
            environment,
            options.resumed_from,
            options.from_queue_on,
            rules,
            inexact=options.inexact,
        )
    except (OSError, msgspec.DecodeError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
