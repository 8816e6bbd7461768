"""What it costs to look for numbers that are not finite: after each step, and before each checkpoint.

    python tests/benchmarks/nonfinite_cost.py

Trains a small Llama in this process, with LoRA and in full, with the trainer's two looks timed: that at the weights
after each step as a share of the step's seconds, and that at weights and moments as a share of a save's. The latter
is also what it would cost to look at the moments after each step. On a GPU both wait for the device, so that they
hold what was still to be done there as well.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "tests")]

from finetui_core.cli.train import make_run  # noqa: E402
from finetui_core.runs.tail import read_records  # noqa: E402
from finetui_core.train import saving, step  # noqa: E402
from tiny_models import save_tokenizer  # noqa: E402
from training import RECIPE, events, train_here, write_rows  # noqa: E402


def timed(real: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        began = time.perf_counter()
        found = real(*arguments)
        seconds.append(time.perf_counter() - began)
        return found

    return call


def write_model(folder: Path, width: int, layers: int) -> int:
    """A random Llama; returns the number of its parameters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = save_tokenizer(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=8,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    return int(model.num_parameters())


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--steps", type=int, default=12)
    options = parser.parse_args()
    real = step._are_finite, saving.nonfinite_state
    print(
        "| method | trained parameters | step | weights after it | share | state before a save | share of the save |"
    )
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        write_model(project / "model", options.width, options.layers)
        write_rows(project / "train.jsonl", 64)
        recipe = project / "recipe.toml"
        recipe.write_text(RECIPE, encoding="utf-8")
        for method in ("lora", "full"):
            after: list[float] = []
            before: list[float] = []
            step._are_finite = timed(real[0], after)
            saving.nonfinite_state = timed(real[1], before)
            chosen = (f"train.method={method}", f"train.max_steps={options.steps}", "save.steps=4")
            quiet = ("eval.meters=false", "eval.samples=0", "data.val_fraction=0")
            paths = make_run(recipe, (*chosen, *quiet), None, project / "runs", ignore_preflight=True)
            assert train_here(paths) == 0
            steps = [line["step_seconds"] for line in read_records(paths.metrics(1))][1:]
            saves = [event["seconds"] for event in events(paths, "checkpoint")]
            (ready,) = events(paths, "ready")
            print(
                f"| {method} | {ready['trainable_parameters']:,} | {1e3 * median(steps):.0f} ms | "
                f"{1e3 * median(after[1:]):.2f} ms | {median(after[1:]) / median(steps):.2%} | "
                f"{1e3 * median(before):.2f} ms | {median(before) / median(saves):.2%} |"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
