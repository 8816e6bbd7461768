"""Trainers that die in known ways, under the real supervisor: for the tests and for tests/proofs/deaths.py.

A trainer here is the real process body (records, heartbeat, exit codes) around a few lines instead of the training,
so that none of them imports torch, unless it is torch's own error that is wanted.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

import finetui_core
from finetui_core.files import write_atomically
from finetui_core.runs.paths import RunPaths, create_run
from finetui_core.runs.pidfd import has_ended, hold, send, started_at
from finetui_core.runs.process import start_ticks
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import Attempt, read_small

CORE = Path(finetui_core.__file__).parents[1]
STEP = 412
SUPERVISE = """
import json, os, sys
from pathlib import Path
from finetui_core.runs import supervisor
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.restarts import Rules
given = json.loads(sys.argv[2])
if given["group"]:
    Path(given["group"], "cgroup.procs").write_text(str(os.getpid()))
if given["kernel_kills"]:
    supervisor.oom_kills = lambda: len(Path(given["kernel_kills"]).read_bytes())
paths = RunPaths(Path(sys.argv[1]))
sys.exit(supervisor.run_attempt(paths, given["command"], dict(os.environ), rules=Rules(**given["rules"])))
"""
TRAIN = """
import os, resource, signal, subprocess, sys, time
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import finetui_core.train.__main__ as trainer
from finetui_core.errors import InputError, Problem
from finetui_core.runs import exit_codes

def children():
    \"\"\"One in the group, one in a session of its own, and a daemon of its own without this environment.\"\"\"
    sleep = ["/bin/sleep", "600"]
    pids = [subprocess.Popen(sleep).pid, subprocess.Popen(sleep, start_new_session=True).pid]
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        daemon = os.posix_spawn(sleep[0], sleep, {})
        os.write(write, str(daemon).encode())
        os._exit(0)
    os.wait()
    pids.append(int(os.read(read, 20)))
    return pids

def work(paths, output, inexact=False):
    output.event("phase", phase="training", step=0)
    output.event("ready", total_steps=1000)
    output.metric({"step": STEP + attempt - 1 if MOVES else STEP, "loss": 1.0, "step_seconds": 0.1})
    output.beat(step=STEP, phase="training", total_steps=1000)
    (paths.root / "children").write_text(" ".join(map(str, children() if CHILDREN else [])))
    at_work = (paths.root / f"at_work_{attempt}").touch
    BODY

