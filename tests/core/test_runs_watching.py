"""How long a stop or an abort is waited for, and what is said where something of the run is left."""

from pathlib import Path

import msgspec
import pytest

from finetui_core.cli.main import main
from finetui_core.files import write_atomically
from finetui_core.runs.endings import verify_gone
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import Attempt, End, Heartbeat
from finetui_core.runs.restarts import Rules
from finetui_core.runs.watching import patience
from run_folders import START, write_run

RULES = Rules(stop_within=60.0, long_phase=600.0, abort_within=5.0)


def attempt_of(paths: RunPaths) -> Attempt:
    return msgspec.json.decode(paths.attempt(1).read_bytes(), type=Attempt)


@pytest.mark.parametrize(
    ("phase", "wanted", "seconds"),
    [
        ("training", "stop", 61.0),  # a usual step takes 1 s
        ("paused", "stop", 61.0),
        ("saving", "stop", 600.0),
        ("evaluating", "stop", 600.0),
        ("loading", "stop", 600.0),
        ("saving", "abort", 5.0),
        ("training", "abort", 5.0),
    ],
)
def test_patience(tmp_path: Path, phase: str, wanted: str, seconds: float) -> None:
    paths = write_run(tmp_path, end=None)
    beat = Heartbeat(1, START + 1, 1, 2, 0.0, phase, 1)
    write_atomically(paths.heartbeat, msgspec.json.encode(beat))
    assert patience(paths, attempt_of(paths), wanted, RULES) == seconds


def test_a_trainer_without_a_heartbeat_is_loading(tmp_path: Path) -> None:
    paths = write_run(tmp_path, end=None)
    paths.heartbeat.unlink()
    assert patience(paths, attempt_of(paths), "stop", RULES) == 600.0


def test_memory_that_the_dead_hold_and_processes_that_do_not_die_are_alarms(tmp_path: Path) -> None:
    paths = write_run(tmp_path)
    verify_gone(paths, attempt_of(paths), {7}, [8], ask=lambda: {7: 5 << 30, 9: 1}, within=0.0)
    view = RunView(paths)
    view.refresh()
    alarms = {alarm["kind"]: alarm["message"] for alarm in view.alarms}
    assert alarms == {
        "left_behind": "these processes of the run do not die of SIGKILL: 8",
        "gpu_memory_held": "process 7 of this run has ended and still holds 5.0 GiB of a GPU",
    }


def test_nothing_is_said_where_nothing_is_left(tmp_path: Path) -> None:
    paths = write_run(tmp_path)
    before = paths.events.read_bytes()
    verify_gone(paths, attempt_of(paths), {7}, [], ask=lambda: {9: 1}, within=0.0)
    assert paths.events.read_bytes() == before


def test_commands_tell_the_cause_and_the_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    end = End(START + 9, signal=11, cause="segfault", reason="killed by SIGSEGV at step 60")
    paths = write_run(tmp_path, end=end)
    assert main(["status", str(paths.root)]) == 0
    shown = capsys.readouterr().out
    assert "killed: killed by SIGSEGV at step 60" in shown
    assert "way out    A library of the trainer failed" in shown and f"ftui resume {paths.id}" in shown
    assert main(["status", str(paths.root), "--json"]) == 0
    facts = msgspec.json.decode(capsys.readouterr().out)
    assert (facts["state"], facts["cause"]) == ("killed", "segfault")
    assert main(["watch", str(paths.root), "--plain"]) == 1
    assert "A library of the trainer failed" in capsys.readouterr().out
