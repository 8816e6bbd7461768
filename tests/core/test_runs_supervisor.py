"""The supervisor with small scripts as trainers: it outlives what it must and records every end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import finetui_core
from dying_trainers import eventually
from finetui_core.errors import RunFailed
from finetui_core.runs.command import trainer_command, trainer_environment
from finetui_core.runs.lock import take_lock
from finetui_core.runs.logind import Answer
from finetui_core.runs.mailbox import pending, send
from finetui_core.runs.paths import RunPaths, create_run
from finetui_core.runs.process import start_ticks
from finetui_core.runs.reader import RunView, read_records
from finetui_core.runs.records import Attempt, read_small
from finetui_core.runs.supervisor import BUSY, is_locked, launch

CORE = Path(finetui_core.__file__).parents[1]
SUPERVISE = """
import os, sys
from pathlib import Path
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.supervisor import run_attempt
sys.exit(run_attempt(RunPaths(Path(sys.argv[1])), [sys.executable, "-c", sys.argv[2]], dict(os.environ)))
"""
WAITS = "import time; print('waiting', flush=True); time.sleep(600)"
CHECKPOINTS = """
import signal, sys, time
def stop(*given):
    print("saved", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("waiting", flush=True)
time.sleep(600)
"""
LEAVES_A_CHILD = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
"""

TERMINAL = """
import os, pty, signal, sys, time
from pathlib import Path
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.supervisor import launch
shell, terminal = pty.fork()
if shell == 0:
    launch(RunPaths(Path(sys.argv[1])))
    print("launched", os.getpid(), flush=True)
    time.sleep(600)
said = b""
while b"\\n" not in said:
    said += os.read(terminal, 1000)
sys.stdout.write(said.decode())
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    return create_run(tmp_path, "supervised", "", {}, {})


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Supervisors that are killed, with their sessions, when the test is over."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def supervise(run: RunPaths, script: str, started: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, str(run.root), script],
        env={**os.environ, "PYTHONPATH": str(CORE), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    started.append(process)
    return process


def attempt(run: RunPaths, number: int = 1) -> Attempt | None:
    return read_small(run.attempt(number), Attempt)


def trainer_of(run: RunPaths, number: int = 1) -> Attempt:
    """The attempt, once its trainer is at work."""

    def at_work() -> Attempt | None:
        found = attempt(run, number)
        return found if found and found.pid and b"waiting" in run.log(number).read_bytes() else None

    found: Attempt = eventually(at_work)
    return found


def state(run: RunPaths) -> str:
    view = RunView(run)
    view.refresh()
    return view.state.state


@pytest.fixture
def kill_leftovers(run: RunPaths) -> Iterator[None]:
    yield
    for number in run.attempt_numbers():
        found = attempt(run, number)
        if found and found.pid and start_ticks(found.pid) == found.start_ticks:
            os.kill(found.pid, signal.SIGKILL)


pytestmark = pytest.mark.usefixtures("kill_leftovers")


@pytest.mark.parametrize(("code", "judged"), [(0, "finished"), (3, "failed")])
def test_an_exit_code_is_recorded(
    run: RunPaths, started: list[subprocess.Popen[bytes]], code: int, judged: str
) -> None:
    script = f"import sys; print(sys.argv[1:]); sys.exit({code})"
    assert supervise(run, script, started).wait() == code
    found = attempt(run)
    assert found is not None and found.end is not None
    assert (found.end.exit_code, found.end.signal, found.end.oom) == (code, None, False)
    assert state(run) == judged
    assert run.log(1).read_text() == "['--attempt', '1']\n"
    assert not is_locked(run)


def test_attempts_are_numbered(run: RunPaths, started: list[subprocess.Popen[bytes]]) -> None:
    for _ in range(2):
        supervise(run, "", started).wait()
    assert run.attempt_numbers() == [1, 2]


def test_a_kill_is_recorded_as_one(run: RunPaths, started: list[subprocess.Popen[bytes]]) -> None:
    supervisor = supervise(run, WAITS, started)
    os.kill(trainer_of(run).pid, signal.SIGKILL)
    assert supervisor.wait() == 128 + signal.SIGKILL
    assert state(run) == "killed"
    assert not is_locked(run)


def test_a_closed_terminal_ends_nothing(run: RunPaths, started: list[subprocess.Popen[bytes]]) -> None:
    supervisor = supervise(run, CHECKPOINTS, started)
    trainer = trainer_of(run)
    os.kill(supervisor.pid, signal.SIGHUP)
    os.kill(trainer.pid, signal.SIGHUP)
    os.kill(supervisor.pid, signal.SIGTERM)
    assert supervisor.wait() == 0  # ended by the second signal alone
    assert "saved" in run.log(1).read_text()


def test_a_request_to_end_is_passed_on(run: RunPaths, started: list[subprocess.Popen[bytes]]) -> None:
    supervisor = supervise(run, CHECKPOINTS, started)
    trainer_of(run)
    supervisor.terminate()
    assert supervisor.wait() == 0
    found = attempt(run)
    assert found is not None and found.end is not None and found.end.exit_code == 0


def test_a_run_is_trained_by_one_at_a_time(run: RunPaths, started: list[subprocess.Popen[bytes]]) -> None:
    supervise(run, WAITS, started)
    trainer_of(run)
    assert is_locked(run)
    assert supervise(run, WAITS, started).wait() == BUSY
    assert run.attempt_numbers() == [1]
    with pytest.raises(RunFailed, match="already running"):
        launch(run)


def test_the_lock_lives_as_long_as_the_trainer(run: RunPaths, started: list[subprocess.Popen[bytes]]) -> None:
    supervisor = supervise(run, WAITS, started)
    trainer = trainer_of(run)
    supervisor.kill()
    supervisor.wait()
    view = RunView(run)
    view.refresh()
    assert view.state.state == "starting" and "supervisor gone" in view.state.reason
    heartbeat = {"seq": 1, "t": time.time(), "step": 1, "total_steps": 2, "step_age_s": 0.0}
    run.heartbeat.write_text(json.dumps({**heartbeat, "phase": "training", "pid": trainer.pid}))
    assert state(run) == "running"
    assert is_locked(run)
    assert supervise(run, WAITS, started).wait() == BUSY
    os.kill(trainer.pid, signal.SIGKILL)
    eventually(lambda: not is_locked(run))
    assert state(run) == "died"


def test_what_the_trainer_leaves_behind_is_ended(
    run: RunPaths, started: list[subprocess.Popen[bytes]]
) -> None:
    assert supervise(run, LEAVES_A_CHILD, started).wait() == 0
    child = int(run.log(1).read_text().split()[1])
    eventually(lambda: start_ticks(child) is None)


def test_commands_to_an_earlier_attempt_are_not_obeyed(
    run: RunPaths, started: list[subprocess.Popen[bytes]]
) -> None:
    send(run, "stop")
    supervise(run, "", started).wait()
    assert pending(run) == []


def test_the_hardware_is_sampled(run: RunPaths, started: list[subprocess.Popen[bytes]]) -> None:
    supervise(run, WAITS, started)
    samples = eventually(lambda: read_records(run.system(1)))
    assert samples[0]["memory_total"] > 0 and samples[0]["trainer_rss"] > 0
    assert samples[0]["gpus"] or samples[0]["gpu_note"]


def hold_trainer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the real trainer wait before it imports anything."""
    hold = "import sys, time\nif '--attempt' in sys.orig_argv:\n    time.sleep(600)\n"
    (folder / "sitecustomize.py").write_text(hold)
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{CORE}")


def test_a_launched_run_has_its_own_session_and_no_terminal(
    run: RunPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_trainer(tmp_path, monkeypatch)
    # As systemd-run --scope does, env becomes the program that it is given.
    scope = Answer(prefix=("env", "STARTED_BY=a scope"))
    monkeypatch.setattr("finetui_core.runs.supervisor.at_logout", lambda: scope)
    pid = launch(run, resumed_from="checkpoints/step-000007")
    found = attempt(run)
    assert found is not None and found.end is None
    assert (found.supervisor_pid, found.resumed_from) == (pid, "checkpoints/step-000007")
    assert os.getsid(pid) == os.getsid(found.pid) == pid
    if sys.platform == "linux":
        assert b"STARTED_BY=a scope" in Path(f"/proc/{pid}/environ").read_bytes()
        for process in (pid, found.pid):
            assert Path(f"/proc/{process}/fd/0").readlink() == Path(os.devnull)
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: start_ticks(pid) is None)
    assert state(run) == "killed"


def test_a_launched_run_outlives_its_terminal(
    run: RunPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_trainer(tmp_path, monkeypatch)
    terminal = subprocess.run(
        [sys.executable, "-c", TERMINAL, str(run.root)], capture_output=True, check=False
    )
    assert terminal.returncode == -signal.SIGKILL
    shell = int(terminal.stdout.split()[1])
    eventually(lambda: start_ticks(shell) is None)  # it was hung up on
    found = attempt(run)
    assert found is not None and found.end is None
    assert start_ticks(found.pid) == found.start_ticks
    os.kill(found.supervisor_pid, signal.SIGTERM)
    eventually(lambda: state(run) == "killed")


def test_a_launch_that_fails_says_why(run: RunPaths) -> None:
    run.resolved_recipe.unlink()
    with pytest.raises(RunFailed, match=r"recipe\.resolved\.json") as caught:
        launch(run)
    assert "Traceback" not in str(caught.value)


def test_a_lock_is_free_again_when_its_holder_closes_it(run: RunPaths) -> None:
    assert not is_locked(run)
    descriptor = take_lock(run)
    assert descriptor is not None
    assert is_locked(run) and take_lock(run) is None
    os.close(descriptor)
    assert not is_locked(run)


def test_several_processes_are_started_by_torchrun(run: RunPaths) -> None:
    trainer = ["-m", "finetui_core.train", str(run.root)]
    assert trainer_command(run, {"launch": {"nproc_per_node": 1}})[1:] == trainer
    launcher = ["-m", "finetui_core.train.launcher", str(run.root), "--node"]
    assert trainer_command(run, {"launch": {"nproc_per_node": 2}})[1:] == [*launcher, "0"]
    assert trainer_command(run, {"launch": {"nnodes": 2}}, node=1)[1:] == [*launcher, "1"]


def test_the_hub_is_asked_only_where_the_recipe_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTHONPATH", "/mine")
    here = {"model": {"name": str(tmp_path)}, "data": {"train": "a.jsonl", "val": None}}
    environment = trainer_environment(here)
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert "PYTHONDONTWRITEBYTECODE" not in environment
    assert environment["PYTHONPATH"] == f"{CORE}{os.pathsep}/mine"
    for there in ({"model": {"name": "owner/model"}}, {**here, "data": {"train": "hub:owner/rows"}}):
        assert "HF_HUB_OFFLINE" not in trainer_environment(there)
