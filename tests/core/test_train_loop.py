"""What a whole run does: golden losses, evaluation, keep-best, early stopping, failure of a disk or of the loss."""

import json
import resource
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from finetui_core.runs import exit_codes
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView, read_records
from finetui_core.train import loop
from finetui_core.train.saves import Saves
from training import events, new_run, train_here, write_project

GOLDEN = json.loads(Path(__file__).with_name("golden_losses.json").read_text())


@pytest.fixture(scope="module", params=["llama", "gpt2", "mistral"])
def any_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp(request.param), architecture=request.param, dropout=0.0)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("llama"), dropout=0.0)


def losses(paths: RunPaths) -> list[float]:
    view = RunView(paths)
    view.refresh()
    return [step["loss"] for step in view.steps]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_losses_are_the_golden_ones(any_model: Path, method: str) -> None:
    paths = new_run(any_model, f"train.method={method}", "lora.lora_dropout=0")
    assert train_here(paths) == 0
    name = f"{json.loads((any_model.parent / 'model/config.json').read_text())['model_type']}-{method}"
    assert losses(paths) == pytest.approx(GOLDEN[name], rel=1e-4)


def test_a_mixture_trains_without_the_dropout_that_its_experts_cannot_have(tmp_path: Path) -> None:
    recipe = write_project(tmp_path, architecture="mixtral", dropout=0.0)
    recipe.write_text(recipe.read_text().replace("lora_dropout = 0.1\n", ""))
    paths = new_run(recipe, "train.max_steps=3")
    assert train_here(paths) == 0
    assert json.loads(paths.resolved_recipe.read_text())["lora"]["lora_dropout"] == 0.0
    (ready,) = events(paths, "ready")
    assert {"experts", "q_proj"} <= set(ready["matched_modules"])
    refused = new_run(recipe, "lora.lora_dropout=0.05", "lora.use_dora=true")
    assert train_here(refused) == 2
    (error,) = events(refused, "error")
    assert error["kind"] == "input" and len(error["problems"]) == 2
    attention = 'lora.target_modules=["q_proj"]'
    assert train_here(new_run(recipe, "train.max_steps=1", "lora.lora_dropout=0.05", attention)) == 0


def test_losses_do_not_depend_on_how_a_batch_is_cut(recipe: Path) -> None:
    whole = new_run(recipe, "lora.lora_dropout=0")
    cut = new_run(
        recipe,
        "lora.lora_dropout=0",
        "train.per_device_train_batch_size=2",
        "train.gradient_accumulation_steps=4",
    )
    padded = new_run(recipe, "lora.lora_dropout=0", "data.packing=false")
    checkpointed = new_run(recipe, "lora.lora_dropout=0", "train.gradient_checkpointing=true")
    for paths in (whole, cut, padded, checkpointed):
        assert train_here(paths) == 0
        assert losses(paths) == pytest.approx(losses(whole), rel=1e-5)


def test_a_run_trains_the_same_whether_or_not_it_is_evaluated_first(recipe: Path) -> None:
    evaluated, trained = [], []
    for on_start in ("true", "false"):
        paths = new_run(recipe, f"eval.on_start={on_start}", "train.max_steps=2", "eval.steps=1")
        assert train_here(paths) == 0
        evaluated.append([(event["step"], event["eval_loss"]) for event in events(paths, "evaluation")])
        trained.append(losses(paths))
    assert evaluated[0][0][0] == 0 and evaluated[0][1:] == evaluated[1] and len(evaluated[1]) == 2
    assert trained[0] == trained[1]


def test_early_stopping_and_keep_best(recipe: Path) -> None:
    paths = new_run(
        recipe,
        "train.learning_rate=0.5",
        "train.num_train_epochs=20",
        "eval.steps=1",
        "eval.early_stopping_patience=3",
        "save.steps=1",
        "save.total_limit=2",
    )
    assert train_here(paths) == 0
    (finished,) = events(paths, "finished")
    assert finished["reason"] == "early_stopping"
    evaluations = [event for event in events(paths, "evaluation") if event["step"] > 0]
    best = min(evaluations, key=lambda event: event["eval_loss"])
    assert finished["step"] == best["step"] + 3
    kept = sorted(path.name for path in paths.checkpoints.iterdir())
    assert kept == sorted({f"step-{best['step']:06d}", f"step-{finished['step']:06d}"})
    assert paths.best.read_text().strip() == f"step-{best['step']:06d}"


def test_samples_are_written_at_each_evaluation(recipe: Path) -> None:
    paths = new_run(recipe, "eval.samples=2")
    assert train_here(paths) == 0
    (before, *_, after) = [read_records(paths.root / event["path"]) for event in events(paths, "samples")]
    assert len(before) == len(after) == 2
    assert before[0]["prompt"] == after[0]["prompt"]
    assert before[0]["reference"].endswith("!")


def test_a_loss_that_is_not_a_number_ends_the_run_in_its_step(recipe: Path, monkeypatch: Any) -> None:
    from finetui_core.train import step

    real = step.summed_loss
    calls = iter(range(1_000))
    monkeypatch.setattr(
        step, "summed_loss", lambda *a, **k: real(*a, **k) * (float("nan") if next(calls) >= 3 else 1.0)
    )
    paths = new_run(recipe)
    assert train_here(paths) == exit_codes.DIVERGED
    (alarm,) = events(paths, "alarm")
    assert alarm["kind"] == "nonfinite"
    view = RunView(paths)
    view.refresh()
    assert view.steps[-1]["loss"] is None
    assert view.steps[-1]["nonfinite"]["loss"] == "nan"
    assert view.steps[-1]["step"] == alarm["step"]
    for path in paths.checkpoints.iterdir():
        from safetensors.torch import load_file

        assert all(
            torch.isfinite(value).all() for value in load_file(path / "adapter_model.safetensors").values()
        )


def test_weights_that_the_disk_refuses_cost_no_step(recipe: Path, monkeypatch: Any) -> None:
    """A limit that the system itself sets; it stays, so that the end of the run waits for it in vain."""
    now = [0.0]
    monkeypatch.setattr(
        loop,
        "Saves",
        partial(Saves, clock=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds)),
    )
    paths = new_run(recipe, "train.method=full", "train.max_steps=2")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (60_000, before[1])
    )  # less than the weights, more than the rest
    try:
        assert train_here(paths) == exit_codes.UNSAVED
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(losses(paths)) == 2
    assert "File too large" in events(paths, "checkpoint_failed")[0]["error"]
    (finished,) = events(paths, "finished")
    assert finished["reason"] == "unsaved" and finished["note"] == "there is no sound checkpoint yet"
    assert list(paths.checkpoints.iterdir()) == []
