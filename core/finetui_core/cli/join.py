"""`ftui join RUN`: take part, with this host, in a run that another host has started."""

import argparse
import subprocess
from pathlib import Path
from typing import Any

import msgspec

from finetui_core.cli.say import talk
from finetui_core.cli.train import require_training_libraries
from finetui_core.errors import InputError, Problem, RunFailed
from finetui_core.runs.command import hosts
from finetui_core.runs.node import FULL, start
from finetui_core.runs.paths import RunPaths, find_run, runs_root
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import content_of

_POLL_SECONDS = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="the run's id, a part of it that only it has, a path, or: latest")
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")
    parser.add_argument("--detach", action="store_true", help="return as soon as this host has joined")


def run(options: argparse.Namespace) -> int:
    require_training_libraries()
    paths = find_run(options.runs or runs_root(), options.run)
    RunView(paths)  # raises what is wrong with a folder that is no run
    supervisor = start(paths)
    node, begins = _place(paths, supervisor)
    talk(f"{paths.id}: joined as host {node + 1} of {_hosts(paths)}.")
    if options.detach:
        talk(f"watch it:     ftui watch {paths.id}\nits own log:  {paths.node_log(node)}")
        return 0
    talk("closing this terminal does not end it; Ctrl-C leaves it to itself")
    return _follow(paths.node_log(node), begins, supervisor)


def _hosts(paths: RunPaths) -> int:
    try:
        return hosts(msgspec.json.decode(content_of(paths.resolved_recipe), type=dict[str, Any]))
    except (OSError, msgspec.DecodeError) as error:
        hint = "name a folder that ftui made, and that this host sees"
        raise InputError(
            Problem(f"the run's recipe cannot be read: {error}", str(paths.root), hint)
        ) from error


def _place(paths: RunPaths, supervisor: subprocess.Popen[bytes]) -> tuple[int, int]:
    """The number that this host got, and where its log begins. Raises InputError where there is no place for it."""
    assert supervisor.stdout is not None
    words = supervisor.stdout.readline().split()
    if len(words) == 2:
        return int(words[0]), int(words[1])
    if supervisor.wait() == FULL:
        number = _hosts(paths)
        what = (
            "this run trains on one host"
            if number == 1
            else f"all {number} hosts of this run have joined already"
        )
        raise InputError(Problem(what, paths.id, f"see it with: ftui watch {paths.id}"))
    raise RunFailed(f"this host could not join {paths.id}; see {paths.root / 'log'}")


def _follow(path: Path, begins: int, supervisor: subprocess.Popen[bytes]) -> int:
    """Show what the supervisor of this host says until it ends."""
    with path.open("rb") as log:
        log.seek(begins)
        while True:
            ended = supervisor.poll() is not None
            for line in log.read().splitlines():
                talk(line.decode(errors="replace"))
            if ended:
                return 0 if supervisor.returncode == 0 else 1
            try:
                supervisor.wait(_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
