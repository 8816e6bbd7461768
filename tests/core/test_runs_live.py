"""Which runs are under way."""

from pathlib import Path

import msgspec
import pytest

from finetui_core.files import write_atomically
from finetui_core.runs.live import LiveRuns
from finetui_core.runs.paths import RunPaths, create_run
from finetui_core.runs.process import host_name, process_identity
from finetui_core.runs.records import Again, Attempt, End


def write_attempt(paths: RunPaths, number: int, pid: int, end: End | None = None) -> None:
    ticks, boot = process_identity(pid)
    attempt = Attempt(number, pid, ticks, boot, host_name(), pid, ticks, 0.0, None, end)
    write_atomically(paths.attempt(number), msgspec.json.encode(attempt), durable=False)


@pytest.fixture
def own_pid() -> int:
    import os

    return os.getpid()


def test_runs_that_have_ended_or_died_are_not_under_way(tmp_path: Path, own_pid: int) -> None:
    live, ended, died, unstarted = (create_run(tmp_path, name, "", {}, {}) for name in "abcd")
    write_attempt(live, 1, own_pid)
    write_attempt(ended, 1, own_pid, End(1.0, 0))
    write_attempt(died, 1, 2**22 + 1)
    finder = LiveRuns(tmp_path)
    assert finder.find() == [live.root]
    assert unstarted.root.is_dir()


def test_a_run_that_ends_and_one_that_is_resumed_are_noticed(tmp_path: Path, own_pid: int) -> None:
    paths = create_run(tmp_path, "a", "", {}, {})
    finder = LiveRuns(tmp_path)
    write_attempt(paths, 1, own_pid)
    assert finder.find() == [paths.root]
    write_attempt(paths, 1, own_pid, End(1.0, 0))
    assert finder.find() == [] and finder.find() == []
    write_attempt(paths, 2, own_pid)
    assert finder.find() == [paths.root]


def test_a_run_that_waits_to_start_again_keeps_its_device(tmp_path: Path, own_pid: int) -> None:
    paths = create_run(tmp_path, "a", "", {}, {})
    finder = LiveRuns(tmp_path)
    write_attempt(paths, 1, own_pid, End(1.0, signal=9, cause="killed", again=Again(2.0, 1, 3)))
    assert finder.find() == [paths.root] and finder.find() == [paths.root]
    write_attempt(paths, 1, own_pid, End(1.0, signal=9, cause="killed"))
    assert finder.find() == []


def test_runs_that_have_ended_are_not_read_again(
    tmp_path: Path, own_pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = create_run(tmp_path, "a", "", {}, {})
    write_attempt(paths, 1, own_pid, End(1.0, 0))
    finder = LiveRuns(tmp_path)
    assert finder.find() == []
    monkeypatch.setattr("finetui_core.runs.live.read_small", lambda *arguments: pytest.fail("read again"))
    assert finder.find() == []


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert LiveRuns(tmp_path / "none").find() == []
