"""A trainer in which nothing runs any more is ended by its supervisor; one that cannot write or is stopped is not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetui_core.runs import frozen
from finetui_core.runs.frozen import FROZEN_AFTER, Stillness
from finetui_core.runs.paths import RunPaths, create_run
from finetui_core.runs.reader import RunView
from finetui_core.runs.trouble import TroubleFinder
from run_folders import beat

SAMPLE = {"t": 1.0, "gpus": []}
FROZEN = """
import ctypes, faulthandler
faulthandler.enable()
print("ready", flush=True)
def step_in_a_library():
    ctypes.PyDLL(None).sleep(600)  # through PyDLL, Python's lock is kept
step_in_a_library()
"""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    paths = create_run(tmp_path, "frozen", "", {}, {})
    beat(paths, 7)
    return paths


@pytest.fixture
def trainer() -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", FROZEN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def looks(stillness: Stillness, clock: Clock, seconds: float, every: float = 2.0) -> bool:
    """Whether it is found frozen at the last of many looks."""
    found = False
    for _ in range(round(seconds / every)):
        clock.now += every
        found = stillness.is_frozen()
    return found


def test_a_heartbeat_that_stands_still_for_a_quarter_of_an_hour_is_one_of_a_frozen_trainer(
    run: RunPaths,
) -> None:
    clock = Clock()
    stillness = Stillness(run, os.getpid(), clock)
    assert not looks(stillness, clock, FROZEN_AFTER)
    assert looks(stillness, clock, 6)
    beat(run, 8)
    assert not looks(stillness, clock, FROZEN_AFTER)


def test_a_machine_that_slept_was_not_waited_for(run: RunPaths) -> None:
    clock = Clock()
    stillness = Stillness(run, os.getpid(), clock)
    stillness.is_frozen()
    assert not looks(stillness, clock, 80 * 3600, every=3600)


def test_a_disk_that_takes_nothing_is_no_frozen_trainer(
    run: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes, durable: bool) -> None:
        raise OSError(28, "No space left on device")

    clock = Clock()
    stillness = Stillness(run, os.getpid(), clock)
    with monkeypatch.context() as patch:
        patch.setattr(frozen, "write_atomically", full)
        assert not looks(stillness, clock, 2 * FROZEN_AFTER)
    assert looks(stillness, clock, 2)
    assert not list(run.root.glob(".heartbeat*"))


def test_a_stopped_trainer_is_not_frozen(run: RunPaths, trainer: "subprocess.Popen[str]") -> None:
    clock = Clock()
    stillness = Stillness(run, trainer.pid, clock)
    trainer.send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + 30
    while frozen._status(trainer.pid) != "stopped":
        assert time.monotonic() < deadline
    assert not looks(stillness, clock, 2 * FROZEN_AFTER)
    trainer.send_signal(signal.SIGCONT)


def test_a_frozen_trainer_is_ended_with_its_stacks_in_the_log_and_an_alarm(
    run: RunPaths, trainer: "subprocess.Popen[str]"
) -> None:
    clock = Clock()
    finder = TroubleFinder(run, 1, Stillness(run, trainer.pid, clock))
    for _ in range(460):
        clock.now += 2.0
        finder.see(SAMPLE)
    assert trainer.wait(240) == -signal.SIGABRT
    assert trainer.stderr is not None
    assert "step_in_a_library" in trainer.stderr.read()
    view = RunView(run)
    view.refresh()
    (alarm,) = view.alarms
    assert alarm["kind"] == "hang" and "for 15 min 00 s: a library keeps Python's lock" in str(
        alarm["message"]
    )


def test_a_pid_that_is_used_again_is_not_signalled(run: RunPaths, trainer: "subprocess.Popen[str]") -> None:
    stillness = Stillness(run, trainer.pid)
    stillness._ticks = 1
    stillness.abort()
    assert trainer.poll() is None
