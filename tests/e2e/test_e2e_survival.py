"""A run outlives what happens to its interfaces; tests/proofs/survival.py is the long form."""

import os
from pathlib import Path

import pytest

from finetui_core.runs.records import End
from run_folders import ENDED, write_run
from survival_trials import Place, advances, limit_files, survive
from training import write_project


def test_a_run_outlives_attacks_on_its_interfaces(tmp_path: Path) -> None:
    """The terminal of `ftui train` is closed, a tmux with a viewer killed, a viewer stopped, the disk full."""
    place = Place(write_project(tmp_path).parent, 100, limit_files)
    trials = survive(place, count=5, seed=3)
    assert len(trials) >= 5
    assert [trial for trial in trials if trial.fault] == []


@pytest.mark.parametrize(
    ("end", "pid", "fault"),
    [
        (ENDED, None, ""),
        (ENDED, 1, "another trainer has taken its place"),
        (End(1.0, signal=1, reason="killed by SIGHUP"), None, "it ended: killed by SIGHUP"),
    ],
)
def test_a_trial_notices_a_run_that_did_not_survive(
    tmp_path: Path, end: End, pid: int | None, fault: str
) -> None:
    assert advances(write_run(tmp_path, end=end), pid or os.getpid()) == fault


def test_a_trial_notices_a_run_that_stands_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("survival_trials.WITHIN", 0.05)
    assert advances(write_run(tmp_path, end=None), os.getpid()) == "two more steps: not within 0 s"
