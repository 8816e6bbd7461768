"""Runs of two processes, on one host or two: started, disturbed, continued, and compared with an undisturbed one."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from finetui_core.cli.train import make_run
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.process import start_ticks
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import Attempt, read_small
from network_hosts import PORT, Host
from training import curve

STEPS = 120
SETTINGS = (f"train.max_steps={STEPS}", "save.steps=10", "eval.steps=40", "eval.meters=false")
ROOT = Path(__file__).parents[1]
_PATIENCE = 600.0  # seconds for whatever must come in the end, on a machine that has other things to do


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run trains: `hosts` are none for two processes on this machine as it is."""

    hosts: tuple[Host, ...] = ()

    def settings(self) -> tuple[str, ...]:
        if not self.hosts:
            return ("launch.nproc_per_node=2",)
        return ("launch.nnodes=2", f"launch.rdzv_endpoint='{self.hosts[0].address}:{PORT}'")

    def ftui(self, number: int, folder: Path, *arguments: str) -> "subprocess.Popen[bytes]":
        """Type a command on host `number`."""
        command = [sys.executable, "-m", "finetui_core.cli.main", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "core"), "HF_HUB_OFFLINE": "1"}
        log = folder / f"terminal-{number}.txt"
        if self.hosts:
            return self.hosts[number].start(command, folder, environment, log)
        with log.open("ab") as output:
            return subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)


@dataclass(frozen=True, slots=True)
class Death:
    """What came of one disturbance. Times in seconds, `seconds` being those to the recorded end."""

    seconds: float
    reason: str
    left: int
    step: int
    kept: int


def new_shared_run(recipe: Path, place: Place, *overrides: str) -> RunPaths:
    return make_run(recipe, (*SETTINGS, *place.settings(), *overrides), None, recipe.parent / "runs")


def start(paths: RunPaths, place: Place, *, joining: bool = True) -> None:
    """Start or continue a run on all its hosts, as a person would."""
    folder = paths.root.parents[1]
    place.ftui(0, folder, "resume", str(paths.root), "--detach")
    if place.hosts and joining:
        place.ftui(1, folder, "join", str(paths.root), "--detach").wait()


def until(condition: Callable[[], Any], what: str, within: float = _PATIENCE) -> Any:
    deadline = time.monotonic() + within
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {within:g} s")
        time.sleep(0.05)
    return found


def steps_of(paths: RunPaths, attempt: int) -> int:
    """How many steps the attempt has recorded."""
    try:
        return paths.metrics(attempt).read_bytes().count(b"\n")
    except OSError:
        return 0


def attempt_of(paths: RunPaths) -> Attempt | None:
    """The newest attempt, as the first host records it."""
    numbers = paths.attempt_numbers()
    return read_small(paths.attempt(numbers[-1]), Attempt) if numbers else None


def begun(paths: RunPaths, number: int, steps: int) -> Attempt:
    """Attempt `number`, once it has done so many steps. Raises RuntimeError where it ends before."""

    def far_enough() -> Attempt | None:
        attempt = attempt_of(paths)
        if attempt is None or attempt.attempt < number:
            return None
        if attempt.end is not None:
            raise RuntimeError(f"{attempt.end.reason}\n{paths.log(attempt.attempt).read_text()[-3000:]}")
        return attempt if steps_of(paths, number) >= steps else None

    found: Attempt = until(far_enough, f"step {steps} of attempt {number}")
    return found


def ranks_below(launcher: int) -> dict[int, int]:
    """The pids of the training processes that a launcher has started, by rank."""
    children = psutil.Process(launcher).children()
    return {int(one.environ()["RANK"]): one.pid for one in children if "RANK" in one.environ()}


def processes_of(paths: RunPaths, number: int) -> dict[int, int]:
    """All ranks of an attempt, on whichever host."""
    attempts = [
        read_small(paths.attempt(number), Attempt),
        read_small(paths.node_attempt(number, 1), Attempt),
    ]
    return {rank: pid for one in attempts if one for rank, pid in ranks_below(one.pid).items()}


def disturb(
    paths: RunPaths,
    number: int,
    at_step: int,
    act: Callable[[dict[int, int]], None],
    *,
    writer_lost: bool = False,
) -> Death:
    """Let `act` do its harm to attempt `number` at a step, and wait until the end is recorded.

    `act` is given the pids by rank. With `writer_lost` the first host can record nothing, and the other one does.
    """
    begun(paths, number, at_step)
    pids = processes_of(paths, number)
    known = {pid: start_ticks(pid) for pid in pids.values()}
    began = time.monotonic()
    act(pids)
    record = paths.node_attempt(number, 1) if writer_lost else paths.attempt(number)

    def recorded() -> Attempt | None:
        attempt = read_small(record, Attempt)
        return attempt if attempt is not None and attempt.end is not None else None

    attempt = until(recorded, "a recorded end", 150)
    seconds = time.monotonic() - began
    with suppress(TimeoutError):  # counted below
        until(lambda: not _living(known), "the end of every process", 30)
    view = RunView(paths)
    view.refresh()
    kept = max((int(path.name[5:]) for path in paths.checkpoints.glob("step-*")), default=0)
    reason = attempt.end.reason if writer_lost else view.state.reason
    return Death(seconds, reason, len(_living(known)), view.steps[-1]["step"], kept)


def _living(known: dict[int, int | None]) -> list[int]:
    return [pid for pid, ticks in known.items() if start_ticks(pid) == ticks]


def finished(paths: RunPaths) -> RunView:
    """The run, once it is finished, by whichever attempt."""
    view = RunView(paths)

    def over() -> bool:
        view.refresh()
        return view.state.state == "finished"

    until(over, "a finished run")
    until(lambda: (one := attempt_of(paths)) and one.end, "the last attempt's end")
    return view


def outcome(paths: RunPaths) -> tuple[list[tuple[Any, ...]], str, str]:
    """What must be bitwise equal: losses and evaluations, the final weights, and the optimizer's state."""
    final = paths.checkpoint(STEPS)
    files = ("adapter_model.safetensors", "optimizer.safetensors")
    weights, moments = (hashlib.sha256((final / name).read_bytes()).hexdigest() for name in files)
    return curve(paths), weights, moments


def kill(rank: int, number: signal.Signals = signal.SIGKILL) -> Callable[[dict[int, int]], None]:
    return lambda pids: os.kill(pids[rank], number)


def kill_torchrun(pids: dict[int, int]) -> None:
    os.kill(psutil.Process(pids[0]).ppid(), signal.SIGKILL)


def listening(pids: dict[int, int]) -> set[str]:
    """The addresses on which the training processes and their launchers listen."""
    launchers = {psutil.Process(pid).ppid() for pid in pids.values()}
    return {
        one.laddr.ip
        for pid in (*pids.values(), *launchers)
        for one in psutil.Process(pid).net_connections("tcp")
        if one.status == psutil.CONN_LISTEN
    }


def random_step(chance: random.Random) -> int:
    return chance.randint(12, STEPS // 2)


def stop_all(runs: Sequence[RunPaths]) -> None:
    """End what still lives of these runs, by what they have recorded."""
    for paths in runs:
        for record in sorted(paths.attempts.glob("*.json")):
            attempt = read_small(record, Attempt)
            if attempt is None:
                continue
            supervisor = (attempt.supervisor_pid, attempt.supervisor_start_ticks)
            for pid, ticks in (supervisor, (attempt.pid, attempt.start_ticks)):
                if pid and start_ticks(pid) == ticks:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
