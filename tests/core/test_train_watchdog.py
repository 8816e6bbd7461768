"""A training that hangs is told apart from one that is slow, paused or stopped from outside."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import finetui_core
from finetui_core.runs import exit_codes
from finetui_core.runs.sentences import event_sentence
from finetui_core.train import watchdog
from finetui_core.train.watchdog import Watch, watched

CORE = Path(finetui_core.__file__).parents[1]


def training(seconds: float = 1.0, steps: int = 100) -> Watch:
    """A watch over a training whose steps took that long, and whose ticks have begun at 0."""
    watch = Watch()
    watch.moved(0, "training")
    for step in range(1, steps + 1):
        watch.stepped(seconds)
        watch.moved(step, "training")
    watch.tick(0.0)
    return watch


def findings(watch: Watch, seconds: float, begin: float = 0.0, every: float = 1.0) -> dict[str, float]:
    """What is found in that time, and when, with a tick each second."""
    found = {}
    for number in range(1, round(seconds / every) + 1):
        finding = watch.tick(begin + number * every)
        if finding:
            found.setdefault(finding, number * every)
    return found


@pytest.mark.parametrize(
    ("step_seconds", "hangs", "hopeless"), [(0.1, 61, 661), (6.0, 61, 661), (30.0, 301, 1801)]
)
def test_a_hang_is_found_by_the_length_of_the_steps(
    step_seconds: float, hangs: float, hopeless: float
) -> None:
    assert findings(training(step_seconds), 2000) == {"hangs": hangs, "hopeless": hopeless}


def test_one_slow_step_in_a_hundred_counts_and_one_in_a_thousand_does_not() -> None:
    often = training(1.0, 98)
    for _ in range(2):
        often.stepped(20.0)
    assert often.allowance() == 200.0
    seldom = training(1.0, 999)
    seldom.stepped(20.0)
    assert seldom.allowance() == 60.0


def test_the_first_step_may_take_long() -> None:
    watch = Watch()
    watch.moved(0, "training")
    watch.tick(0.0)
    assert findings(watch, 43_200) == {"hangs": 601}
    assert watch.tick(43_202.0) == "hopeless"


@pytest.mark.parametrize(
    ("phase", "found"),
    [
        ("evaluating", {"hangs": 1801, "hopeless": 43201}),
        ("saving", {"hangs": 601, "hopeless": 43201}),
        ("loading", {"hangs": 1801}),
        ("preparing", {"hangs": 1801}),
        ("paused", {}),
    ],
)
def test_phases_have_allowances_of_their_own(phase: str, found: dict[str, float]) -> None:
    watch = training()
    watch.moved(100, phase)
    watch.tick(0.0)
    assert findings(watch, 50_000) == found


@pytest.mark.parametrize(
    ("phase", "found"),
    [
        ("evaluating", {"hangs": 1801, "hopeless": 10801}),
        ("saving", {"hangs": 601, "hopeless": 3601}),
        ("loading", {"hangs": 1801}),
    ],
)
def test_where_it_is_known_how_long_a_phase_takes_the_end_comes_sooner(
    phase: str, found: dict[str, float]
) -> None:
    watch = training()
    for now, name in enumerate((phase, "training", phase), start=1):
        watch.moved(100, name)
        watch.tick(float(now))
    assert findings(watch, 20_000, begin=3.0) == found


def test_a_long_evaluation_gives_the_next_one_more_time() -> None:
    watch = training()
    watch.moved(100, "evaluating")
    watch.tick(0.0)
    assert findings(watch, 1000) == {}
    watch.moved(100, "training")
    watch.tick(1001.0)
    watch.moved(101, "evaluating")
    assert 9_990 <= watch.allowance() <= 10_010


def test_progress_after_a_hang_ends_its_alarm() -> None:
    watch = training()
    assert findings(watch, 100) == {"hangs": 61}
    watch.stepped(100.0)
    assert findings(watch, 5, begin=100) == {"moves again": 1}
    assert findings(watch, 190, begin=105) == {}  # 100 s have been too long for nothing


@given(gaps=st.lists(st.floats(0.0, 1e6), max_size=60))
def test_a_machine_that_sleeps_does_not_hang(gaps: list[float]) -> None:
    """However long the clock jumps between two ticks, as after SIGSTOP, only two seconds of it count."""
    watch, now = training(), 0.0
    for number, gap in enumerate(gaps):
        now += gap
        found = watch.tick(now)
        assert watch.idle <= 2 * (number + 1)
        assert (found == "hangs") <= (watch.idle > 60.0)


@given(
    moves=st.lists(
        st.tuples(st.sampled_from(("training", "evaluating", "saving")), st.integers(1, 59)), max_size=50
    )
)
def test_a_training_that_moves_within_its_allowance_is_never_reported(moves: list[tuple[str, int]]) -> None:
    watch, now = training(), 0
    for phase, seconds in moves:
        watch.moved(phase=phase)
        assert findings(watch, seconds, begin=now) == {}
        now += seconds


class Told:
    """An output that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.hang, self.over = threading.Event(), threading.Event()

    def metric(self, record: dict[str, Any]) -> None: ...

    def beat(self, *, step: int, phase: str, total_steps: int) -> None: ...

    def sync(self) -> None: ...

    def event(self, type: str, **fields: Any) -> None:
        self.events.append((type, fields))
        if type == "alarm":
            self.hang.set()
        if type == "alarm_over":
            self.over.set()


