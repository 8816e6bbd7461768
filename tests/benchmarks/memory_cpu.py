"""The memory trace against what training took: small random models on the processor, two steps of the real loop each.

    python tests/benchmarks/memory_cpu.py [--write] [--only NUMBER]

Each configuration runs in processes of its own: under the allocator settings that give memory back at once, and
under the system's own. Measured is the largest resident set less that before the model was built. Prints a table in
Markdown; --write puts it into docs/preflight-memory.md in place of the one that is there.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import put_table

from finetui_core.preflight.figures import RowLengths, Workload
from finetui_core.preflight.shape import shape_of
from finetui_core.preflight.workload import compute_dtype, has_own_head, packed, workload
from finetui_core.recipe.facts import Facts
from finetui_core.recipe.options import DataOptions, LoraOptions, ModelOptions, Recipe, TrainOptions

LOW_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
    "MALLOC_ARENA_MAX": "1",
}
MB = 1e6


class Case(NamedTuple):
    """A model (type, width, inner width, layers, vocabulary), and how it is trained."""

    kind: str
    width: int
    inner: int
    layers: int
    vocabulary: int
    method: str
    batch: int
    length: int
    checkpointing: bool = False
    dtype: str = "float32"
    packing: bool = True

    @property
    def title(self) -> str:
        return (
            f"{self.kind} {self.width}/{self.inner} x {self.layers}, {self.vocabulary:,} tokens | {self.method} "
            f"| {self.batch} x {self.length}{'' if self.packing else ', padded'} "
            f"| {'yes' if self.checkpointing else 'no'} | {self.dtype}"
        )


CASES = [
    Case("llama", 512, 1408, 6, 32000, "lora", 2, 512),
    Case("llama", 512, 1408, 6, 32000, "lora", 4, 512, True),
    Case("llama", 512, 1408, 6, 32000, "full", 2, 512),
    Case("llama", 512, 1408, 6, 32000, "full", 4, 512, True),
    Case("llama", 768, 2048, 4, 8000, "lora", 1, 2048),
    Case("llama", 768, 2048, 8, 8000, "full", 1, 1024, True),
    Case("llama", 512, 1408, 6, 32000, "lora", 4, 512, False, "bfloat16"),
    Case("llama", 512, 1408, 6, 32000, "full", 2, 512, False, "bfloat16"),
    Case("llama", 512, 1408, 6, 32000, "lora", 4, 512, False, "float32", False),
    Case("mistral", 512, 1792, 6, 16000, "lora", 4, 256),
    Case("mistral", 512, 1792, 6, 16000, "lora", 4, 512, True),
    Case("mistral", 512, 1792, 6, 16000, "full", 2, 512),
    Case("mistral", 512, 1792, 6, 16000, "full", 8, 256, True),
    Case("mistral", 768, 2048, 6, 32000, "lora", 4, 512, True, "bfloat16"),
    Case("qwen2", 448, 2432, 6, 32000, "lora", 4, 256),
    Case("qwen2", 448, 2432, 6, 32000, "lora", 4, 512, True),
    Case("qwen2", 448, 2432, 6, 32000, "full", 2, 512),
    Case("qwen2", 448, 2432, 6, 32000, "full", 4, 512, True, "bfloat16"),
    Case("gpt2", 512, 2048, 6, 32000, "lora", 4, 256),
    Case("gpt2", 512, 2048, 6, 32000, "lora", 4, 512, True),
    Case("gpt2", 512, 2048, 6, 32000, "full", 2, 512),
    Case("gpt2", 768, 3072, 6, 8000, "full", 2, 512, True),
    Case("gpt2", 768, 3072, 6, 8000, "lora", 4, 512, False, "float32", False),
    Case("gpt2", 768, 3072, 4, 16000, "lora", 4, 512, False, "bfloat16"),
]

SMALL = Case("llama", 256, 704, 4, 8000, "lora", 2, 512)
"""What a test measures."""


def config_of(case: Case) -> dict[str, Any]:
    heads = case.width // 64
    if case.kind == "gpt2":
        return {
            "model_type": "gpt2",
            "n_embd": case.width,
            "n_inner": case.inner,
            "n_layer": case.layers,
            "n_head": heads,
            "n_positions": 2048,
            "vocab_size": case.vocabulary,
            "bos_token_id": 0,
            "eos_token_id": 0,
        }
    return {
        "model_type": case.kind,
        "hidden_size": case.width,
        "intermediate_size": case.inner,
        "num_hidden_layers": case.layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads if case.kind == "llama" else max(1, heads // 4),
        "head_dim": 64,
        "vocab_size": case.vocabulary,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": case.kind == "qwen2",
    }


def work_of(case: Case) -> Workload:
    recipe = Recipe(
        model=ModelOptions(name="there", dtype=case.dtype),  # type: ignore[arg-type]
        data=DataOptions(train="there", max_length=case.length, packing=case.packing, val_fraction=0.0),
        train=TrainOptions(
            method=case.method,  # type: ignore[arg-type]
            per_device_train_batch_size=case.batch,
            gradient_checkpointing=case.checkpointing,
            learning_rate=1e-5,
        ),
        lora=LoraOptions(r=16),
    )
    shape = shape_of(config_of(case), "")
    assert shape is not None
    lengths = RowLengths(case.batch * 2, case.length, case.length, 1.0, True)
    return workload(recipe, Facts(), shape, "cpu", lengths)


def predicted(case: Case) -> int:
    from finetui_core.train.traced import longest_documents, trace

    work = work_of(case)
    peaks, note = trace(work, longest_documents(work))
    assert not note, note
    return max(sum(kinds.values()) for kinds in peaks.values())


def measured(number: int, environment: dict[str, str]) -> int:
    answer = subprocess.run(
        [sys.executable, __file__, "--measure", str(number)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "TRANSFORMERS_VERBOSITY": "error"} | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return int(json.loads(answer.stdout.splitlines()[-1]))


class Rows:
    """Rows of one length, every token learned."""

    def __init__(self, count: int, length: int, vocabulary: int) -> None:
        generator = np.random.default_rng(0)
        self._rows = [generator.integers(0, vocabulary, length, dtype=np.int32) for _ in range(count)]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self._rows[index], np.ones(len(self._rows[index]), dtype=bool)


def measure(case: Case) -> int:
    """Two steps of the real loop in this process; how much its resident set grew at most."""
    tiny = case._replace(width=64, inner=128, layers=1, vocabulary=64, batch=1, length=8)
    train(tiny)  # what torch loads on first use is there afterwards
    before = resident("VmRSS")
    forget_peak()
    train(case)
    return resident("VmHWM") - before


def train(case: Case) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from finetui_core.train.batches import Schedule
    from finetui_core.train.evaluation import ALONE
    from finetui_core.train.forward import Layout
    from finetui_core.train.layout import fuse_proven
    from finetui_core.train.model import DTYPES, add_adapters
    from finetui_core.train.optimizer import build_optimizer
    from finetui_core.train.setup import Session
    from finetui_core.train.step import train_step

    work = work_of(case)
    recipe, dtype = work.recipe, DTYPES[compute_dtype(work)]
    is_full = recipe.train.method == "full"
    config = AutoConfig.for_model(**work.shape.config)
    model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32 if is_full else dtype)
    if recipe.train.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if not is_full:
        model = add_adapters(model, recipe)
    fuse_proven(model)
    rows = Rows(2 * case.batch, case.length, case.vocabulary)
    nothing: Any = None
    session = Session(
        paths=nothing,
        recipe=recipe,
        device=torch.device("cpu"),
        processes=ALONE,
        autocast=lambda: torch.autocast("cpu", dtype) if dtype != torch.float32 else nullcontext(),
        tokenizer=nothing,
        model=model,
        optimizer=build_optimizer(model, recipe),
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        layout=Layout(packed(work), has_own_head(work.shape), case.batch, case.batch * case.length),
        layout_note="",
        data=SimpleNamespace(train=rows),  # type: ignore[arg-type]
        own_rows=len(rows),
        val_rows=[],
        probe=None,
        schedule=Schedule(len(rows), case.batch, 0, 2),
        warmup_steps=0,
        facts={},
        template_origin="",
        configuration={},
    )
    for step in (1, 2):
        train_step(session, step)


def resident(name: str) -> int:
    """VmRSS or VmHWM of this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"/proc/self/status has no {name}")


