"""A process that loses another keeps what was done until then, says why it ends, and is continued exactly."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetui_core.runs import exit_codes
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView
from finetui_core.train import loop
from finetui_core.train.peers import LostPeer
from finetui_core.train.step import train_step
from training import curve, events, new_run, train_here, write_project

SAID = "rank 1 (pid 7) on host-b has died or cannot be reached"


Step = Callable[[Any, int], Any]


def undisturbed_and_cut_off(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: Step
) -> tuple[RunPaths, RunPaths]:
    """A run that ended, and one with these steps in their place, which lost another process."""
    recipe = write_project(folder)
    settings = ("save.steps=100", "train.max_steps=7", "eval.steps=3", "eval.meters=false")
    undisturbed, disturbed = new_run(recipe, *settings), new_run(recipe, *settings)
    assert train_here(undisturbed) == 0
    with monkeypatch.context() as patched:
        patched.setattr(loop, "train_step", step)
        assert train_here(disturbed) == exit_codes.LOST_PEER
    return undisturbed, disturbed


def last_kept(run: RunPaths) -> tuple[int, str]:
    last = events(run, "checkpoint")[-1]
    return last["step"], last["reason"]


def test_the_last_whole_step_is_kept_and_continued_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost_in_step_5(session: Any, step: int) -> Any:
        if step == 5:
            raise LostPeer(SAID)
        return train_step(session, step)

    undisturbed, disturbed = undisturbed_and_cut_off(tmp_path, monkeypatch, lost_in_step_5)
    (error,) = events(disturbed, "error")
    assert (error["kind"], error["problems"][0]["what"]) == ("lost_peer", SAID)
    assert last_kept(disturbed) == (4, "lost_peer")

    assert train_here(disturbed, 2) == 0
    assert curve(disturbed) == curve(undisturbed)
    view = RunView(disturbed)
    view.refresh()
    assert [event["step"] for event in view.events if event["type"] == "resumed"] == [4]


def test_one_lost_after_the_weights_have_changed_does_not_undo_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The changed weights are judged together; that message may be the one that fails."""

    def fails(_: Any) -> Any:
        raise LostPeer(SAID)

    def lost_after_step_5(session: Any, step: int) -> Any:
        if step > 5:
            raise LostPeer(SAID)
        own = replace(session.processes, add=fails) if step == 5 else session.processes
        return train_step(replace(session, processes=own), step)

    undisturbed, disturbed = undisturbed_and_cut_off(tmp_path, monkeypatch, lost_after_step_5)
    assert last_kept(disturbed) == (5, "lost_peer")

    assert train_here(disturbed, 2) == 0
    assert curve(disturbed) == curve(undisturbed)
