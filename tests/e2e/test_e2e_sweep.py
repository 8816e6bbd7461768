"""Sweeps and the queue as a user has them: exit codes, JSON, and kills of all that can be killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import finetui_core
from finetui_core.cli.main import main
from finetui_core.errors import InputError, Problem
from finetui_core.runs import queue
from finetui_core.runs.lock import is_locked
from finetui_core.runs.paths import RunPaths, run_ids
from finetui_core.runs.reader import RunView
from terminal import run_on_terminal
from training import ftui, write_project

CORE = Path(finetui_core.__file__).parents[1]
LONG = "train.max_steps=100000"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project whose runs, should any be left, are ended for good."""
    recipe = write_project(tmp_path, rows=16)
    recipe.write_text(recipe.read_text() + "[launch]\nmax_restarts = 0\n")
    folder = recipe.parent
    yield folder
    root = folder / "runs"
    if root.exists():
        queue.pause(root)
        for run_id in run_ids(root):
            view = RunView(RunPaths(root / run_id))
            view.refresh()
            if view.state.live and view.attempts[-1].pid:
                os.kill(view.attempts[-1].pid, signal.SIGKILL)
        wait_until(lambda: not any(is_locked(RunPaths(root / run_id)) for run_id in run_ids(root)))


def wait_until(reached: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def states(folder: Path) -> dict[str, str]:
    listed = json.loads(ftui("runs", "--json", folder=folder).stdout)
    return {one["name"]: one["state"] for one in listed}


def queued(folder: Path, *arguments: str) -> dict[str, Any]:
    done = ftui("queue", *arguments, "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def worker_pid(root: Path) -> int:
    """The process that holds the queue's lock, as the kernel lists it."""
    inode = queue.QueuePaths(root).lock.stat().st_ino
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if "->" not in fields and fields[5].endswith(f":{inode}"):
            return int(fields[4])
    raise AssertionError("nobody holds the lock")


def steps_of(view: RunView) -> int:
    view.refresh()
    return len(view.steps)


def named(folder: Path, part: str) -> RunPaths:
    (found,) = (folder / "runs").glob(f"*{part}*")
    return RunPaths(found)


def test_a_plan_shows_every_run_and_makes_none(project: Path) -> None:
    options = ("--set", "train.learning_rate=1e-3,1e-2", "--set", "lora.r=4,8")
    shown = ftui("sweep", "recipe.toml", *options, "--plan", folder=project)
    assert shown.returncode == 0, shown.stderr
    for words in ("4 runs", "learning_rate=1e-3, r=4", "learning_rate=1e-2, r=8"):
        assert words in shown.stdout
    plan = json.loads(ftui("sweep", "recipe.toml", *options, "--plan", "--json", folder=project).stdout)
    assert plan["name"] == "recipe"
    assert plan["runs"][1]["set"] == ["train.learning_rate=1e-3", "lora.r=8"]
    known = plan["total"]
    times = [run["preflight"]["duration"]["seconds"]["middle"] for run in plan["runs"]]
    assert known["devices"] == 1 and known["seconds"]["middle"] == pytest.approx(sum(times))
    assert known["memory"][1] == max(run["preflight"]["verdict"]["high"] for run in plan["runs"])
    assert "in all: time " in shown.stdout and "fits" in shown.stdout
    assert not (project / "runs").exists()


def test_bad_values_are_all_told_and_nothing_is_made(project: Path) -> None:
    bad = ftui(
        "sweep",
        "recipe.toml",
        "--set",
        "train.learning_rate=1e-3,9",
        "--set",
        "lora.r=4,zero",
        folder=project,
    )
    assert bad.returncode == 2
    assert "train.learning_rate=9" in bad.stderr and "lora.r=zero" in bad.stderr
    assert ftui("sweep", "recipe.toml", folder=project).returncode == 2
    assert ftui("sweep", folder=project).returncode == 2
    for option in ("5", "1e-2,1e-4", "0,1"):
        done = ftui("sweep", "recipe.toml", "--lr-range", option, folder=project)
        assert (done.returncode, "--lr-range" in done.stderr) == (2, True), done.stderr
    assert ftui("sweep", "recipe.toml", "--lr-range", "--steps", "3", folder=project).returncode == 2
    missing = ftui("sweep", "--compare", "nothing", folder=project)
    assert (missing.returncode, "no sweep is named 'nothing'" in missing.stderr) == (2, True)
    assert not (project / "runs").exists()


def test_runs_that_cannot_fit_are_all_told_before_any_is_made(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*given: object, **kept: object) -> None:
        raise InputError(Problem("the memory cannot hold it"))

    monkeypatch.chdir(project)
    monkeypatch.setattr("finetui_core.cli.sweep.before_run", refuse)
    assert main(["sweep", "recipe.toml", "--set", "train.learning_rate=1e-3,1e-2", "--detach"]) == 2
    said = capsys.readouterr().err
    assert "learning_rate=1e-3: the memory" in said and "learning_rate=1e-2: the memory" in said
    assert not (project / "runs").exists()


def test_a_sweep_is_followed_and_compared(project: Path) -> None:
    options = ("--set", "train.learning_rate=1e-3,2e-2", "--name", "rates")
    done = ftui("sweep", "recipe.toml", *options, "--json", folder=project)
    assert done.returncode == 0, done.stderr
    for words in ("[1/2] learning_rate=1e-3: started on cpu", "[2/2] learning_rate=2e-2: finished after"):
        assert words in done.stderr
    found = json.loads(done.stdout)
    assert found["options"] == ["train.learning_rate"]
    slow, fast = found["runs"]
    assert (slow["options"], slow["state"]) == ({"train.learning_rate": 1e-3}, "finished")
    assert fast["best_eval_loss"] < slow["best_eval_loss"] and found["best"] == fast["id"]
    assert fast["seconds"] > 0 and fast["tokens_per_second"] > 0
    assert any("cannot tell a small difference from chance" in note for note in found["notes"])
    assert any("the best one may be higher still" in note for note in found["notes"])
    shown = ftui("sweep", "--compare", "rates", folder=project)
    assert shown.returncode == 0, shown.stderr
    (best,) = [line for line in shown.stdout.splitlines() if line.startswith("* ") and "finished" in line]
    assert fast["id"] in best
    again = ftui("sweep", "recipe.toml", *options, folder=project)
    assert (again.returncode, "there is a sweep named rates already" in again.stderr) == (2, True)
    tagged = json.loads(ftui("runs", "--json", "--filter", "tag:sweep:rates", folder=project).stdout)
    assert len(tagged) == 2
    assert queued(project)["waiting"] == []


def test_the_queue_is_ordered_and_emptied_while_it_is_paused(project: Path) -> None:
    assert queued(project, "pause")["paused"]
    for name in ("one", "two", "three"):
        done = ftui("train", "recipe.toml", "--queue", "--name", name, "--json", folder=project)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["state"] == "queued"
        assert "paused" in done.stderr
    moved = queued(project, "move", "three", "first")
    assert [one["name"] for one in moved["waiting"]] == ["three", "one", "two"]
    assert moved["working"] is False and "ftui queue start" in moved["says"]
    assert [one["name"] for one in queued(project, "remove", "one")["waiting"]] == ["three", "two"]
    twice = ftui("queue", "remove", "one", folder=project)
    assert (twice.returncode, "does not wait in the queue" in twice.stderr) == (2, True)
    told = ftui("ctl", "two", "stop", folder=project)
    assert (told.returncode, "ftui queue" in told.stderr) == (2, True)
    assert states(project) == {"one": "stopped", "two": "queued", "three": "queued"}
    queued(project, "add", "one")
    assert [one["name"] for one in queued(project)["waiting"]] == ["three", "two", "one"]


@pytest.mark.slow
def test_stopping_the_queue_stops_its_run_and_continuing_it_resumes(project: Path) -> None:
    ftui("train", "recipe.toml", "--queue", "--name", "long", "--set", LONG, folder=project)
    ftui("train", "recipe.toml", "--queue", "--name", "next", folder=project)
    view = RunView(named(project, "long"))
    wait_until(lambda: steps_of(view) > 3)
    stopped = queued(project, "stop")
    assert stopped["paused"] and [one["name"] for one in stopped["waiting"]] == ["next"]
    wait_until(lambda: not is_locked(view.paths))
    assert states(project) == {"long": "stopped", "next": "queued"}
    queued(project, "add", "long")
    queued(project, "move", "long", "first")
    queued(project, "start")
    wait_until(lambda: len(view.paths.attempt_numbers()) == 2)
    view.refresh()
    assert (view.attempts[1].resumed_from or "").startswith("checkpoints/step-")
    queued(project, "stop")


def test_a_sweep_outlives_its_terminal_its_worker_and_a_failed_run(project: Path) -> None:
    """One run is made to fail, the terminal dies, the worker dies: the rest finish and are compared."""
    root = project / "runs"
    arguments = ["-m", "finetui_core.cli.main", "sweep", str(project / "recipe.toml"), "--runs", str(root)]
    arguments += ["--set", "train.learning_rate=1e-3,1e-2,2e-2", "--name", "hard"]
    arguments += ["--set", "launch.max_restarts=0"]
    with run_on_terminal(arguments, columns=120, PYTHONPATH=str(CORE)) as terminal:
        terminal.wait_for("started on cpu", 240)
        first = RunView(named(project, "learning-rate-1e-3"))
        first.refresh()
        os.kill(first.attempts[0].pid, signal.SIGKILL)
        terminal.wait_for("killed after", 240)
        terminal.wait_for("[2/3] learning_rate=1e-2: started", 240)
    # leaving the block kills the terminal's program and closes its terminal
    os.kill(worker_pid(root), signal.SIGKILL)
    wait_until(lambda: not queue.is_working(root))
    still = queued(project)
    assert "stands still" in still["says"] and len(still["waiting"]) == 1
    assert [one["name"] for one in still["running"]] == ["hard: learning_rate=1e-2"]
    assert queued(project, "start")["working"]
    wait_until(lambda: set(states(project).values()) == {"killed", "finished"})
    compared = ftui("sweep", "--compare", "hard", "--json", folder=project)
    found = json.loads(compared.stdout)
    assert [run["state"] for run in found["runs"]] == ["killed", "finished", "finished"]
    assert found["best"] in {run["id"] for run in found["runs"][1:]}
    for run in found["runs"]:
        assert (Path(run["path"]) / "report" / "preflight.json").is_file()
    assert any("is killed" in note for note in found["notes"])
    views = [RunView(RunPaths(Path(run["path"]))) for run in found["runs"]]
    for view in views:
        view.refresh()
        assert [attempt.attempt for attempt in view.attempts] == [1]
    for before, after in pairwise(view.attempts[0] for view in views):
        assert before.end is not None and before.end.at <= after.started_at  # one at a time


def test_ctrl_c_leaves_the_sweep_to_the_queue(project: Path) -> None:
    root = project / "runs"
    arguments = ["-m", "finetui_core.cli.main", "sweep", str(project / "recipe.toml"), "--runs", str(root)]
    arguments += ["--set", "train.learning_rate=1e-3,1e-2", "--set", LONG]
    with run_on_terminal(arguments, columns=120, PYTHONPATH=str(CORE)) as terminal:
        terminal.wait_for("started on cpu", 240)
        terminal.press("\x03")
        assert terminal.wait_for_end() == 130
        assert "The queue goes on." in terminal.screen() and "ftui queue stop" in terminal.screen()
    assert queued(project)["working"]


LAUNCH = """
import os, signal, sys
from pathlib import Path
from finetui_core.runs import supervisor
from finetui_core.runs.paths import RunPaths
real = supervisor.write_atomically
def write(path, content, **options):
    real(path, content, **options)
    if path.parent.name == "attempts":
        os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "after":
    supervisor.write_atomically = write
else:
    supervisor.write_atomically = lambda *given, **options: os.kill(os.getpid(), signal.SIGKILL)
supervisor.main([sys.argv[1], "--from-queue-on", "cpu"])
"""


@pytest.mark.parametrize(("moment", "waits"), [("before", True), ("after", False)])
def test_a_kill_around_the_start_neither_loses_nor_repeats_a_run(
    project: Path, moment: str, waits: bool
) -> None:
    """The attempt's file is the moment at which a run has begun: before it, it waits on; after, never again."""
    queued(project, "pause")
    ftui("train", "recipe.toml", "--queue", "--name", "one", folder=project)
    paths = named(project, "one")
    done = subprocess.run([sys.executable, "-c", LAUNCH, str(paths.root), moment], check=False)
    assert done.returncode == -signal.SIGKILL
    assert bool(queue.waiting(project / "runs")) is waits
    queued(project, "start")
    wait_until(lambda: not queue.waiting(project / "runs") and not queue.is_working(project / "runs"))
    assert paths.attempt_numbers() == [1]
    assert (states(project)["one"] == "died") is not waits


def test_a_range_test_finds_the_edge_and_saves_nothing(project: Path) -> None:
    done = ftui(
        "sweep", "recipe.toml", "--lr-range", "1e-5,1", "--steps", "60", "--json", "--set", "lora.lora_dropout=0",
        folder=project,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["learning_rate_ranges"]
    paths = RunPaths(Path(found["path"]))
    view = RunView(paths)
    view.refresh()
    rates = [step["learning_rate"] for step in view.steps]
    assert rates[0] == pytest.approx(1e-5)
    assert rates == sorted(rates)
    assert [later / rate for rate, later in pairwise(rates)] == pytest.approx(
        [10 ** (5 / 59)] * (len(rates) - 1)
    )
    assert list(paths.checkpoints.iterdir()) == [] and view.evaluations == []
    assert found["suggested_span"][0] <= found["suggested"] <= found["suggested_span"][1]
    assert "learning_rate = 0.01" in (project / "recipe.toml").read_text()
    shown = ftui("sweep", "--compare", "recipe", folder=project)
    assert "Suggested learning rate" in shown.stdout and "suggested" in shown.stdout
