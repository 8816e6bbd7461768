"""No signal ever meets a stranger, even where the pid has become another process's."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pid_reuse
from finetui_core.runs import pidfd
from finetui_core.runs.leftovers import gpu_memory_held
from finetui_core.runs.pidfd import has_ended, hold, hold_child, let_go, send, started_at
from finetui_core.runs.process import boot_id, process_identity, start_ticks

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs pidfds")


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(["/bin/sleep", "600"])
    yield process
    process.kill()
    process.wait()


def test_the_process_that_was_recorded_is_ended(sleeper: "subprocess.Popen[bytes]") -> None:
    ticks, boot = process_identity(sleeper.pid)
    with hold(sleeper.pid, started_at(ticks, boot)) as held:
        assert held is not None
        assert not has_ended(held, 0.0)
        assert send(held, signal.SIGKILL)
        assert has_ended(held, 30.0)
    assert sleeper.wait() == -signal.SIGKILL


@pytest.mark.parametrize("other", ["ticks", "boot", "no ticks"])
def test_another_process_of_that_pid_is_never_held(sleeper: "subprocess.Popen[bytes]", other: str) -> None:
    ticks = {"ticks": start_ticks(sleeper.pid) or 0, "no ticks": 0}.get(other, 1) + (other == "ticks")
    if other == "boot":
        ticks = start_ticks(sleeper.pid) or 0
    with hold(sleeper.pid, started_at(ticks, "another" if other == "boot" else boot_id())) as held:
        assert held is None
    assert sleeper.poll() is None


@pytest.mark.parametrize("pid", [-1, 0, 2**22 + 1])
def test_a_pid_of_nobody_is_not_held(pid: int) -> None:
    with hold(pid, lambda pid: True) as held:
        assert held is None


@linux
def test_who_dies_while_held_takes_nobody_along() -> None:
    """The pid may be given to another the moment that its process is reaped; the signal then meets nobody."""
    first = subprocess.Popen(["/bin/sleep", "600"])
    with hold(first.pid, lambda pid: True) as held:
        assert held is not None and held.descriptor is not None
        first.kill()
        first.wait()
        assert has_ended(held, 30.0)
        assert not send(held, signal.SIGKILL)


def test_without_pidfds_the_process_is_looked_at_before_each_signal(
    sleeper: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    with hold(sleeper.pid, lambda pid: True) as held:
        assert held is not None and held.descriptor is None
        assert not has_ended(held, 0.01)
        assert not send(
            held, signal.SIGKILL, lookup=lambda pid: (held.ticks or 0) + 1
        )  # its pid is another's now
        assert sleeper.poll() is None
        assert send(held, signal.SIGKILL)
        assert has_ended(held, 30.0)


def test_a_child_is_held_until_it_is_reaped(sleeper: "subprocess.Popen[bytes]") -> None:
    held = hold_child(sleeper.pid)
    assert send(held, signal.SIGTERM)
    assert has_ended(held, 30.0)
    assert pidfd.start_ticks(sleeper.pid) is None  # a zombie, whose pid nobody else can have
    let_go(held)


@linux
def test_no_stranger_is_signalled_under_forced_pid_reuse() -> None:
    found = pid_reuse.force(10)
    if found is None:
        pytest.skip("this machine gives no pid namespace")
    assert found["reused"] >= 5 and found["signalled"] == 0


def test_only_one_place_signals_by_number() -> None:
    """`pidfd` falls back to it after a look; the others signal a child that is not reaped yet, or themselves."""
    root = Path(__file__).parents[2]
    places = [*(root / "core").rglob("*.py"), *(root / "tui").rglob("*.py")]
    by_number = {
        path.name for path in places if re.search(r"os\.kill(pg)?\(", path.read_text(encoding="utf-8"))
    }
    assert by_number == {"pidfd.py", "watching.py", "frozen.py", "node.py", "launcher.py"}


def test_memory_of_a_gpu_that_the_dead_still_hold() -> None:
    answers = [{7: 1 << 30, 8: None}, {7: 1 << 30}, {7: 1 << 30}]
    asked = iter(answers)
    assert gpu_memory_held({7, 9}, lambda: next(asked), 1.0, sleep=lambda seconds: None) == {7: 1 << 30}
    asked = iter([{7: 1 << 30}, {8: 5}])
    assert gpu_memory_held({7, 9}, lambda: next(asked), 1.0, sleep=lambda seconds: None) == {}
