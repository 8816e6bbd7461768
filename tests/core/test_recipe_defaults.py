"""What an option that was left out becomes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.recipe.defaults import (
    default_epochs,
    default_learning_rate,
    default_lora_dropout,
    default_max_length,
    explain,
    fill_defaults,
    warmup_step_count,
)
from finetui_core.recipe.options import DataOptions, Method, ModelOptions, Recipe, TrainOptions

RECIPE = Recipe(model=ModelOptions(name="a/b"), data=DataOptions(train="c"))
MAY_STAY_NONE = {
    ("model", "revision"),
    ("launch", "rdzv_endpoint"),
    ("cost", "gpu_hour_price"),
    ("model", "chat_template"),
    ("data", "val"),
    ("data", "replay_text"),
    ("eval", "forgetting_probe"),
}


@pytest.mark.parametrize(
    ("method", "hidden_size", "model_type", "parameters", "rate"),
    [
        ("lora", 2048, "llama", None, 4.9e-4),  # the cookbook's own figures for Llama 1B, 3B, 8B and 70B
        ("lora", 3072, "llama", None, 3.6e-4),
        ("qlora", 4096, "llama", None, 2.9e-4),
        ("lora", 8192, "llama", None, 1.7e-4),
        ("lora", 4096, "qwen3", None, 4.7e-4),
        ("full", 4096, "llama", None, 2.9e-5),
        ("lora", 64, "llama", None, 1e-3),
        ("full", 64, "llama", None, 1e-4),
        ("lora", 768, "gpt2", None, 2e-4),
        ("full", 768, "gpt2", None, 2e-5),
        ("full", 5120, "mistral", 14_000_000_000, 1e-5),
        ("lora", None, "llama", None, 2e-4),
    ],
)
def test_learning_rate(
    method: Method, hidden_size: int | None, model_type: str, parameters: int | None, rate: float
) -> None:
    assert default_learning_rate(method, hidden_size, model_type, parameters) == rate


@pytest.mark.parametrize(("rows", "epochs", "dropout"), [(999, 3, 0.05), (1000, 2, 0.0), (10_000, 1, 0.0)])
def test_epochs_and_dropout_follow_the_rows(rows: int, epochs: int, dropout: float) -> None:
    assert (default_epochs(rows), default_lora_dropout(rows)) == (epochs, dropout)


@pytest.mark.parametrize(("context", "length"), [(512, 512), (131_072, 2048), (None, 2048)])
def test_max_length_is_the_context_within_a_limit(context: int | None, length: int) -> None:
    assert default_max_length(context) == length


@pytest.mark.parametrize(
    ("warmup", "total", "steps"),
    [(0, 100, 0), (0.05, 100, 5), (0.05, 101, 6), (1, 100, 1), (30, 20, 20), (0.5, 1, 1)],
)
def test_warmup_is_a_share_or_a_count(warmup: float, total: int, steps: int) -> None:
    assert warmup_step_count(warmup, total) == steps


@given(st.floats(0, 1e6), st.integers(1, 10**6))
def test_warmup_never_exceeds_the_run(warmup: float, total: int) -> None:
    assert 0 <= warmup_step_count(warmup, total) <= total


def filled(recipe: Recipe) -> Recipe:
    return fill_defaults(
        recipe, train_rows=500, hidden_size=2048, model_type="llama", parameters=None, context_length=1024
    )


def test_nothing_is_left_open_but_what_need_not_exist() -> None:
    after = filled(RECIPE).model_dump()
    open_options = {(table, name) for table in after for name, value in after[table].items() if value is None}
    assert open_options == MAY_STAY_NONE


def test_a_given_value_is_never_replaced() -> None:
    given_values = RECIPE.model_copy(update={"train": TrainOptions(learning_rate=1e-5, weight_decay=0.3)})
    assert filled(given_values).train.learning_rate == 1e-5
    assert filled(given_values).train.weight_decay == 0.3
    assert filled(filled(RECIPE)) == filled(RECIPE)


def test_each_decision_is_explained_with_its_source() -> None:
    explained = {line["option"]: line for line in explain(RECIPE, filled(RECIPE))}
    assert {name: line["value"] for name, line in explained.items()} == {
        "data.max_length": 1024,
        "train.learning_rate": 4.9e-4,
        "train.num_train_epochs": 3,
        "train.weight_decay": 0.0,
        "lora.lora_dropout": 0.05,
    }
    assert all(line["why"] and line["source"] for line in explained.values())
