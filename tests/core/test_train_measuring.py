"""What a run measures at its evaluations, what it costs the training (nothing), and what a resumed run remembers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_train_resume import die_and_resume, final_weights

from finetui_core.runs.evaluations import kept_evaluations, measured_in
from finetui_core.runs.paths import RunPaths
from finetui_core.train import budget
from finetui_core.train.evaluation import Documents, probe_text
from finetui_core.train.forgetting import base_of, drift, expected
from finetui_core.train.forward import Layout
from tiny_models import save_model
from training import KillAt, Killed, curve, events, new_run, train_here, write_project

ROOT = Path(__file__).parents[2]
METERS = ("probe_loss", "probe_rise", "probe_kl", "own_text_loss", "own_text_rise", "own_text_kl")
OTHERS = ("overlap_train", "overlap_val", "task_metric", "task_score", "task_rows")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("project"), "llama")


def project(folder: Path, architecture: str) -> Path:
    recipe = write_project(folder, architecture=architecture)
    (folder / "probe.txt").write_text("General text that has nothing to do with orders.\n" * 20)
    written = recipe.read_text().replace("[eval]\n", '[eval]\nforgetting_probe = "probe.txt"\n')
    recipe.write_text(written)
    return recipe


@pytest.fixture
def time_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "SHARE", 1e9)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "mistral"])
def test_an_untouched_adapter_reads_exactly_nothing(tmp_path: Path, architecture: str) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(save_model(tmp_path, architecture))
    model = get_peft_model(
        base,
        LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", fan_in_fan_out=architecture == "gpt2"),
    )
    trained = [name for name, value in model.named_parameters() if value.requires_grad]
    generator = np.random.default_rng(1)
    documents = Documents([generator.integers(0, 290, length) for length in (40, 7, 2, 90)])
    layout, cpu = Layout(True, True, 2, 100), torch.device("cpu")
    with base_of(model):
        before, itself = expected(model, documents, layout, cpu)
    found = drift(model, documents, before, layout, cpu)
    assert found.divergence.tolist() == [0.0] * 4
    assert found.losses.sums.tolist() == itself.losses.sums.tolist()
    assert [name for name, value in model.named_parameters() if value.requires_grad] == trained
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name in trained:
                value.add_(0.1)
    assert (drift(model, documents, before, layout, cpu).divergence > 0).all()


def test_where_there_is_no_time_the_ends_are_measured_and_what_the_recipe_names(
    recipe: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(budget, "SHARE", 0.0)
    paths = new_run(recipe, "eval.steps=2")
    assert train_here(paths) == 0
    first, *between, last = events(paths, "evaluation")
    assert [first[name] for name in ("probe_rise", "probe_kl", "own_text_rise", "own_text_kl")] == [0.0] * 4
    assert last["probe_kl"] > 1e-4 and last["own_text_kl"] > 1e-4
    assert last["probe_rise"] == pytest.approx(last["probe_loss"] - first["probe_loss"])
    named = {name for name in METERS if name.startswith("probe")}
    assert between and all(set(event) & {*METERS, *OTHERS} == named for event in between)


def test_all_is_measured_where_there_is_time(recipe: Path, time_for_all: None) -> None:
    paths = new_run(recipe, "eval.sample_max_new_tokens=32")
    assert train_here(paths) == 0
    evaluations = events(paths, "evaluation")
    assert all(set(METERS) <= set(event) for event in evaluations)
    assert all(set(OTHERS) <= set(event) for event in evaluations[1:])
    assert evaluations[-1]["task_metric"] in ("exact_match", "token_f1", "rouge_l")
    assert 0 <= evaluations[-1]["overlap_train"] <= 1
    kept = [measured_in(one) for one in kept_evaluations(paths, 10**9)]
    assert [one.step for one in kept] == [event["step"] for event in evaluations]
    for one, event in zip(kept, evaluations, strict=True):
        assert one.val is not None and one.own_text is not None and one.probe_kl is not None
        assert one.val.mean == pytest.approx(event["eval_loss"], rel=1e-6)
        assert one.own_text.mean == event["own_text_loss"]
        assert one.probe_kl.mean() == event["probe_kl"]
        assert len(one.own_text.sums) >= 24


@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_is_measured_changes_nothing_that_is_trained(
    recipe: Path, method: str, time_for_all: None
) -> None:
    measured = new_run(recipe, f"train.method={method}")
    bare = new_run(recipe, f"train.method={method}", "eval.meters=false", "eval.samples=0")
    assert train_here(measured) == 0
    assert train_here(bare) == 0
    assert curve(measured) == curve(bare)
    assert final_weights(measured) == final_weights(bare)
    assert not set(OTHERS) & set(events(bare, "evaluation")[-1])
    assert events(bare, "evaluation")[-1]["probe_loss"] == events(measured, "evaluation")[-1]["probe_loss"]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_resumed_run_measures_and_judges_as_an_undisturbed_one(
    recipe: Path, method: str, time_for_all: None
) -> None:
    options = (f"train.method={method}", "train.learning_rate=0.8", "eval.steps=2", "eval.samples=0")
    undisturbed, disturbed = new_run(recipe, *options), new_run(recipe, *options)
    assert train_here(undisturbed) == 0
    die_and_resume(disturbed, ("metric", 5), ("evaluation", 1))
    assert remembered(disturbed) == remembered(undisturbed)
    raised = alarms(undisturbed)
    assert "forgetting" in {kind for kind, *_ in raised}
    assert alarms(disturbed) == raised


def remembered(paths: RunPaths) -> list[dict[str, Any]]:
    found = []
    for file in sorted(paths.evaluations.glob("step-*.json")):
        one = json.loads(file.read_bytes())
        del one["seconds"]
        found.append(one)
    return found


def alarms(paths: RunPaths) -> set[tuple[Any, ...]]:
    """Those that stand in the run; an attempt that died may have raised one that a later one raised again."""
    return {
        (event["kind"], event["severity"], event["step"], event["message"])
        for event in events(paths, "alarm")
    }


def test_a_meter_that_fails_is_switched_off_and_the_run_goes_on(recipe: Path, monkeypatch: Any) -> None:
    from finetui_core.train import measuring

    def refuses(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("this model cannot write")

    monkeypatch.setattr(measuring, "written_by", refuses)
    paths = new_run(recipe)
    assert train_here(paths) == 0
    (off,) = events(paths, "meter_off")
    assert (off["meter"], off["reason"]) == ("own_text", "this model cannot write")
    assert "own_text_loss" not in events(paths, "evaluation")[-1]
    assert events(paths, "evaluation")[-1]["probe_kl"] > 0


def test_the_divergence_is_nearly_that_over_the_whole_vocabulary() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = ROOT / "sample_data/tiny-llama"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    documents = probe_text(ROOT / "sample_data/general.txt", AutoTokenizer.from_pretrained(folder), 512)
    assert len(documents) == 24
    cpu, packed, padded = torch.device("cpu"), Layout(True, True, 8, 400), Layout(False, False, 5, 400)
    base, itself = expected(model, documents, packed, cpu)
    untouched = drift(model, documents, base, packed, cpu)
    assert untouched.divergence.tolist() == [0.0] * 24
    assert untouched.losses.sums.tolist() == itself.losses.sums.tolist()
    before = log_probabilities(model, documents.pieces)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + 0.1 * torch.randn(parameter.shape, generator=generator))
    after = log_probabilities(model, documents.pieces)
    for layout in (packed, padded):
        found = drift(model, documents, base, layout, cpu)
        for at, piece in enumerate(documents.pieces):
            whole = float((before[at].exp() * (before[at] - after[at])).sum(-1).mean())
            assert 0.6 * whole < found.divergence[at] <= whole * (1 + 1e-4)
            nats = -float(after[at].gather(1, torch.from_numpy(piece[1:])[:, None]).sum())
            assert found.losses.sums[at] == pytest.approx(nats, rel=1e-4)


@torch.no_grad()
def log_probabilities(model: Any, pieces: Any) -> list[torch.Tensor]:
    return [model(torch.from_numpy(piece)[None]).logits[0, :-1].log_softmax(-1) for piece in pieces]


def test_a_run_that_was_killed_in_an_evaluation_keeps_no_half_of_it(recipe: Path, time_for_all: None) -> None:
    paths = new_run(recipe)
    with pytest.raises(Killed):
        train_here(paths, 1, lambda output: KillAt(output, "evaluation", 1))
    (paths.evaluation(0)).write_bytes(b'{"step": 0, "epoch": 0.0, "val": {"su')
    assert kept_evaluations(paths, 10) == []
    assert train_here(paths, 2) == 0
    assert [one.step for one in kept_evaluations(paths, 10**9)] == [0, 4, 8]


def test_a_run_made_to_recite_says_so(tmp_path: Path, time_for_all: None) -> None:
    recipe = write_project(tmp_path, dropout=0.0)
    generator = np.random.default_rng(0)
    words = ("red", "cup", "sea", "ten", "fog", "ivy", "oak", "pen")
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"{at}?"},
                {"role": "assistant", "content": " ".join(generator.choice(words, 16))},
            ]
        }
        for at in range(16)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("method=full", "learning_rate=0.01", "lr_scheduler_type=constant", "num_train_epochs=120")
    paths = new_run(
        recipe,
        f"data.train={tmp_path}/rows.jsonl",
        "data.val_fraction=0.5",
        *(f"train.{one}" for one in options),
        "eval.steps=1000",
        "save.steps=1000",
        "eval.samples=0",
    )
    assert train_here(paths) == 0
    last = events(paths, "evaluation")[-1]
    assert last["overlap_train"] > 0.6 and last["overlap_val"] < 0.3
    raised = [event for event in events(paths, "alarm") if event["kind"] == "memorisation"]
    assert raised and raised[-1]["severity"] == "act" and "recite" in raised[-1]["message"]
