"""Runs as jobs of Slurm: nothing but what may stand in a script gets there, and what Slurm says is kept."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetui_core.cli.main import main
from finetui_core.errors import InputError
from finetui_core.recipe.options import LaunchOptions
from finetui_core.runs import slurm_job
from finetui_core.runs.command import ENDPOINT, FIRST_NODE
from finetui_core.runs.paths import RunPaths, create_run
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import Queued, read_small
from finetui_core.runs.slurm import job_script, requeue
from finetui_core.runs.slurm_job import Signals, environment_of, run_job
from finetui_core.runs.slurm_options import ALLOWED, fault_of, parse_options
from training import write_project

STAND_IN = """#!{python}
import pathlib, sys
here = pathlib.Path(__file__).parent
with (here / "asked").open("a") as file:
    file.write(" ".join([pathlib.Path(__file__).name, *sys.argv[1:]]) + "\\n")
{body}
"""
SBATCH = """
print("41;cluster")
"""


def stand_in(folder: Path, name: str, body: str) -> Path:
    """A program of this name, which notes how it was called; returns the file of its notes."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(STAND_IN.format(python=sys.executable, body=body), encoding="utf-8")
    path.chmod(0o700)
    return folder / "asked"


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("FTUI_RUNS", str(tmp_path / "runs"))
    return folder


def a_run(root: Path) -> RunPaths:
    resolved = {"launch": {"nnodes": 2, "nproc_per_node": 1, "rdzv_endpoint": FIRST_NODE}}
    return create_run(root, "r", "", resolved, {})


@settings(deadline=None)
@given(st.sampled_from(ALLOWED), st.text())
def test_an_option_that_is_taken_is_one_word_of_the_shell_and_one_line(key: str, value: str) -> None:
    if fault_of(key, value):
        return
    script = job_script(Path("/runs/r"), LaunchOptions(), {key: value})
    assert f"#SBATCH --{key}={value}\n" in script
    assert shlex.split(value) == [value]
    assert not re.search(r"[\s;&|$`\\\"'<>(){}#]", value)


@settings(deadline=None)
@given(st.text(min_size=1))
def test_no_folder_leaves_its_place_in_the_script(name: str) -> None:
    """The line that starts the run is one command with the folder as one word, or there is no script."""
    root = Path("/runs") / name.replace("/", "-").replace("\0", "-")
    try:
        script = job_script(root, LaunchOptions(), {})
    except InputError:
        return
    lines = script.split("\n")
    assert shlex.split(lines[-2])[-1] == str(root)
    assert len([line for line in lines if not line.startswith("#")]) <= 4


@pytest.mark.parametrize(
    "written",
    [
        "partition=gpu\nrm -rf /",
        "partition=$(id)",
        "partition=a b",
        "partition=",
        "chdir=/",
        "partition",
        "=x",
    ],
)
def test_what_does_not_belong_into_a_script_is_refused(written: str) -> None:
    with pytest.raises(InputError):
        parse_options([written], {})


def test_the_command_line_comes_before_the_settings_and_all_faults_are_told() -> None:
    assert parse_options(["time=2:00"], {"time": "1:00", "account": "a"}) == {"time": "2:00", "account": "a"}
    with pytest.raises(InputError) as error:
        parse_options(["time=;", "color=red"], {"qos": 3})
    assert len(error.value.problems) == 3


