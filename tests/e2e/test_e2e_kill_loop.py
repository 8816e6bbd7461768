"""SIGKILL the trainer again and again; the finished run is bitwise that of an undisturbed one.

The long form is `make test-slow`: 20 kills for each of LoRA and full, packed and padded, with dropout on.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from finetui_core.runs.checkpoints import STAGING, step_name
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView
from training import curve, events, ftui, write_project

TOTAL_STEPS = 240
DEADLINE = 120.0


@dataclass(frozen=True)
class Kill:
    """Where one kill met the trainer."""

    step: int
    while_saving: bool


def run_named(folder: Path, name: str) -> RunPaths:
    (found,) = [path for path in (folder / "runs").iterdir() if path.name.split("-")[1] == name]
    return RunPaths(found)


def wait_for(condition: Callable[[], bool], view: RunView) -> bool:
    """Poll until `condition` holds; False when the run ended first."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if condition():
            return True
        view.refresh()
        if not view.state.live:
            return False
        time.sleep(0.001)
    raise AssertionError("the run neither ended nor came so far")


def is_saving(paths: RunPaths) -> bool:
    return any(path.name.startswith(STAGING) for path in paths.checkpoints.iterdir())


def kill_once(paths: RunPaths, chance: random.Random) -> Kill | None:
    """Kill the trainer at a random step, or inside the next save after it; None when it ended before.

    There is a checkpoint by then, or the run would begin anew.
    """
    view = RunView(paths)
    view.refresh()
    target = (view.steps[-1]["step"] if view.steps else 0) + chance.randint(1, 12)
    if not wait_for(lambda: paths.latest.exists() and view.steps[-1]["step"] >= target, view):
        return None
    if chance.random() < 0.5 and not wait_for(lambda: is_saving(paths), view):
        return None
    time.sleep(chance.random() * 0.01)
    saving = is_saving(paths)
    os.kill(view.attempts[-1].pid, signal.SIGKILL)
    wait_for(lambda: False, view)
    assert view.state.state == "killed"
    return Kill(view.steps[-1]["step"], saving)


def kill_loop(folder: Path, options: list[str], kills: int, seed: int) -> list[Kill]:
    chance = random.Random(seed)
    done = ftui("train", "recipe.toml", "--name", "calm", *options, folder=folder)
    assert done.returncode == 0, done.stderr
    assert (
        ftui("train", "recipe.toml", "--name", "killed", "--detach", *options, folder=folder).returncode == 0
    )
    paths = run_named(folder, "killed")
    met: list[Kill] = []
    while len(met) < kills:
        kill = kill_once(paths, chance)
        assert kill is not None, f"the run ended after {len(met)} kills"
        met.append(kill)
        last = len(met) == kills
        resumed = ftui("resume", "killed", *([] if last else ["--detach"]), folder=folder)
        assert resumed.returncode == 0, resumed.stderr
    calm = run_named(folder, "calm")
    assert curve(paths) == curve(calm)
    assert len(curve(paths)) > TOTAL_STEPS
    ours, theirs = (
        load_file(run.checkpoints / step_name(TOTAL_STEPS) / weights_name(run)) for run in (paths, calm)
    )
    assert ours.keys() == theirs.keys()
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)
    assert len(events(paths, "resumed")) == kills
    return met


def weights_name(paths: RunPaths) -> str:
    folder = paths.checkpoints / step_name(TOTAL_STEPS)
    return next(
        name for name in ("adapter_model.safetensors", "model.safetensors") if (folder / name).exists()
    )


def options_for(method: str, packing: str) -> list[str]:
    settings = {
        "train.method": method,
        "data.packing": packing,
        "train.max_steps": TOTAL_STEPS,
        "save.steps": 3,
        "eval.steps": 40,
        "launch.max_restarts": 0,
    }
    return [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


def test_two_kills_leave_no_trace(tmp_path: Path) -> None:
    folder = write_project(tmp_path).parent
    kill_loop(folder, options_for("lora", "true"), kills=2, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("packing", ["true", "false"])
def test_twenty_kills_leave_no_trace(tmp_path: Path, method: str, packing: str) -> None:
    folder = write_project(tmp_path, architecture="gpt2").parent
    met = kill_loop(folder, options_for(method, packing), kills=20, seed=7)
    saving = sum(kill.while_saving for kill in met)
    print(f"\n{method}, packing {packing}: 20 kills, {saving} while saving, steps {[k.step for k in met]}")
    assert saving >= 3
