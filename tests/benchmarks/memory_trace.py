"""What the memory trace costs, and how far it is from peaks that others measured on an A100 and published.

    python tests/benchmarks/memory_trace.py [--write]

Prints two tables in Markdown; --write puts them into docs/preflight-memory.md in place of those that are there.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
import torch.nn.functional as F
from measuring import put_table
from torch._subclasses.fake_tensor import FakeTensorMode

from finetui_core.preflight.shape import model_shape, shape_of
from finetui_core.preflight.workload import workload
from finetui_core.recipe.facts import Facts
from finetui_core.recipe.options import DataOptions, LoraOptions, ModelOptions, Recipe, TrainOptions
from finetui_core.train.as_on_cuda import AsOnCuda
from finetui_core.train.checkpoint import trainable
from finetui_core.train.fake_model import build, make_fake
from finetui_core.train.fake_quantized import quantize
from finetui_core.train.forward import Layout
from finetui_core.train.live_memory import LiveMemory
from finetui_core.train.traced import FEW, MORE, Parts, extrapolated, longest_pass, step, watch_last_layer

SOURCE = (
    "https://github.com/foundation-model-stack/fms-acceleration/blob/"
    "876e2ed6fc4e966785e3f4315f5ee3cdf8e3d097/scripts/benchmarks/refs/a100_80gb.csv"
)
MISTRAL = "mistralai/Mistral-7B-v0.1"
SANTACODER = {
    "model_type": "gpt_bigcode",
    "n_embd": 2048,
    "n_layer": 24,
    "n_head": 16,
    "n_inner": 8192,
    "n_positions": 2048,
    "vocab_size": 49280,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "multi_query": True,
    "activation_function": "gelu_pytorch_tanh",
}
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
GIB = 2**30


@dataclass(frozen=True)
class Published:
    """A row of the source: one A100, bfloat16 weights, gradient checkpointing, rows of `length` tokens."""

    title: str
    config: dict[str, Any]
    method: str
    batch: int
    length: int
    idle: int
    peak: int
    mixed: bool = False  # whether it ran under autocast, with the norms in float32
    in_float32: bool = True  # whether that version computed its loss in float32


def published() -> list[Published]:
    shape = model_shape(MISTRAL)
    assert shape is not None
    mistral = dict(shape.config)
    return [
        Published("Mistral-7B, full, 4 x 4096", mistral, "full", 4, 4096, 43467876352, 72434837504),
        Published("Mistral-7B, full, 8 x 4096", mistral, "full", 8, 4096, 43468269568, 72435230720),
        Published("Mistral-7B, LoRA, 4 x 4096", mistral, "lora", 4, 4096, 14664493056, 26704571904),
        Published("Mistral-7B, LoRA, 8 x 4096", mistral, "lora", 8, 4096, 14664886272, 38742912512),
        Published("Mistral-7B, QLoRA, 4 x 4096", mistral, "qlora", 4, 4096, 4307028992, 20669338112, True),
        Published("Mistral-7B, QLoRA, 8 x 4096", mistral, "qlora", 8, 4096, 4307422208, 37002646016, True),
        Published(
            "SantaCoder 1.1B, full, 4 x 2048",
            SANTACODER,
            "full",
            4,
            2048,
            6770300416,
            11267745280,
            False,
            False,
        ),
        Published(
            "SantaCoder 1.1B, full, 8 x 2048",
            SANTACODER,
            "full",
            8,
            2048,
            6769448448,
            15193274880,
            False,
            False,
        ),
    ]


def recipe_of(row: Published) -> Recipe:
    return Recipe(
        model=ModelOptions(
            name="there", dtype="bfloat16", quantize="nf4" if row.method == "qlora" else "none"
        ),
        data=DataOptions(train="there", max_length=row.length, packing=False),
        train=TrainOptions(
            method=row.method,  # type: ignore[arg-type]
            per_device_train_batch_size=row.batch,
            gradient_checkpointing=True,
            learning_rate=2e-4,
            weight_decay=0.01,
        ),
        lora=LoraOptions(r=16, lora_alpha=16, lora_dropout=0.1, target_modules=ATTENTION),
    )


def loss_of_4_48(inner: Any, one: Any, *, own_head: bool) -> torch.Tensor:
    """The loss of transformers 4.48: all logits in float32, and a copy of them without the last."""
    output = inner(input_ids=one.input_ids, use_cache=False)
    logits = output.logits.float()
    shifted = logits[..., :-1, :].contiguous()
    targets = one.input_ids[..., 1:].contiguous()
    return F.cross_entropy(shifted.view(-1, shifted.shape[-1]), targets.view(-1))


def loss_of_4_48_in_half(inner: Any, one: Any, *, own_head: bool) -> torch.Tensor:
    """The loss of GPTBigCode in transformers 4.48, which left the logits in bfloat16."""
    logits = inner(input_ids=one.input_ids, use_cache=False).logits
    shifted = logits[..., :-1, :].contiguous()
    targets = one.input_ids[..., 1:].contiguous()
    return F.cross_entropy(shifted.view(-1, shifted.shape[-1]), targets.view(-1))


def loss_of_today(inner: Any, one: Any, *, own_head: bool) -> torch.Tensor:
    """The loss of transformers 5: all logits in float32, of which none is copied."""
    output = inner(input_ids=one.input_ids, use_cache=False)
    logits = output.logits.float()
    targets = F.pad(one.input_ids, (0, 1), value=-100)[..., 1:].contiguous()
    return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1), ignore_index=-100)


def traced(row: Published, loss: Callable[..., torch.Tensor]) -> tuple[int, int]:
    """Bytes between steps and at the peak, of the published set-up: torch's foreach AdamW in the weights' type."""
    shape = shape_of(row.config, "")
    assert shape is not None
    work = workload(recipe_of(row), Facts(rows=5000), shape, "cuda")
    few, more = (parts_of(row, work.recipe, loss, layers) for layers in (FEW, MORE))
    parts = {part: sum(kinds.values()) for part, kinds in extrapolated(few, more, MORE, shape.layers).items()}
    return parts["idle"], max(parts.values())


def parts_of(row: Published, recipe: Recipe, loss: Callable[..., torch.Tensor], layers: int) -> Parts:
    model = build(row.config, recipe, "bfloat16", layers)
    for name, parameter in model.named_parameters():
        is_norm = parameter.ndim == 1
        kept = torch.float32 if ".lora_" in name or (row.mixed and is_norm) else torch.bfloat16
        parameter.data = parameter.data.to(kept)
    memory = LiveMemory()
    dtype = torch.bfloat16 if row.mixed else torch.float32
    layout = Layout(False, False, 0, 0)
    with FakeTensorMode(), memory, AsOnCuda():
        make_fake(model, memory)
        if row.method == "qlora":
            quantize(model, "nf4", torch.bfloat16, memory)
        parameters = list(trainable(model).values())
        optimizer = torch.optim.AdamW(parameters, foreach=True)
        memory.begin("first step")
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        memory.begin("idle")
        watch_last_layer(model, layers, memory)
        one = longest_pass((row.length,) * row.batch, 1, layout)
        step(model, one, layout, memory, dtype, loss)
        memory.begin("step")
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    return memory.peaks


def published_table() -> str:
    lines = [
        "| Run on one A100 | measured peak | trace, that version's loss | error | trace, today's loss | error "
        "| between steps, measured | trace | error |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in published():
        idle, then = traced(row, loss_of_4_48 if row.in_float32 else loss_of_4_48_in_half)
        _, now = traced(row, loss_of_today)
        lines.append(
            f"| {row.title} | {row.peak / GIB:.2f} | {then / GIB:.2f} | {then / row.peak - 1:+.1%} "
            f"| {now / GIB:.2f} | {now / row.peak - 1:+.1%} "
            f"| {row.idle / GIB:.2f} | {idle / GIB:.2f} | {idle / row.idle - 1:+.1%} |"
        )
        print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(
        [*lines, "", f"GiB. Measured: [fms-acceleration]({SOURCE}), one GPU, framework none or baseline."]
    )


_ONE = """
import resource, sys
from finetui_core.preflight.shape import model_shape
from finetui_core.preflight.trace import trace
from finetui_core.preflight.workload import workload
from finetui_core.recipe.facts import Facts
from finetui_core.recipe.options import DataOptions, ModelOptions, Recipe, TrainOptions
name, checkpointing = sys.argv[1:]
recipe = Recipe(
    model=ModelOptions(name=name), data=DataOptions(train="there", max_length=2048),
    train=TrainOptions(per_device_train_batch_size=4, gradient_checkpointing=checkpointing == "yes"),
)
memory = trace(workload(recipe, Facts(rows=5000), model_shape(name), "cuda"))
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(*memory.highest, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


def cost_table() -> str:
    """Processor time and the largest resident set of the trace's process, imports with it."""
    lines = [
        "| LoRA on all linear layers, 4 x 2048, packed | gradient checkpointing | peak | processor time | resident |",
        "|---|---|---|---|---|",
    ]
    for name in ("meta-llama/Llama-2-7b-hf", MISTRAL):
        for checkpointing in ("no", "yes"):
            answer = subprocess.run(
                [sys.executable, "-c", _ONE, name, checkpointing],
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                check=True,
                capture_output=True,
                text=True,
            ).stdout.split()
            phase, peak, seconds, resident = answer
            lines.append(
                f"| {name} | {checkpointing} | {int(peak) / GIB:.2f} GiB ({phase}) "
                f"| {float(seconds):.1f} s | {int(resident) / 2**20:.2f} GiB |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    for name, table in (("trace cost", cost_table()), ("published", published_table())):
        print(table, end="\n\n")
        if write:
            put_table("docs/preflight-memory.md", name, table)


if __name__ == "__main__":
    main()
