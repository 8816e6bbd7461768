"""What is said beside an option's value, by method, rows and model; and that nothing is said without a source."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetui_core.recipe.advice import advise
from finetui_core.recipe.facts import Facts, look
from finetui_core.recipe.options import Recipe

ADAPTER_OPTIONS = {"lora.r", "lora.lora_alpha", "lora.lora_dropout", "lora.target_modules"}


def recipe(**tables: dict[str, Any]) -> Recipe:
    return Recipe.model_validate({"model": {"name": "o/m"}, "data": {"train": "hub:o/d"}, **tables})


MIXTRAL = Facts("mixtral", 4096, 4096, 500)
LLAMA = Facts("llama", 4096, 4096, 5000)
HEEDED = {
    "nothing to say": ({}, LLAMA, set()),
    "a full rate on adapters": ({"train": {"learning_rate": 2e-5}}, LLAMA, {"train.learning_rate"}),
    "a rate that diverges": ({"train": {"learning_rate": 3e-3}}, LLAMA, {"train.learning_rate"}),
    "a usual rate": ({"train": {"learning_rate": 2e-4}}, LLAMA, set()),
    "an adapter rate on all weights": (
        {"train": {"learning_rate": 2e-4, "method": "full"}}, LLAMA, {"train.learning_rate"},
    ),
    "the guides' rate": ({"train": {"learning_rate": 5e-5, "method": "full"}}, LLAMA, set()),
    "a large batch": (
        {"train": {"gradient_accumulation_steps": 8}}, LLAMA, {"train.per_device_train_batch_size"},
    ),
    "a large batch of full training": (
        {"train": {"gradient_accumulation_steps": 8, "method": "full"}}, LLAMA, set(),
    ),
    "few rows": ({}, Facts(rows=200), {"train.per_device_train_batch_size"}),
    "few rows, and a number of steps": ({"train": {"max_steps": 60}}, Facts(rows=200), set()),
    "many passes": ({"train": {"num_train_epochs": 5}}, LLAMA, {"train.num_train_epochs"}),
    "many passes over few rows": ({"train": {"num_train_epochs": 5}}, Facts(rows=800), set()),
    "attention alone": ({"lora": {"target_modules": ["q_proj", "v_proj"]}}, LLAMA, {"lora.target_modules"}),
    "attention and more": ({"lora": {"target_modules": ["q_proj", "up_proj"]}}, LLAMA, set()),
    "a tall rank": ({"lora": {"r": 256}}, LLAMA, {"lora.r"}),
    "much dropout": ({"lora": {"lora_dropout": 0.3}}, LLAMA, {"lora.lora_dropout"}),
    "dropout on experts": ({"lora": {"lora_dropout": 0.05}}, MIXTRAL, {"lora.lora_dropout"}),
    "no dropout on experts": ({}, MIXTRAL, set()),
    "no warmup": ({"train": {"warmup_steps": 0.0}}, LLAMA, {"train.warmup_steps"}),
    "longer than the model reads": ({"data": {"train": "hub:o/d", "max_length": 8192}}, LLAMA, {"data.max_length"}),
    "adapters' options in full training": ({"train": {"method": "full"}, "lora": {"r": 999}}, LLAMA, set()),
}  # fmt: skip


@pytest.mark.parametrize(("tables", "facts", "heeded"), HEEDED.values(), ids=HEEDED)
def test_a_value_outside_what_a_source_advises_is_marked(
    tables: dict[str, Any], facts: Facts, heeded: set[str]
) -> None:
    advice = advise(recipe(**tables), facts)
    assert {one.option for one in advice if one.heed} == heeded
    assert all(one.says and one.source for one in advice)


def test_what_is_said_follows_the_model_the_method_and_the_rows() -> None:
    said = {one.option: one.says for one in advise(recipe(), LLAMA)}
    assert "near 0.00029 for this model" in said["train.learning_rate"]
    assert "gate_proj" in said["lora.target_modules"]
    assert "2 for these 5,000 rows" in said["train.num_train_epochs"]
    assert "this model reads 4,096 tokens" in said["data.max_length"]
    full = {one.option: one.says for one in advise(recipe(train={"method": "full"}), Facts())}
    assert "1e-5 to 5e-5" in full["train.learning_rate"]
    assert not ADAPTER_OPTIONS & set(full)
    assert set(said) == set(full) | ADAPTER_OPTIONS


def test_what_is_known_is_read_from_small_files(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n\n" * 100)
    data = {"train": str(rows), "val_fraction": 0.1}
    config = {"model_type": "gemma3", "text_config": {"hidden_size": 640, "max_position_embeddings": 32768}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert look(recipe(model={"name": str(tmp_path)}, data=data)) == Facts("gemma3", 640, 32768, 90)
    for broken in ("[1]", "{", '{"hidden_size": "x", "model_type": 3}', "[" * 100_000):
        (tmp_path / "config.json").write_text(broken)
        assert look(recipe(model={"name": str(tmp_path)}, data=data)).hidden_size is None
    assert look(recipe()) == Facts()
