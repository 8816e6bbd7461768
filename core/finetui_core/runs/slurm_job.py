"""What a job of Slurm runs on its first node: the run's supervisor, and its counterpart on every other node.

The run is begun, or continued where it has begun before. Shortly before the job's time is up Slurm sends SIGUSR1: the
run then saves and ends, and the job is put back into the queue, so that it goes on there. Another signal ends the run
and the job alike.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from finetui_core.runs.checkpoints import newest_valid
from finetui_core.runs.command import ENDPOINT, FIRST_NODE, child_environment, hosts
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.process import host_name
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import content_of
from finetui_core.runs.slurm import requeue

_FIRST_PORT, _PORTS = 15_000, 15_000
"""Where the processes of a job meet: below the ports that systems give away, and another one for each job."""
_ENDS_WITHIN = 30.0
"""Seconds that the other nodes' supervisors may take to end."""


class Signals:
    """Remembers what this process is told, and tells the supervisor, once there is one, to save and end."""

    def __init__(self) -> None:
        self.time_is_up = False
        self.told = False
        self.supervisor: subprocess.Popen[bytes] | None = None

    def listen(self) -> None:
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.time_is_up = self.time_is_up or number == signal.SIGUSR1
        self.told = True
        self.pass_on()

    def pass_on(self) -> None:
        if self.told and self.supervisor is not None:
            self.supervisor.send_signal(signal.SIGTERM)


def run_job(paths: RunPaths, environment: Mapping[str, str], signals: Signals) -> int:
    """Train until the run or the job's time is over; returns the exit code of the job."""
    view = RunView(paths)
    view.refresh()
    if view.state.state == "finished":
        _say(f"{paths.id} is finished: {view.state.reason}")
        return 0
    resolved = msgspec.json.decode(content_of(paths.resolved_recipe), type=dict[str, Any])
    others = _start_others(paths, hosts(resolved) - 1, environment)
    supervisor = subprocess.Popen(_supervisor_of(paths), stdin=subprocess.DEVNULL, env=environment)
    signals.supervisor = supervisor
    signals.pass_on()
    code = supervisor.wait()
    _end(others)
    after = RunView(paths)
    after.refresh()
    _say(f"{paths.id}: {after.state.state}, {after.state.reason}")
    job = environment.get("SLURM_JOB_ID", "")
    if signals.time_is_up and after.state.state != "finished" and job:
        went = requeue(paths, job)
        _say(f"job {job} goes back into the queue" if went else f"job {job} could not be queued again")
    return code


def _supervisor_of(paths: RunPaths) -> list[str]:
    command = [sys.executable, "-m", "finetui_core.runs.supervisor", str(paths.root)]
    checkpoint, _ = newest_valid(paths.checkpoints)
    if checkpoint is not None:
        command += ["--resumed-from", f"checkpoints/{checkpoint.path.name}"]
    return command


def _start_others(
    paths: RunPaths, number: int, environment: Mapping[str, str]
) -> "subprocess.Popen[bytes] | None":
    """One step of the job on all nodes but this one."""
    if number == 0:
        return None
    here = environment.get("SLURMD_NODENAME", host_name())
    step = ["srun", f"--nodes={number}", f"--ntasks={number}", "--ntasks-per-node=1", f"--exclude={here}"]
    node = [sys.executable, "-m", "finetui_core.runs.node", str(paths.root)]
    return subprocess.Popen([*step, *node], stdin=subprocess.DEVNULL, env=environment)


def _end(others: "subprocess.Popen[bytes] | None") -> None:
    if others is None:
        return
    others.terminate()
    try:
        others.wait(_ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        others.kill()
        others.wait()


def environment_of(job: Mapping[str, str], endpoint: str | None) -> dict[str, str]:
    """The environment of all that the job starts; it says where the hosts meet, where the recipe cannot know it."""
    environment = {**job, **child_environment()}
    if endpoint == FIRST_NODE:
        port = _FIRST_PORT + int(job.get("SLURM_JOB_ID", "0")) % _PORTS
        environment[ENDPOINT] = f"{job.get('SLURMD_NODENAME', host_name())}:{port}"
    return environment


def _say(line: str) -> None:
    print(f"{time.strftime('%F %T')} {line}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m finetui_core.runs.slurm_job")
    parser.add_argument("run", type=Path)
    options = parser.parse_args(arguments)
    os.umask(0o077)
    signals = Signals()
    signals.listen()
    paths = RunPaths(options.run)
    resolved = msgspec.json.decode(content_of(paths.resolved_recipe), type=dict[str, Any])
    endpoint = resolved.get("launch", {}).get("rdzv_endpoint")
    return run_job(paths, environment_of(os.environ, endpoint), signals)


if __name__ == "__main__":
    sys.exit(main())