def forget_peak() -> None:
    """Let the largest resident set begin anew from what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", type=int)
    parser.add_argument("--small", action="store_true", help="one small case, its figures in JSON")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        print(json.dumps(measure([*CASES, SMALL][arguments.measure])))
        return
    if arguments.small:
        print(json.dumps({"trace": predicted(SMALL), "measured": measured(len(CASES), LOW_MEMORY)}))
        return
    lines = [
        "| | model | method | batch | checkpointing | type | trace | measured | error | system's allocator |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    errors, factors = [], []
    chosen = range(len(CASES)) if arguments.only is None else [arguments.only]
    for number in chosen:
        guess = predicted(CASES[number])
        low, plain = measured(number, LOW_MEMORY), measured(number, {})
        errors.append(guess / low - 1)
        factors.append(plain / guess)
        lines.append(
            f"| {number + 1} | {CASES[number].title} | {guess / MB:,.0f} | {low / MB:,.0f} | {errors[-1]:+.1%} "
            f"| {plain / MB:,.0f} |"
        )
        print(lines[-1], file=sys.stderr, flush=True)
    worst = max(errors, key=abs)
    lines += [
        "",
        f"MB. Worst error {worst:+.1%}, mean of the absolute errors {statistics.mean(map(abs, errors)):.1%}. The "
        f"system's allocator took {min(factors):.2f} to {max(factors):.2f} times the trace.",
    ]
    table = "\n".join(lines)
    print(table)
    if arguments.write:
        put_table("docs/preflight-memory.md", "processor", table)


if __name__ == "__main__":
    main()
