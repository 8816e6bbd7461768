"""A run outlives what happens to its interfaces; tests/proofs/survival.py is the long form."""

from pathlib import Path

from survival_trials import Place, limit_files, survive
from training import write_project


def test_a_run_outlives_attacks_on_its_interfaces(tmp_path: Path) -> None:
    """The terminal of `ftui train` is closed, a tmux with a viewer killed, the disk full, a viewer stopped."""
    place = Place(write_project(tmp_path).parent, 100, limit_files)
    trials = survive(place, count=4, seed=3)
    assert len(trials) >= 4
    assert [trial for trial in trials if trial.fault] == []
