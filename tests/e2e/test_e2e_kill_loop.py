"""SIGKILL the trainer again and again; the finished run is bitwise that of an undisturbed one.

Here are kills through the real command line, of the trainer and of its supervisor as well, all in the slow set.
tests/proofs/kill_loop.py kills at random moments without the seconds that a command takes to start: `make kills` is
100 of them.
"""

import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView
from kill_lab import COMMON, SETUPS, Calm, calm_run, differences, remains
from training import events, real_ftui

DEADLINE = 120.0


@pytest.fixture(scope="module")
def calms(tmp_path_factory: pytest.TempPathFactory) -> list[Calm]:
    folder = tmp_path_factory.mktemp("calm")
    return [calm_run(folder, SETUPS[number]) for number in (0, 1, 3)]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Calm:
    return calm_run(tmp_path_factory.mktemp("one"), SETUPS[0])


def wait_for(condition: Callable[[], bool], view: RunView) -> None:
    """Poll until `condition` holds, or the run has ended."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if condition() or not view.state.live:
            return
        time.sleep(0.001)
        view.refresh()
    raise AssertionError("the run neither ended nor came so far")


def kill_by_command_line(calm: Calm, kills: int, name: str, *, supervisor_too: bool, seed: int) -> RunPaths:
    """Train and resume with the real commands; kill the trainer after its first steps, often inside a save."""
    chance, folder = random.Random(seed), calm.recipe.parent
    options = [
        part for one in (*COMMON, *calm.setup.options, "launch.max_restarts=0") for part in ("--set", one)
    ]
    started = real_ftui("train", "recipe.toml", "--name", name, "--detach", *options, folder=folder)
    assert started.returncode == 0, started.stderr
    (paths,) = [RunPaths(path) for path in (folder / "runs").iterdir() if path.name.split("-")[1] == name]
    for number in range(1, kills + 1):
        view = RunView(paths)
        view.refresh()
        wait_for(paths.latest.exists, view)
        if chance.random() < 0.5:
            wait_for(lambda: bool(remains(paths)), view)
        assert view.state.live, f"the run ended after {number - 1} kills"
        if supervisor_too:
            os.kill(view.attempts[-1].supervisor_pid, signal.SIGKILL)
        os.kill(view.attempts[-1].pid, signal.SIGKILL)
        wait_for(lambda: False, view)
        assert not view.state.live
        resumed = real_ftui("resume", paths.id, *(["--detach"] if number < kills else []), folder=folder)
        assert resumed.returncode == 0, resumed.stderr
    return paths


@pytest.mark.slow
def test_a_kill_of_the_real_trainer_leaves_no_trace(calm: Calm) -> None:
    paths = kill_by_command_line(calm, 1, "killed", supervisor_too=False, seed=1)
    assert list(differences(paths, calm.paths)) == []
    assert len(events(paths, "resumed")) == 1


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("supervisor_too", [False, True])
def test_kills_through_the_command_line_leave_no_trace(calms: list[Calm], supervisor_too: bool) -> None:
    for number, calm in enumerate(calms):
        name = f"{'both' if supervisor_too else 'trainer'}{number}"
        paths = kill_by_command_line(calm, 4, name, supervisor_too=supervisor_too, seed=number)
        assert list(differences(paths, calm.paths)) == []
