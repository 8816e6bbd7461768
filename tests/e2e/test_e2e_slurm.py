"""A job of Slurm from its submission to the end of the run, with a stand-in for Slurm that truly runs the script."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView
from training import ftui, write_project

START = """
environment = {**os.environ, "SLURM_JOB_ID": "41", "SLURMD_NODENAME": "here"}
log = open(pathlib.Path(job).parent / "log" / "slurm.txt", "ab")
process = subprocess.Popen(["bash", job], env=environment, stdout=log, stderr=log, start_new_session=True)
(here / "pid").write_text(str(process.pid))
"""
HEAD = f"""#!{sys.executable}
import os, pathlib, subprocess, sys, time
here = pathlib.Path(__file__).parent
"""
SBATCH = f"""{HEAD}
job = sys.argv[-1]
(here / "job").write_text(job)
{START}
print("41")
"""
SCONTROL = f"""{HEAD}
assert sys.argv[1:] == ["requeue", "41"], sys.argv
if os.fork() == 0:
    os.setsid()
    job, before = (here / "job").read_text(), pathlib.Path("/proc") / (here / "pid").read_text() / "exe"
    while before.exists():
        time.sleep(0.05)
    {START.strip().replace(chr(10), chr(10) + "    ")}
"""


def until(path: Path, text: str) -> None:
    deadline = time.monotonic() + 240
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < deadline, f"{text} did not come into {path}"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_job_whose_time_is_up_goes_on_where_it_was(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("sbatch", SBATCH), ("scontrol", SCONTROL)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o700)
    recipe = write_project(tmp_path / "project")
    settings = ("--set", "train.max_steps=400", "--set", "eval.meters=false", "--set", "save.steps=100")
    done = ftui(
        "train",
        str(recipe),
        "--launch",
        "slurm",
        *settings,
        folder=recipe.parent,
        PATH=f"{tools}{os.pathsep}{os.environ['PATH']}",
    )
    assert done.returncode == 0, done.stderr
    (root,) = (recipe.parent / "runs").glob("2*")
    paths = RunPaths(root)
    until(paths.metrics(1), '"step":20')
    os.kill(int((tools / "pid").read_text()), signal.SIGUSR1)
    until(paths.events, '"type":"resumed"')
    until(paths.events, '"reason":"completed"')
    until(root / "log" / "slurm.txt", "finished, all steps done")
    view = RunView(paths)
    view.refresh()
    assert view.state.state == "finished"
    assert [one["step"] for one in view.steps] == list(range(1, 401))
    assert len(view.attempts) == 2
    assert "job 41 goes back into the queue" in (root / "log" / "slurm.txt").read_text()
