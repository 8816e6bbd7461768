"""A run that is stopped or killed at the awkward places goes on bitwise as if it had not been."""

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from finetui_core.runs.checkpoints import newest_valid, published
from finetui_core.runs.paths import RunPaths
from training import KillAt, Killed, curve, events, new_run, train_here, write_project

STEPS_OF_AN_EPOCH = 4


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("project"))


def weights_of(folder: Path) -> dict[str, bytes]:
    """Adapter, moments, counters and all else of a checkpoint but its manifest, which names the run."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}


def last_weights(paths: RunPaths) -> dict[str, bytes]:
    return weights_of(published(paths.checkpoints)[0])


@pytest.mark.parametrize("packing", ["true", "false"])
def test_a_stop_in_the_middle_of_an_accumulation_ends_the_step_first(
    recipe: Path, packing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step is the last of an epoch, so that the next attempt begins exactly at the epoch's end."""
    from finetui_core.train import loop, step

    options = (
        f"data.packing={packing}",
        "train.per_device_train_batch_size=2",
        "train.gradient_accumulation_steps=4",
        "save.steps=100",
        "eval.meters=false",
    )
    undisturbed, stopped = new_run(recipe, *options), new_run(recipe, *options)
    assert train_here(undisturbed) == 0

    real_step, real_loss, passes = loop.train_step, step.summed_loss, [0]

    def counted_step(session: Any, number: int) -> Any:
        passes[0] = 0
        return real_step(session, number)

    def counted_loss(*arguments: Any, **named: Any) -> Any:
        passes[0] += 1
        if passes[0] == 2 and len(steps_done(stopped)) == STEPS_OF_AN_EPOCH - 1:
            signal.raise_signal(signal.SIGTERM)
        return real_loss(*arguments, **named)

    monkeypatch.setattr(loop, "train_step", counted_step)
    monkeypatch.setattr(step, "summed_loss", counted_loss)
    assert train_here(stopped, 1) == 0
    (finished,) = events(stopped, "finished")
    assert (finished["reason"], finished["step"]) == ("stopped", STEPS_OF_AN_EPOCH)
    assert passes[0] >= 2, "the step had more passes to come"
    monkeypatch.undo()
    assert train_here(stopped, 2) == 0
    assert curve(stopped) == curve(undisturbed)
    assert [point[0] for point in curve(stopped)[:8]] == list(range(1, 9))
    assert last_weights(stopped) == last_weights(undisturbed)


def steps_done(paths: RunPaths) -> list[str]:
    return paths.metrics(1).read_text().splitlines() if paths.metrics(1).exists() else []


def test_one_checkpoint_kept_is_one_there_and_leftovers_of_another_run_are_none(recipe: Path) -> None:
    """Killed around its saves, with stale folders of higher steps beside them."""
    options = ("save.steps=1", "save.total_limit=1", "eval.steps=2", "eval.meters=false")
    undisturbed, disturbed, other = (new_run(recipe, *options) for _ in range(3))
    for paths in (undisturbed, other):
        assert train_here(paths) == 0
    shutil.copytree(published(other.checkpoints)[0], disturbed.checkpoints / "step-000008")
    shutil.copytree(published(other.checkpoints)[0], disturbed.checkpoints / "step-000900")
    (disturbed.checkpoints / "step-001000").mkdir()
    deaths = [("checkpoint", 1), ("phase:saving", 2), ("phase:saving", 1), ("checkpoint", 3)]
    for attempt, (kind, count) in enumerate(deaths, start=1):
        with pytest.raises(Killed):
            train_here(disturbed, attempt, lambda output, k=kind, n=count: KillAt(output, k, n))
        newest, _ = newest_valid(disturbed.checkpoints)
        assert newest is not None and newest.step in (1, 2, 5)
    assert train_here(disturbed, len(deaths) + 1) == 0
    assert curve(disturbed) == curve(undisturbed)
    newest, skipped = newest_valid(disturbed.checkpoints)
    assert newest is not None and newest.step == 8
    assert weights_of(newest.path) == last_weights(undisturbed)
    assert {one.path.name for one in skipped} == {"step-000900", "step-001000"}
    reasons = {event["path"]: event["reason"] for event in events(disturbed, "checkpoint_skipped")}
    assert "another run" in reasons["checkpoints/step-000008"]
    evaluations = [event for event in events(undisturbed, "evaluation") if event["step"]]
    best = f"step-{min(evaluations, key=lambda one: one['eval_loss'])['step']:06d}"
    assert disturbed.best.read_text() == undisturbed.best.read_text() == f"{best}\n"
    sound = {path.name for path in published(disturbed.checkpoints)} - {"step-000900", "step-001000"}
    assert sound == {best, "step-000008"}
    assert weights_of(disturbed.checkpoints / best) == weights_of(undisturbed.checkpoints / best)