def test_a_dry_run_prints_the_script_and_makes_nothing(
    tmp_path: Path, bin_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_project(tmp_path / "project")
    config = tmp_path / "config" / "ftui"
    config.mkdir(parents=True)
    (config / "settings.toml").write_text('[slurm]\naccount = "lab"\n')
    arguments = ["--launch", "slurm", "--dry-run", "--slurm", "time=1:00:00", "--set", "launch.nnodes=2"]
    assert main(["train", str(recipe), *arguments]) == 0
    script = capsys.readouterr().out
    assert script.startswith("#!/bin/bash\n")
    for line in ("--nodes=2", "--account=lab", "--time=1:00:00", "--signal=B:USR1@120", "--requeue"):
        assert f"#SBATCH {line}\n" in script
    assert not (tmp_path / "runs").exists()


def test_without_sbatch_the_job_is_written_and_can_be_submitted_elsewhere(
    tmp_path: Path, bin_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_project(tmp_path / "project")
    assert main(["train", str(recipe), "--launch", "slurm"]) == 2
    said = capsys.readouterr().err
    (job,) = (tmp_path / "runs").glob("*/job.sbatch")
    assert f"sbatch {job}" in said.replace("\n", " ")
    assert job.stat().st_mode & 0o777 == 0o600
    assert subprocess.run(["bash", "-n", str(job)], check=False).returncode == 0


def test_a_job_that_waits_is_listed_and_can_be_called_off(
    tmp_path: Path, bin_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = stand_in(bin_folder, "sbatch", SBATCH)
    recipe = write_project(tmp_path / "project")
    assert main(["train", str(recipe), "--launch", "slurm", "--slurm", "partition=gpu"]) == 0
    assert "squeue -j 41" in capsys.readouterr().err
    (job,) = (tmp_path / "runs").glob("*/job.sbatch")
    assert asked.read_text() == f"sbatch --parsable {job}\n"
    assert main(["status"]) == 0
    assert "queued: waits in Slurm as job 41; see it with: squeue -j 41" in capsys.readouterr().out
    assert main(["runs"]) == 0
    told = capsys.readouterr()
    assert "queued" in told.out and "stands still" not in told.err

    assert main(["ctl", "latest", "stop"]) == 2  # no scancel here
    assert "scancel 41" in capsys.readouterr().err
    stand_in(bin_folder, "scancel", "")
    assert main(["ctl", "latest", "stop"]) == 0
    assert asked.read_text().endswith("scancel 41\n")
    assert main(["status"]) == 0
    assert "stopped" in capsys.readouterr().out


def test_a_job_that_slurm_refuses_leaves_no_run(
    tmp_path: Path, bin_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(bin_folder, "sbatch", 'sys.exit("sbatch: error: invalid partition specified: \\x1b[31mred")')
    recipe = write_project(tmp_path / "project")
    assert main(["train", str(recipe), "--launch", "slurm"]) != 0
    said = capsys.readouterr().err
    assert "invalid partition" in said and "\x1b" not in said
    assert list((tmp_path / "runs").iterdir()) == []


def test_the_first_node_is_said_to_all_once_it_is_known() -> None:
    job = {"SLURM_JOB_ID": "15007", "SLURMD_NODENAME": "node-a"}
    assert environment_of(job, FIRST_NODE)[ENDPOINT] == "node-a:15007"
    assert ENDPOINT not in environment_of(job, "10.0.0.1:29400")


def test_when_the_time_is_up_the_run_saves_and_the_job_waits_again(
    tmp_path: Path, bin_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every node but the first takes part through srun, and is ended with the run."""
    asked = stand_in(bin_folder, "scontrol", "")
    stand_in(bin_folder, "srun", "import time\ntime.sleep(60)")
    paths = a_run(tmp_path / "runs")
    until_srun = f"import pathlib\nwhile 'srun' not in pathlib.Path({str(asked)!r}).read_text(): pass"
    asked.touch()
    monkeypatch.setattr(slurm_job, "_supervisor_of", lambda paths: [sys.executable, "-c", until_srun])
    signals = Signals()
    signals.time_is_up = True
    assert run_job(paths, {**os.environ, "SLURM_JOB_ID": "41", "SLURMD_NODENAME": "node-a"}, signals) == 0
    lines = asked.read_text().splitlines()
    assert "scontrol requeue 41" in lines
    (srun,) = (line for line in lines if line.startswith("srun"))
    assert "--nodes=1 --ntasks=1 --ntasks-per-node=1 --exclude=node-a" in srun
    queued = read_small(paths.queued, Queued)
    assert queued is not None and queued.job == "41"
    view = RunView(paths)
    view.refresh()
    assert view.state.state == "queued"


def test_a_signal_that_comes_before_the_supervisor_is_passed_on() -> None:
    signals = Signals()
    signals._note(signal.SIGUSR1, None)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        signals.supervisor = process
        signals.pass_on()
        assert process.wait() == -signal.SIGTERM
    assert signals.time_is_up


def test_a_job_that_cannot_wait_again_does_not_look_as_if_it_did(tmp_path: Path, bin_folder: Path) -> None:
    stand_in(bin_folder, "scontrol", "sys.exit(1)")
    paths = a_run(tmp_path / "runs")
    assert not requeue(paths, "41")
    assert not paths.queued.exists()