trainer._train = work
attempt = int(sys.argv[sys.argv.index("--attempt") + 1])
sys.argv = ["trainer", os.environ["RUN"], "--attempt", str(attempt)]
sys.exit(trainer.main())
"""
WAITS = "time.sleep(600)"
DEAF = "for one in (15, 2): signal.signal(one, signal.SIG_IGN)\n    at_work()\n    " + WAITS


@dataclass(frozen=True)
class Way:
    """A way to die: what the trainer does, what is done to it once it is at work, and the cause that must be told."""

    cause: str
    body: str = WAITS
    act: Callable[["Trial"], None] | None = None
    command: tuple[str, ...] = ()
    rules: dict[str, float] = field(default_factory=dict)
    heavy: bool = False
    in_group: bool = False


@dataclass
class Trial:
    """A supervised run of a dying trainer."""

    paths: RunPaths
    supervisor: "subprocess.Popen[bytes]"
    kernel_kills: Path | None
    group: Path | None = None

    def attempt(self, number: int | None = None) -> Attempt | None:
        numbers = self.paths.attempt_numbers()
        return read_small(self.paths.attempt(number or numbers[-1]), Attempt) if numbers else None

    def at_work(self, number: int = 1) -> Attempt:
        """The attempt, once its trainer is at work."""
        marker = self.paths.root / f"at_work_{number}"
        eventually(lambda: marker.exists() and (one := self.attempt(number)) is not None and one.pid)
        found = self.attempt(number)
        assert found is not None
        return found

    def signal_trainer(self, sent: int, number: int = 1) -> None:
        attempt = self.at_work(number)
        with hold(attempt.pid, started_at(attempt.start_ticks, attempt.boot_id)) as held:
            assert held is not None and send(held, sent)

    def children(self) -> list[int]:
        file = self.paths.root / "children"
        return [int(pid) for pid in file.read_text().split()] if file.exists() else []

    def view(self) -> RunView:
        view = RunView(self.paths)
        view.refresh()
        return view

    def end(self) -> None:
        """End all that is left of it, whatever it is."""
        self.supervisor.kill()
        self.supervisor.wait()
        attempt = self.attempt()
        pids = [attempt.pid] if attempt else []
        for pid in [*pids, *self.children()]:
            with hold(pid, lambda pid: _is_of(pid, self.paths)) as held:
                if held is not None:
                    send(held, signal.SIGKILL)
        if self.group is not None:
            eventually(self.group_is_gone)

    def group_is_gone(self) -> bool:
        """Whether the control group could be removed: it can be once nobody is in it."""
        assert self.group is not None
        with suppress(OSError):
            self.group.rmdir()
        return not self.group.exists()


def _is_of(pid: int, paths: RunPaths) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return (
        command.startswith(b"/bin/sleep\x00600")
        or str(paths.root).encode() in command
        or b"_train" in command
    )


def eventually(condition: Callable[[], Any], within: float = 240.0) -> Any:
    deadline = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < deadline, "this never came true"
        time.sleep(0.005)
    return found


def trainer_code(body: str, *, children: bool = False, moves: bool = False) -> str:
    """The program of a trainer that does `body`; with `moves` each attempt comes a step further.

    A body that is at work only after something else says so itself, by `at_work()`.
    """
    settings = {"STEP": STEP, "CHILDREN": children, "MOVES": moves}
    code = TRAIN.replace("BODY", body if "at_work()" in body else f"at_work()\n    {body}")
    return "\n".join(f"{name} = {value!r}" for name, value in settings.items()) + code


def begin(
    root: Path, way: Way, *, children: bool = False, moves: bool = False, paths: RunPaths | None = None
) -> Trial:
    """Supervise a trainer that dies that way; without other rules it is not started again.

    With `paths` it is the next attempt of that run.
    """
    paths = paths or create_run(root, "dying", "", {"train": BATCH}, {})
    kernel_kills, group = root / f"{paths.id}.kills", _memory_group(paths.id) if way.in_group else None
    kernel_kills.touch()
    command = [*way.command] or [sys.executable, "-c", trainer_code(way.body, children=children, moves=moves)]
    given = {"command": command, "rules": way.rules, "kernel_kills": "" if group else str(kernel_kills)}
    given["group"] = str(group or "")
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, str(paths.root), json.dumps(given)],
        env={**os.environ, "PYTHONPATH": str(CORE), "RUN": str(paths.root), "GROUP": str(group or "")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return Trial(paths, supervisor, None if group else kernel_kills, group)


def kernel_kills_are_real() -> bool:
    """Whether a trainer here can be killed by the kernel for want of memory, or only as if."""
    group = _memory_group(f"try-{os.getpid()}")
    if group is not None:
        group.rmdir()
    return group is not None


def _memory_group(name: str) -> Path | None:
    """A control group of its own with 256 MiB, None where this machine gives none (not root, no such mount)."""
    for base, limit in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        group = base / f"ftui-{name}"
        with suppress(OSError):
            if not (base / "cgroup.procs").exists():
                continue
            group.mkdir()
            with suppress(OSError):
                (group / limit).write_text(str(256 << 20))
                return group
            group.rmdir()
    return None


BATCH = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1}


def _kill(trial: Trial) -> None:
    trial.signal_trainer(signal.SIGKILL)


def _kernel_kills(trial: Trial) -> None:
    """With a control group the trainer outgrows it by itself; without one its count is made up."""
    if trial.kernel_kills is not None:
        trial.at_work()
        trial.kernel_kills.write_bytes(b"1")
        trial.signal_trainer(signal.SIGKILL)


def _time_limit(trial: Trial) -> None:
    """As SLURM does it: SIGTERM for all processes of the job, then SIGKILL for what is left of the trainer."""
    trial.at_work()
    trial.supervisor.send_signal(signal.SIGTERM)
    eventually(lambda: (one := trial.attempt()) is not None and one.told)
    trial.signal_trainer(signal.SIGKILL)


def _before_limit(trial: Trial) -> None:
    trial.signal_trainer(signal.SIGUSR1)


def _both(trial: Trial) -> None:
    attempt = trial.at_work()
    trial.supervisor.kill()
    trial.supervisor.wait()
    with hold(attempt.pid, started_at(attempt.start_ticks, attempt.boot_id)) as held:
        assert held is not None and send(held, signal.SIGKILL) and has_ended(held, 30.0)


def _reboot(trial: Trial) -> None:
    _both(trial)
    attempt = trial.attempt()
    assert attempt is not None
    other = msgspec.structs.replace(attempt, boot_id="another start of the machine")
    write_atomically(trial.paths.attempt(1), msgspec.json.encode(other))


def _stop(trial: Trial) -> None:
    trial.at_work()
    trial.supervisor.send_signal(signal.SIGTERM)


WAYS: dict[str, Way] = {
    "exception": Way("crashed", "raise RuntimeError('a bug')"),
    "bad input": Way("bad_input", "raise InputError(Problem('no rows', 'a.jsonl', 'add some'))"),
    "SIGKILL from outside": Way("killed", act=_kill),
    "kernel out of memory": Way(
        "kernel_memory",
        "grown = bytearray()\n    while os.environ['GROUP']: grown += b'x' * (8 << 20)\n    time.sleep(600)",
        act=_kernel_kills,
        in_group=True,
    ),
    "MemoryError by RLIMIT_AS": Way(
        "memory", "resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31)); bytearray(1 << 40)"
    ),
    "CUDA out of memory": Way(
        "gpu_memory",
        "import torch; raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate')",
        heavy=True,
    ),
    "SIGSEGV": Way("segfault", "import ctypes; ctypes.string_at(0)"),
    "SIGABRT": Way("abort", "os.abort()"),
    "SIGTERM, then SIGKILL": Way("time_limit", DEAF, act=_time_limit),
    "SIGUSR1 before a limit": Way("time_limit", act=_before_limit),
    "SIGXCPU by RLIMIT_CPU": Way(
        "time_limit", "resource.setrlimit(resource.RLIMIT_CPU, (1, 600))\n    while True: pass", heavy=True
    ),
    "not finite": Way(
        "diverged", "output.event('finished', reason='diverged', step=STEP); return exit_codes.DIVERGED"
    ),
    "the last checkpoint is refused": Way(
        "unsaved", "output.event('finished', reason='unsaved', step=STEP); return exit_codes.UNSAVED"
    ),
    "disk full": Way("disk_full", "open('/dev/full', 'w').write('x' * 100000)"),
    "hang": Way("hung", "return exit_codes.HUNG"),
    "lost peer": Way("lost_peer", "return exit_codes.LOST_PEER"),
    "SIGTERM before it can save": Way("told_to_end", act=lambda trial: trial.signal_trainer(signal.SIGTERM)),
    "a stop that is not answered": Way("forced", DEAF, act=_stop, rules={"stop_within": 0.2}),
    "no interpreter": Way("not_started", command=("/no/such/python",)),
    "a broken installation": Way("not_started", command=(sys.executable, "-c", "import no_such_module")),
    "supervisor killed as well": Way("supervisor_lost", act=_both),
    "machine restarted": Way("machine_restarted", act=_reboot),
}


@dataclass(frozen=True)
class Outcome:
    """What a trial showed: the cause that a reader tells, the seconds until it noticed, and whom it left."""

    cause: str
    seconds: float | None
    left: tuple[int, ...]
    way_out: str


def die(root: Path, way: Way, *, children: bool = True) -> Outcome:
    """One trial. `seconds` are from the trainer's death to the reader's notice; None where nothing ever lived."""
    trial = begin(root, way, children=children and not way.command)
    try:
        if way.command:
            eventually(lambda: trial.supervisor.poll() is not None)
            died_at = None
        else:
            attempt = eventually(lambda: (one := trial.attempt()) is not None and one.pid and one)
            with hold(attempt.pid, started_at(attempt.start_ticks, attempt.boot_id)) as held:
                if way.act is not None:
                    way.act(trial)
                if held is not None:
                    assert has_ended(held, 60.0)
                died_at = time.monotonic()
        view = RunView(trial.paths)
        eventually(lambda: view.refresh() is not None and not view.state.live)
        seconds = None if died_at is None else time.monotonic() - died_at
        orphaned = way.act in (_both, _reboot)  # nobody is left to see to them
        if not orphaned:
            trial.supervisor.wait(240)
        left = () if orphaned else tuple(pid for pid in trial.children() if start_ticks(pid) is not None)
        cause = view.state.cause or "done"
        return Outcome(cause, seconds, left, view.state.way_out(view.id))
    finally:
        trial.end()
