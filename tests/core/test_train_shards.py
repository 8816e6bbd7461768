"""Two processes that hold half of the weights each train as two that hold all, and so do their checkpoints."""

import hashlib
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from finetui_core.runs import exit_codes
from finetui_core.runs.checkpoints import newest_valid
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView
from forked_ranks import start_ranks, train_ranks
from training import events, new_run, train_here, write_project

SETTINGS = (
    "launch.nproc_per_node=2",
    "train.per_device_train_batch_size=3",
    "train.gradient_accumulation_steps=2",
    "train.max_steps=4",
    "train.max_grad_norm=0.05",
    "save.steps=2",
    "eval.steps=2",
    "eval.meters=false",
    "eval.samples=0",
    "launch.max_restarts=0",
)


def trained(recipe: Path, *overrides: str) -> RunPaths:
    """A run of two processes."""
    paths = new_run(recipe, *SETTINGS, *overrides)
    train_ranks(paths)
    return paths


def steps_of(paths: RunPaths) -> list[tuple[float, float]]:
    view = RunView(paths)
    view.refresh()
    return [(one["loss"], one["grad_norm"]) for one in view.steps]


def bytes_of(paths: RunPaths, step: int) -> dict[str, str]:
    folder = paths.checkpoint(step)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.safetensors")}


@pytest.mark.parametrize("method", ["lora", "full"])
def test_sharded_and_whole_weights_train_alike_and_go_on_from_each_other(tmp_path: Path, method: str) -> None:
    recipe = write_project(tmp_path, rows=24)
    # Sharded layers keep peft's own dropout, which draws other numbers than the fused one.
    choice = (f"train.method={method}", "train.learning_rate=0.001", "lora.lora_dropout=0")
    whole = trained(recipe, *choice)
    sharded = trained(recipe, *choice, "launch.sharding='full'")
    for ours, theirs in zip(steps_of(sharded), steps_of(whole), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
    assert (whole.checkpoint(4) / "optimizer.safetensors").exists()
    for name in bytes_of(whole, 4):
        ours, theirs = load_file(sharded.checkpoint(4) / name), load_file(whole.checkpoint(4) / name)
        assert {key: tuple(one.shape) for key, one in ours.items()} == {
            key: tuple(one.shape) for key, one in theirs.items()
        }
        for key, one in ours.items():
            assert one.float().sub(theirs[key].float()).abs().max() <= 1e-4, key
    assert "sharding" in events(sharded, "meter_off")[0]["reason"]

    # Continued with as many processes it is bitwise what it was, and by one that holds all it is nearly that.
    expected = bytes_of(sharded, 4)
    shutil.rmtree(sharded.checkpoint(4))
    train_ranks(sharded, 2)
    assert bytes_of(sharded, 4) == expected
    shutil.rmtree(sharded.checkpoint(4))
    assert train_here(sharded, 3, inexact=True) == 0
    assert events(sharded, "inexact")[0]["step"] == 2


def test_a_lost_process_is_named_and_leaves_the_newest_checkpoint(tmp_path: Path) -> None:
    """No process has all weights, so that nothing is saved on the way."""
    recipe = write_project(tmp_path, rows=24)
    longer = ("train.max_steps=5000", "save.steps=5", "launch.sharding='full'")
    paths = new_run(recipe, *SETTINGS, *longer)
    ranks, store = start_ranks(paths, 1)
    while not paths.checkpoint(5).exists():
        assert ranks[0].is_alive()
        ranks[0].join(0.05)
    ranks[1].kill()
    for rank in ranks:
        rank.join(120)
    del store
    assert ranks[0].exitcode == exit_codes.LOST_PEER
    assert f"rank 1 (pid {ranks[1].pid})" in paths.log(1).read_text()
    newest, passed_over = newest_valid(paths.checkpoints)
    assert newest is not None and newest.step % 5 == 0 and not passed_over
