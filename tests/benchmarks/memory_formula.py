"""The closed formula of a run's memory against the trace, over models, methods and devices.

    python tests/benchmarks/memory_formula.py [--write] [--only WORD]

Prints one line for each run to standard error and a table in Markdown; --write puts it into docs/preflight-memory.md
in place of the one that is there.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import put_table

from finetui_core.preflight.figures import Memory, Workload
from finetui_core.preflight.formula import estimate
from finetui_core.preflight.shape import model_shape
from finetui_core.preflight.workload import workload
from finetui_core.recipe.facts import Facts
from finetui_core.recipe.options import DataOptions, LoraOptions, ModelOptions, Recipe, TrainOptions

MODELS = [
    "meta-llama/Llama-2-7b-hf",
    "mistralai/Mistral-7B-v0.1",
    "meta-llama/Llama-3.1-8B",
    "meta-llama/Llama-3.2-1B",
    "HuggingFaceTB/SmolLM2-135M",
    "Qwen/Qwen2.5-1.5B",
    "Qwen/Qwen3-4B",
    "allenai/OLMo-2-1124-7B",
    "google/gemma-2-2b",
    "google/gemma-3-1b-pt",
    "microsoft/phi-2",
    "microsoft/Phi-3-mini-4k-instruct",
    "openai-community/gpt2",
    "EleutherAI/pythia-410m",
]
NOT_FITTED = [
    "Qwen/Qwen2.5-7B",
    "Qwen/Qwen3-0.6B",
    "google/gemma-2-9b",
    "microsoft/phi-1_5",
    "microsoft/Phi-4-mini-instruct",
    "EleutherAI/pythia-1.4b",
    "allenai/OLMo-2-1124-13B",
    "HuggingFaceTB/SmolLM2-1.7B",
    "openai-community/gpt2-large",
    "meta-llama/Llama-3.1-70B",
]
"""Models whose traces were not looked at when the formula's numbers were chosen."""
MORE = [
    {"lora": LoraOptions(r=64)},
    {"lora": LoraOptions(use_dora=True)},
    {"lora": LoraOptions(modules_to_save=["lm_head"])},
    {"lora": LoraOptions(target_modules=["q_proj", "v_proj"])},
    {"packing": False},
    {"length": 512, "batch": 1},
    {"length": 512, "batch": 16},
    {"rows": 100},
    {"dtype": "float16"},
]


def runs(only: str) -> Iterator[tuple[str, Workload]]:
    for name, method, checkpointing, device in itertools.product(
        MODELS + NOT_FITTED, ("lora", "qlora", "full"), (False, True), ("cuda", "cpu")
    ):
        if not (device == "cpu" and method == "qlora"):
            yield run(name, method, checkpointing, device, {})
    for name, more, checkpointing in itertools.product(("meta-llama/Llama-3.2-1B",), MORE, (False, True)):
        yield run(name, "lora", checkpointing, "cuda", more)


def run(name: str, method: str, checkpointing: bool, device: str, more: dict) -> tuple[str, Workload]:
    shape = model_shape(name)
    assert shape is not None
    length = more.get("length", min(1024, shape.context_length or 1024))
    batch = more.get("batch", 4)
    recipe = Recipe(
        model=ModelOptions(name=name, dtype=more.get("dtype", "auto")),
        data=DataOptions(train="there", max_length=length, packing=more.get("packing", True)),
        train=TrainOptions(
            method=method,  # type: ignore[arg-type]
            per_device_train_batch_size=batch,
            gradient_checkpointing=checkpointing,
        ),
        lora=more.get("lora", LoraOptions()),
    )
    special = ", ".join(f"{key} {value!r}" for key, value in more.items() if key != "lora")
    if "lora" in more:
        special = str(more["lora"].model_dump(exclude_defaults=True))
    title = f"{name} {method} {'checkpointed' if checkpointing else 'kept'} {device} {special}"
    return title, workload(recipe, Facts(rows=more.get("rows", 5000)), shape, device)  # type: ignore[arg-type]


def traced(work: Workload) -> Memory:
    from finetui_core.train.traced import longest_documents, trace

    peaks, note = trace(work, longest_documents(work))
    return Memory("trace", peaks, 0.0, note)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    errors: dict[tuple[str, str], list[float]] = {}
    for title, work in runs(arguments.only):
        if arguments.only not in title:
            continue
        truth, guess = traced(work), estimate(work)
        line = []
        for phase in ("train", "evaluate"):
            true, said = (sum(one.peaks[phase].values()) for one in (truth, guess))  # type: ignore[index]
            line.append(f"{phase} {true / 2**30:7.2f} {said / 2**30:7.2f} {said / true - 1:+6.1%}")
            fitted = title.split()[0] not in NOT_FITTED
            family = work.shape.model_type if fitted else "ten models that it was not fitted to"
            errors.setdefault((family, phase), []).append(said / true - 1)
        print(f"{title:75} {'   '.join(line)}", file=sys.stderr, flush=True)
    lines = ["| family | runs | step: worst | mean | evaluation: worst | mean |", "|---|---|---|---|---|---|"]
    for family in sorted({family for family, _ in errors}):
        cells = []
        for phase in ("train", "evaluate"):
            values = errors[family, phase]
            mean = sum(map(abs, values)) / len(values)
            cells += [f"{max(values, key=abs):+.0%}", f"{mean:.0%}"]
        lines.append(f"| {family} | {len(errors[family, 'train'])} | {' | '.join(cells)} |")
    table = "\n".join(lines)
    print(table)
    if arguments.write:
        put_table("docs/preflight-memory.md", "formula", table)


if __name__ == "__main__":
    main()
