"""A trainer whose supervisor is gone still answers to a stop, or is ended."""

import signal
from pathlib import Path

import pytest

from dying_trainers import DEAF, Way, begin
from finetui_core.cli import ctl
from finetui_core.cli.main import main
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
