"""The closed formula: more of anything never takes less, and it needs no torch."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from finetui_core.preflight.figures import Memory, RowLengths, Workload
from finetui_core.preflight.formula import estimate
from finetui_core.preflight.shape import model_shape
from finetui_core.preflight.workload import evaluation_tokens, workload
from finetui_core.recipe.facts import Facts
from finetui_core.recipe.options import (
    DataOptions,
    EvalOptions,
    LoraOptions,
    ModelOptions,
    Recipe,
    TrainOptions,
)

GIB = 2**30
MODELS = [
    "meta-llama/Llama-2-7b-hf",
    "mistralai/Mistral-7B-v0.1",
    "Qwen/Qwen2.5-0.5B",
    "google/gemma-2-2b",
    "gpt2",
    "EleutherAI/pythia-160m",
    "mistralai/Mixtral-8x7B-v0.1",
]
CHOICES: dict[str, Any] = {
    "name": st.sampled_from(MODELS),
    "method": st.sampled_from(["lora", "qlora", "full"]),
    "batch": st.integers(1, 64),
    "length": st.integers(8, 1024),
    "rank": st.integers(1, 256),
    "checkpointing": st.booleans(),
    "packing": st.booleans(),
    "accumulation": st.integers(1, 8),
    "device": st.sampled_from(["cuda", "cpu"]),
    "dtype": st.sampled_from(["auto", "float32", "bfloat16"]),
    "dora": st.booleans(),
}


def memory_of(choice: dict[str, Any], lengths: RowLengths | None = None, rows: int | None = 5000) -> Memory:
    shape = model_shape(choice["name"])
    assert shape is not None
    recipe = Recipe(
        model=ModelOptions(name=choice["name"], dtype=choice.get("dtype", "auto")),
        data=DataOptions(train="there", max_length=choice["length"], packing=choice.get("packing", True)),
        train=TrainOptions(
            method=choice["method"],
            per_device_train_batch_size=choice["batch"],
            gradient_accumulation_steps=choice.get("accumulation", 1),
            gradient_checkpointing=choice.get("checkpointing", False),
        ),
        lora=LoraOptions(r=choice.get("rank", 16), use_dora=choice.get("dora", False)),
    )
    return estimate(workload(recipe, Facts(rows=rows), shape, choice.get("device", "cuda"), lengths))


@settings(deadline=None)
@given(choice=st.fixed_dictionaries(CHOICES))
def test_no_figure_is_negative_and_each_phase_holds_the_weights(choice: dict[str, Any]) -> None:
    memory = memory_of(choice)
    for phase, kinds in memory.peaks.items():
        assert all(size >= 0 for size in kinds.values())
        if phase != "merge":
            assert kinds["weights"] == memory.peaks["load"]["weights"]
            assert sum(kinds.values()) >= sum(memory.peaks["load"].values())


@settings(deadline=None)
@given(choice=st.fixed_dictionaries(CHOICES), grown=st.sampled_from(["batch", "length", "rank"]))
def test_more_of_anything_never_takes_less(choice: dict[str, Any], grown: str) -> None:
    more = {**choice, grown: choice[grown] * 2}
    before, after = memory_of(choice), memory_of(more)
    for phase in before.peaks:
        assert sum(after.peaks[phase].values()) >= sum(before.peaks[phase].values()), phase


@settings(deadline=None)
@given(
    choice=st.fixed_dictionaries({**CHOICES, "length": st.integers(64, 1024)}),
    longest=st.integers(8, 64),
    share=st.floats(0, 1),
    val_rows=st.integers(0, 100),
)
def test_rows_that_are_known_take_no_more_than_the_longest_allowed(
    choice: dict[str, Any], longest: int, share: float, val_rows: int
) -> None:
    lengths = RowLengths(5000, longest / 2, longest, share, True, val_rows)
    known, guessed = memory_of(choice, lengths), memory_of(choice)
    for phase in known.peaks:
        assert sum(known.peaks[phase].values()) <= sum(guessed.peaks[phase].values())


@pytest.mark.parametrize(
    ("name", "method", "checkpointing", "gib"),
    [  # what the trace says for 4 x 2048 on CUDA
        ("meta-llama/Llama-2-7b-hf", "lora", False, 53.23),
        ("meta-llama/Llama-2-7b-hf", "lora", True, 16.75),
        ("mistralai/Mistral-7B-v0.1", "lora", False, 60.69),
        ("mistralai/Mistral-7B-v0.1", "lora", True, 17.84),
    ],
)
def test_large_models_are_near_their_traces(name: str, method: str, checkpointing: bool, gib: float) -> None:
    choice = {"name": name, "method": method, "checkpointing": checkpointing, "batch": 4, "length": 2048}
    phase, size = memory_of(choice).highest
    assert phase == "train"
    assert size / GIB == pytest.approx(gib, rel=0.05)


def test_few_rows_are_taken_for_granted_where_their_number_is_unknown() -> None:
    choice = {"name": "gpt2", "method": "lora", "batch": 4, "length": 512}
    unknown, many = memory_of(choice, rows=None), memory_of(choice, rows=5000)
    assert unknown.highest[1] > many.highest[1]  # few rows get dropout, which keeps masks


def test_an_evaluation_packs_more_rows_than_a_step() -> None:
    shape = model_shape("gpt2")
    assert shape is not None
    recipe = Recipe(
        model=ModelOptions(name="gpt2"),
        data=DataOptions(train="there", max_length=1024),
        train=TrainOptions(per_device_train_batch_size=4),
    )
    work = workload(recipe, Facts(), shape, "cuda", RowLengths(1000, 50, 100, 0.5, True, 50))
    assert work.tokens_per_pass == 400
    assert evaluation_tokens(work) == 4096
    assert evaluation_tokens(replace(work, device_kind="cpu")) == 2048
    few = workload(recipe, Facts(), shape, "cpu", RowLengths(1000, 50, 100, 0.5, True, 3))
    assert evaluation_tokens(few) == 300


@pytest.mark.parametrize(("packing", "tokens"), [(True, 1024), (False, 100)])
def test_the_rows_of_an_evaluations_pass_move_its_memory_alone(packing: bool, tokens: int) -> None:
    shape, lengths = model_shape("gpt2"), RowLengths(1000, 50, 100, 0.5, True, 500)
    assert shape is not None

    def planned(rows: int) -> Workload:
        recipe = Recipe(
            model=ModelOptions(name="gpt2"),
            data=DataOptions(train="there", max_length=1024, packing=packing),
            train=TrainOptions(per_device_train_batch_size=4),
            eval=EvalOptions(per_device_eval_batch_size=rows),
        )
        return workload(recipe, Facts(), shape, "cuda", lengths)

    assert [evaluation_tokens(planned(rows)) for rows in (0, 4, 1, 64)] == [
        4 * tokens,
        4 * tokens,
        tokens,
        min(64 * tokens, 500 * 100),
    ]
    usual, few, many = (estimate(planned(rows)).peaks for rows in (0, 1, 64))
    assert sum(few["evaluate"].values()) < sum(usual["evaluate"].values()) < sum(many["evaluate"].values())
    assert few["train"] == usual["train"] == many["train"]


def test_the_formula_is_fast_and_imports_no_torch() -> None:
    code = """
import sys, time
from finetui_core.preflight.formula import estimate
from finetui_core.preflight.shape import model_shape
from finetui_core.preflight.trace import trace
from finetui_core.preflight.workload import workload
from finetui_core.recipe.facts import Facts
from finetui_core.recipe.options import DataOptions, ModelOptions, Recipe
recipe = Recipe(model=ModelOptions(name="mistralai/Mistral-7B-v0.1"), data=DataOptions(train="there"))
def once():
    began = time.perf_counter()
    estimate(workload(recipe, Facts(), model_shape(recipe.model.name), "cuda"))
    return time.perf_counter() - began
once()
assert min(once() for _ in range(20)) < 0.01
print(sorted(name for name in ("torch", "transformers", "peft", "numpy") if name in sys.modules))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