def test_a_hang_is_told_with_its_place_and_the_stacks_are_in_the_log(
    capfd: pytest.CaptureFixture[str],
) -> None:
    told, now = Told(), iter(range(0, 10_000_000, 2))
    with watched(told, clock=lambda: float(next(now)), every=0.001) as output:
        output.watch._most = 2.0
        output.beat(step=7, phase="training", total_steps=9)
        output.metric({"step_seconds": 0.5})
        assert told.hang.wait(240)  # here it hangs
        output.beat(step=8, phase="training", total_steps=9)
        assert told.over.wait(240)
    (_, hang), (_, alarm), *_ = told.events
    assert (hang["step"], hang["phase"]) == (7, "training") and 60 < hang["seconds"] < 70
    assert any(frame.startswith("test_train_watchdog.py") for frame in hang["stack"])
    assert alarm["kind"] == "hang" and "after step 7" in alarm["message"]
    sentence, tone = event_sentence({"type": "hang", **hang})
    assert sentence.startswith("no progress for 1 min 02 s, training at step 7: ") and tone == "bad"
    log = capfd.readouterr().err
    assert "no progress for 1 min 02 s after step 7; the stacks of all threads:" in log
    assert "test_a_hang_is_told_with_its_place" in log


HANGS = """
import sys, time
from finetui_core.train import watchdog
from finetui_core.train.output import Silent
watchdog.LEAST_SECONDS = 0.05
watchdog.LEAST_END_SECONDS, watchdog.END_AFTER = 0.05, 1
def step_that_hangs():
    time.sleep(600)
with watchdog.watched(Silent(), every=0.02) as output:
    output.beat(step=3, phase="training", total_steps=9)
    output.metric({"step_seconds": 0.001})
    step_that_hangs()
"""
KEEPS_THE_LOCK = """
import ctypes
from finetui_core.train import watchdog
from finetui_core.train.output import Silent
watchdog.LOCKED_SECONDS = 0.3
def step_in_a_library():
    ctypes.PyDLL(None).usleep(900_000)  # through PyDLL, Python's lock is kept
with watchdog.watched(Silent(), every=0.02) as output:
    output.beat(step=3, phase="training", total_steps=9)
    import time; time.sleep(0.2)
    step_in_a_library()
"""


def run_script(script: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(CORE)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_a_hopeless_hang_ends_the_process_for_the_supervisor_to_start_it_anew() -> None:
    done = run_script(HANGS)
    assert done.returncode == exit_codes.HUNG
    assert "after step 3; the stacks of all threads:" in done.stderr and "step_that_hangs" in done.stderr


def test_the_stacks_come_where_a_library_keeps_pythons_lock() -> None:
    done = run_script(KEEPS_THE_LOCK)
    assert done.returncode == 0
    assert "Timeout" in done.stderr and "step_in_a_library" in done.stderr


def test_an_output_that_hangs_too_does_not_keep_the_end_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a disk that answers no more."""
    monkeypatch.setattr(watchdog, "_LAST_WORDS_SECONDS", 0.01)
    let_go, ended = threading.Event(), threading.Event()

    class Stuck(Told):
        def event(self, type: str, **fields: Any) -> None:
            let_go.wait(240)

    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    now = iter(range(0, 10_000_000, 2))
    with watched(Stuck(), clock=lambda: float(next(now)), end=end, every=0.001) as output:
        output.watch._most = 2.0
        output.beat(step=7, phase="training", total_steps=9)
        output.metric({"step_seconds": 0.5})
        assert ended.wait(240)
        let_go.set()
    assert codes[0] == exit_codes.HUNG
