"""Whether a run that died is started again: rules without processes, then the supervisor with trainers that die."""

import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dying_trainers import WAITS, Way, begin, eventually
from finetui_core.runs.causes import RESTARTED, WAYS_OUT
from finetui_core.runs.mailbox import send
from finetui_core.runs.restarts import Death, Rules, judge_deaths
from training import events

THREE = Rules(max_restarts=3)


def test_pauses_grow_and_the_last_death_ends_it() -> None:
    deaths = [Death("killed", 5, 0)]
    pauses = []
    while (verdict := judge_deaths(deaths, THREE)).number:
        assert verdict.number == len(deaths)
        pauses.append(verdict.pause)
        deaths.append(Death("killed", 5, 0))
    assert pauses == [10.0, 30.0, 90.0]
    assert verdict.why_not == "it was started again 3 times without getting any further"


def test_a_pause_is_never_longer_than_ten_minutes() -> None:
    deaths = [Death("killed", 0, 0)] * 50
    assert judge_deaths(deaths, Rules(max_restarts=100)).pause == 600.0


def test_a_later_checkpoint_starts_the_count_anew() -> None:
    deaths = [Death("segfault", step, step - 1) for step in (10, 20, 30, 40, 50)]
    assert judge_deaths(deaths, THREE).number == 1


def test_the_same_death_twice_without_progress_ends_it() -> None:
    deaths = [Death("crashed", 412, 400)] * 2
    assert judge_deaths(deaths, THREE).why_not == "it died twice at step 412 in the same way"
    for other in (Death("crashed", 413, 400), Death("segfault", 412, 400), Death("crashed", 412, 412)):
        assert judge_deaths([deaths[0], other], THREE).number


@pytest.mark.parametrize("cause", sorted(set(WAYS_OUT) - RESTARTED))
def test_what_would_happen_again_is_not_tried(cause: str) -> None:
    assert judge_deaths([Death(cause, 5, 0)], THREE).number == 0


def test_a_run_that_was_paused_or_never_trained_is_left_alone() -> None:
    assert "paused" in judge_deaths([Death("killed", 5, 0, paused=True)], THREE).why_not
    assert judge_deaths([Death("crashed", 0, 0, ready=False)], THREE).number == 0
    assert judge_deaths([Death("killed", 0, 0, ready=False)], THREE).number == 1


@given(
    st.lists(
        st.builds(Death, st.sampled_from(sorted(WAYS_OUT)), st.integers(0, 3), st.integers(0, 3)), min_size=1
    ),
    st.integers(0, 5),
)
def test_it_never_starts_again_more_often_than_allowed_without_progress(
    deaths: list[Death], most: int
) -> None:
    verdict = judge_deaths(deaths, Rules(max_restarts=most))
    assert verdict.number <= most
    assert 0 <= verdict.pause <= 600


def test_a_run_is_started_again_until_it_dies_twice_in_the_same_way(tmp_path: Path) -> None:
    trial = begin(tmp_path, Way("crashed", "os.abort()", rules={"max_restarts": 3, "first_pause": 0.01}))
    try:
        assert trial.supervisor.wait(240) == 128 + signal.SIGABRT
        view = trial.view()
        assert [one.attempt for one in view.attempts] == [1, 2]
        assert view.state.state == "killed" and view.state.cause == "abort"
        assert view.state.reason.endswith("; it died twice at step 412 in the same way")
        assert view.attempts[0].end and view.attempts[0].end.again
        (restart,) = events(trial.paths, "restart")
        assert restart["message"].startswith("1st of 3 restarts in 0 s: killed by SIGABRT at step 412")
    finally:
        trial.end()


@pytest.mark.parametrize("by", ["command", "signal"])
def test_a_stop_during_the_pause_ends_the_run(tmp_path: Path, by: str) -> None:
    trial = begin(tmp_path, Way("killed", WAITS, rules={"max_restarts": 3, "first_pause": 500.0}))
    try:
        trial.signal_trainer(signal.SIGKILL)
        eventually(lambda: trial.view().state.state == "restarting")
        assert "starts again by itself" in trial.view().state.way_out(trial.paths.id)
        reason = trial.view().state.reason
        assert reason.startswith("starts again in 8 min") and "1st of 3 restarts: killed by SIGKILL" in reason
        if by == "command":
            send(trial.paths, "stop")
        else:
            trial.supervisor.terminate()
        trial.supervisor.wait(240)
        state = trial.view().state
        assert (state.state, state.live) == ("stopped", False)
        assert "while it waited to start again (killed by SIGKILL" in state.reason
        told = [event["status"] for event in events(trial.paths, "control")]
        assert told == (["acknowledged", "done"] if by == "command" else [])
        assert trial.paths.attempt_numbers() == [1]
    finally:
        trial.end()


def test_a_want_of_memory_halves_the_passes_and_is_said(tmp_path: Path) -> None:
    """8 rows, 4, 2, 1: then the run ends with the way out."""
    trial = begin(tmp_path, Way("memory", "raise MemoryError", rules={"max_restarts": 1}))
    try:
        assert trial.supervisor.wait(240) == 4
        view = trial.view()
        sizes = [(one.per_device_train_batch_size, one.gradient_accumulation_steps) for one in view.attempts]
        assert sizes == [(None, None), (4, 2), (2, 4), (1, 8)]
        assert view.state.state == "out_of_memory" and "a pass has one row already" in view.state.reason
        assert "gradient_checkpointing" in view.state.way_out(view.id)
        assert [one["per_device_train_batch_size"] for one in events(trial.paths, "batch_halved")] == [
            4,
            2,
            1,
        ]
        assert [one["by"] for one in events(trial.paths, "inexact")] == ["out_of_memory"] * 3
        assert events(trial.paths, "inexact")[0]["differences"] == [
            {"name": "train.per_device_train_batch_size", "was": 8, "now": 4},
            {"name": "train.gradient_accumulation_steps", "was": 1, "now": 2},
        ]
        (alarm,) = view.alarms
        assert alarm["kind"] == "batch_halved" and "batch and schedule stay the same" in alarm["message"]
    finally:
        trial.end()
