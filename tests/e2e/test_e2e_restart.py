"""The real trainer, killed while `ftui train` follows it: the run goes on by itself, the command stays with it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from finetui_core.runs.paths import RunPaths, run_ids
from finetui_core.runs.pidfd import hold, send, started_at
from finetui_core.runs.reader import RunView
from training import curve, events, ftui, new_run, train_here, write_project

OPTIONS = ("train.max_steps=12", "save.steps=2", "eval.steps=4")


@pytest.mark.slow
def test_a_killed_run_goes_on_by_itself(tmp_path: Path) -> None:
    recipe = write_project(tmp_path)
    calm = new_run(recipe, *OPTIONS)
    assert train_here(calm) == 0
    settings = [part for option in OPTIONS for part in ("--set", option)]
    command = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "finetui_core.cli.main",
            "train",
            "recipe.toml",
            "--name",
            "killed",
            *settings,
        ],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stderr is not None
    said = ""
    while "checkpoint saved" not in said:
        line = command.stderr.readline()
        assert line, said
        said += line
    (name,) = [run_id for run_id in run_ids(tmp_path / "runs") if run_id.split("-")[1] == "killed"]
    view = RunView(RunPaths(tmp_path / "runs" / name))
    view.refresh()
    first = view.attempts[0]
    with hold(first.pid, started_at(first.start_ticks, first.boot_id)) as held:
        assert held is not None and send(held, signal.SIGKILL)
    while "1st of 3 restarts in 10 s: killed by SIGKILL" not in said:
        line = command.stderr.readline()
        assert line, said
        said += line
    status = json.loads(ftui("status", name, "--json", folder=tmp_path).stdout)
    assert status["state"] == "restarting" and status["reason"].startswith("starts again in ")
    said += command.communicate(timeout=240)[1]
    assert command.returncode == 0, said
    view.refresh()
    assert view.state.state == "finished" and len(view.attempts) == 2
    assert (view.attempts[1].resumed_from or "").startswith("checkpoints/step-")
    assert curve(view.paths) == curve(calm)
    assert len(events(view.paths, "restart")) == 1
