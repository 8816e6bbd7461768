"""A trainer whose supervisor is gone still answers to a stop, or is ended."""

import signal
from pathlib import Path

import pytest

from dying_trainers import DEAF, Way, begin, eventually
from finetui_core.cli import ctl
from finetui_core.cli.main import main
from finetui_core.runs.lock import is_locked
from finetui_core.runs.process import start_ticks
from finetui_core.runs.restarts import Rules


def test_an_abort_that_nobody_answers_ends_it_by_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ctl, "Rules", lambda: Rules(abort_within=0.1))
    trial = begin(tmp_path, Way("killed", DEAF))
    try:
        attempt = trial.at_work()
        trial.supervisor.send_signal(signal.SIGKILL)
        trial.supervisor.wait()
        assert "supervisor gone" in trial.view().state.reason
        assert main(["ctl", str(trial.paths.root), "abort"]) == 1
        said = capsys.readouterr().err
        assert "its supervisor is gone, so it is ended by force" in said
        assert "the run ended before it did this (died:" in said
        assert start_ticks(attempt.pid) is None
    finally:
        trial.end()


def test_what_died_with_its_supervisor_is_cleared_away_by_the_next_attempt(tmp_path: Path) -> None:
    """Its children hold memory of the GPU that the next attempt needs."""
    first = begin(tmp_path, Way("killed", DEAF), children=True)
    try:
        first.at_work()
        first.supervisor.send_signal(signal.SIGKILL)
        first.supervisor.wait()
        first.signal_trainer(signal.SIGKILL)
        eventually(lambda: not is_locked(first.paths))
        in_group, in_session, daemon = first.children()
        assert start_ticks(in_group) and start_ticks(in_session)
        second = begin(tmp_path, Way("crashed", "raise RuntimeError"), paths=first.paths)
        assert second.supervisor.wait(240) == 1
        assert start_ticks(in_group) is None and start_ticks(in_session) is None
        (first.paths.root / "children").write_text(str(daemon))  # without the mark it stays, as docs say
    finally:
        first.end()
