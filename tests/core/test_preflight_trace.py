"""The memory trace: what its process answers, and that it agrees with what real tensors take."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import forks
from finetui_core.errors import InputError, RunFailed
from finetui_core.preflight import trace as tracing
from finetui_core.preflight.figures import Shape, Workload
from finetui_core.preflight.formula import estimate
from finetui_core.preflight.shape import model_shape, shape_of
from finetui_core.preflight.trace import trace, trace_recipe
from finetui_core.preflight.workload import workload
from finetui_core.recipe.facts import Facts, look
from finetui_core.recipe.options import DataOptions, LoraOptions, ModelOptions, Recipe, TrainOptions

SMALL = {
    "llama": {"intermediate_size": 704, "num_key_value_heads": 4},
    "mistral": {"intermediate_size": 896, "num_key_value_heads": 2},
    "qwen2": {"intermediate_size": 640, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "qwen3": {"intermediate_size": 768, "num_key_value_heads": 2, "head_dim": 64},
    "gemma2": {"intermediate_size": 1024, "num_key_value_heads": 2, "head_dim": 64},
    "gpt_neox": {"intermediate_size": 1024},
}


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of the trace is forked, and has its imports already."""
    monkeypatch.setattr(tracing, "subprocess", forks.SUBPROCESS)


def small_shape(kind: str) -> Shape:
    config = {
        "model_type": kind,
        "hidden_size": 256,
        "num_hidden_layers": 8,
        "num_attention_heads": 4,
        "vocab_size": 4000,
        "max_position_embeddings": 2048,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
        **SMALL[kind],
    }
    shape = shape_of(config, "")
    assert shape is not None
    return shape


def small_work(
    kind: str, method: str = "lora", *, checkpointing: bool = False, device: str = "cuda", **data: object
) -> Workload:
    recipe = Recipe(
        model=ModelOptions(name="there"),
        data=DataOptions(train="there", **{"max_length": 512, **data}),  # type: ignore[arg-type]
        train=TrainOptions(
            method=method,  # type: ignore[arg-type]
            per_device_train_batch_size=4,
            gradient_checkpointing=checkpointing,
        ),
        lora=LoraOptions(r=8),
    )
    return workload(recipe, Facts(rows=5000), small_shape(kind), device)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "method", "device", "checkpointing"),
    [
        ("llama", "lora", "cuda", False),
        ("llama", "full", "cuda", True),
        ("mistral", "lora", "cpu", False),
        ("mistral", "qlora", "cuda", True),
        ("qwen2", "full", "cpu", False),
        ("qwen3", "lora", "cuda", True),
        ("gemma2", "lora", "cuda", False),
        ("gpt_neox", "full", "cuda", False),
        ("gpt_neox", "lora", "cpu", True),
    ],
)
def test_the_formula_is_near_the_trace(kind: str, method: str, device: str, checkpointing: bool) -> None:
    from finetui_core.train.traced import longest_documents
    from finetui_core.train.traced import trace as traced

    work = small_work(kind, method, device=device, checkpointing=checkpointing)
    peaks, _ = traced(work, longest_documents(work))
    said = estimate(work).peaks
    for phase in ("load", "train", "save"):
        truth = sum(peaks[phase].values())  # type: ignore[index]
        assert sum(said[phase].values()) == pytest.approx(truth, rel=0.15), phase  # type: ignore[index]


def test_the_trace_answers_by_phase_and_kind() -> None:
    work = small_work("llama")
    memory = trace(work)
    assert memory.stage == "trace"
    assert set(memory.peaks) == {"load", "save", "train", "evaluate", "merge"}
    weights = memory.peaks["load"]["weights"]
    assert all(kinds["weights"] == weights for phase, kinds in memory.peaks.items() if phase != "merge")
    assert memory.peaks["train"]["optimizer"] == pytest.approx(2 * memory.peaks["train"]["adapter"], rel=0.05)
    assert memory.highest[0] == "train"
    assert memory.peaks["train"]["activations"] > 0


@pytest.mark.slow
def test_the_trace_is_what_real_training_takes() -> None:
    benchmark = Path(__file__).parents[1] / "benchmarks" / "memory_cpu.py"
    answer = subprocess.run(
        [sys.executable, str(benchmark), "--small"], capture_output=True, text=True, check=True
    )
    row = json.loads(answer.stdout)
    assert row["trace"] == pytest.approx(row["measured"], rel=0.08)


@pytest.mark.usefixtures("forked")
def test_rows_on_this_machine_are_counted(tmp_path: Path) -> None:
    from training import write_project

    recipe_file = write_project(tmp_path / "project", dropout=0.0)
    folder = recipe_file.parent
    recipe = Recipe(
        model=ModelOptions(name=str(folder / "model")),
        data=DataOptions(train=str(folder / "train.jsonl"), val_fraction=0.2, max_length=128),
        train=TrainOptions(per_device_train_batch_size=2),
    )
    shape = model_shape(recipe.model.name)
    assert shape is not None
    memory, lengths = trace_recipe(recipe, look(recipe), shape, "cpu")
    assert lengths is not None
    assert lengths.exact
    assert (lengths.rows, lengths.val_rows) == (32, 8)
    assert 0 < lengths.mean <= lengths.longest <= 128
    assert 0 < lengths.supervised_share < 1
    longest_allowed = trace(workload(recipe, look(recipe), shape, "cpu"))
    assert memory.highest[1] < longest_allowed.highest[1]


@pytest.mark.usefixtures("forked")
def test_a_model_that_is_not_here_is_traced_at_the_longest_rows() -> None:
    recipe = Recipe(model=ModelOptions(name="gpt2"), data=DataOptions(train="nowhere.jsonl", max_length=64))
    shape = model_shape("gpt2")
    assert shape is not None
    memory, lengths = trace_recipe(recipe, Facts(), shape, "cuda")
    assert lengths is None
    assert "the rows are not read" in memory.note
    assert memory.highest[1] > 250e6


@pytest.mark.usefixtures("forked")
def test_a_model_that_cannot_be_built_is_said_in_a_sentence() -> None:
    shape = shape_of({**small_shape("llama").config, "model_type": "nonesuch"}, "")
    assert shape is not None
    work = small_work("llama")
    broken = Workload(work.recipe, shape, "cuda", 512, 512, 512)
    with pytest.raises(InputError, match="the model of type nonesuch cannot be built") as caught:
        trace(broken)
    assert len(caught.value.problems) == 1
    assert "\n" not in caught.value.problems[0].what


@pytest.mark.usefixtures("forked")
def test_target_modules_that_the_model_lacks_are_named() -> None:
    work = small_work("gpt_neox")
    recipe = work.recipe.model_copy(update={"lora": LoraOptions(target_modules=["q_proj"])})
    with pytest.raises(InputError, match="q_proj"):
        trace(Workload(recipe, work.shape, "cuda", 512, 512, 512))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("kill -9 $$", "a signal ended it"),
        ("echo no memory >&2; exit 3", "no memory"),
        ("echo nonsense", "ended with code 0"),
    ],
)
def test_a_process_that_dies_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ncat > /dev/null\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(tracing.sys, "executable", str(program))
    with pytest.raises(RunFailed, match=said):
        trace(small_work("llama"))


def test_a_trace_can_be_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 1000\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(tracing.sys, "executable", str(program))
    with pytest.raises(RunFailed, match="ended before it was done"):
        trace(small_work("llama"), cancelled=lambda: (tmp_path / "pid").exists())
    with pytest.raises(RunFailed, match="took more than"):
        trace(small_work("llama"), timeout=0.2)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
