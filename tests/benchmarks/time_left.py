"""How well a run foretells its own end: real small runs with rows of very different length, one after the other.

    python tests/benchmarks/time_left.py --runs 20

For each run: the error of what it foretold after 20 steps and after a tenth of its steps, as a share of the whole
duration from the first step, and the worst error from a tenth on. The goals are 10 %, 5 % and 5 %. "Drift" is how
much faster or slower the machine did the same work after the first tenth than in it, by a cost per step and token
fitted with hindsight over the whole run: no forecast made at a tenth can be better than that on average.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "tests")]

from finetui_core.cli.train import make_run  # noqa: E402
from finetui_core.runs.paths import RunPaths  # noqa: E402
from finetui_core.runs.reader import RunView  # noqa: E402
from tiny_models import save_model  # noqa: E402
from training import train_here  # noqa: E402

RECIPE = """
[model]
name = "model"
[data]
train = "train.jsonl"
val_fraction = 0.1
max_length = {longest}
packing = {packing}
[train]
learning_rate = 0.001
num_train_epochs = {epochs}
per_device_train_batch_size = {batch}
gradient_accumulation_steps = {parts}
seed = {seed}
[eval]
samples = 1
sample_max_new_tokens = 8
max_rows = 20
"""
LONGEST = 1024  # tokens
SHAPE = {
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 48,
    "max_position_embeddings": LONGEST,
}
WORDS = ("the", "order", "is", "late", "and", "we", "send", "it", "back", "to", "you", "by", "post", "today")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rows", type=int, default=480)
    parser.add_argument("--json", type=Path, help="write the numbers there as well")
    options = parser.parse_args()
    results = []
    print(
        "| run | layout | steps | seconds | after 20 steps | after a tenth | worst from there | drift |",
        flush=True,
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for number in range(options.runs):
        with tempfile.TemporaryDirectory() as folder:
            one = measure(Path(folder), number, options.rows)
        results.append(one)
        print(
            f"| {number + 1} | {one['layout']} | {one['steps']} | {one['seconds']:.0f} | "
            f"{one['after_20']:+.1%} | {one['after_tenth']:+.1%} | {one['worst']:.1%} | {one['drift']:+.1%} |",
            flush=True,
        )
    for name, goal in (("after_20", 0.10), ("after_tenth", 0.05), ("worst", 0.05), ("drift", 0.05)):
        sizes = [abs(one[name]) for one in results]
        kept = sum(size <= goal for size in sizes)
        print(
            f"{name}: median {median(sizes):.1%}, worst {max(sizes):.1%}; {kept} of {len(sizes)} within {goal:.0%}"
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


def measure(folder: Path, number: int, rows: int) -> dict[str, float | int | str]:
    """Train one run, and hold what it foretold at each step against when it ended."""
    packing = number % 2 == 0
    batch, parts = ((4, 1), (2, 2), (8, 1), (4, 2))[number // 2 % 4]
    save_larger_model(folder / "model", ("llama", "mistral")[number // 8 % 2])
    write_skewed(folder / "train.jsonl", rows, number)
    recipe = folder / "recipe.toml"
    recipe.write_text(
        RECIPE.format(
            longest=LONGEST,
            packing=str(packing).lower(),
            epochs=2,
            batch=batch,
            parts=parts,
            seed=number,
        )
    )
    paths = make_run(recipe, ("data.overlength=truncate",), None, folder / "runs", ignore_preflight=True)
    if train_here(paths) != 0:
        raise SystemExit(f"run {number + 1} failed")
    return {"layout": "packed" if packing else "padded", **errors(paths)}


def save_larger_model(folder: Path, architecture: str) -> None:
    """A random model whose steps take long enough that a machine's hiccups are small beside them."""
    from transformers import AutoConfig, AutoModelForCausalLM

    save_model(folder, architecture)
    config = AutoConfig.from_pretrained(folder, **SHAPE)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)


def write_skewed(path: Path, rows: int, seed: int) -> None:
    """Chats whose answers have lengths as real ones: most short, some fifty times as long."""
    random = np.random.default_rng(seed)
    lengths = np.clip(random.lognormal(2.8, 1.0, rows), 2, 500).astype(int)
    with path.open("w", encoding="utf-8") as file:
        for index, length in enumerate(lengths):
            answer = " ".join(random.choice(WORDS, length))
            messages = [
                {"role": "user", "content": f"Question {index} of {seed}?"},
                {"role": "assistant", "content": answer},
            ]
            file.write(json.dumps({"messages": messages}) + "\n")


def errors(paths: RunPaths) -> dict[str, float | int]:
    view = RunView(paths)
    view.refresh()
    ended = next(event["t"] for event in reversed(view.events) if event["type"] == "finished")
    points = [(one["t"], one["remaining_seconds"], one["step_seconds"]) for one in view.steps]
    total = ended - (points[0][0] - points[0][2])
    shares = [0.0 if left is None else (left - (ended - at)) / total for at, left, _ in points]
    tenth = max(1, len(shares) // 10) - 1
    tokens = [one["tokens"] for one in view.steps]
    return {
        "steps": len(shares),
        "seconds": total,
        "after_20": shares[min(19, len(shares) - 1)],
        "after_tenth": shares[tenth],
        "worst": max(abs(share) for share in shares[tenth:]),
        "drift": drift(tokens, [seconds for *_, seconds in points], tenth + 1),
    }


def drift(tokens: list[int], seconds: list[float], first: int) -> float:
    """How much slower the machine was after the `first` steps than in them, as a share of the whole duration."""
    known = np.stack([np.ones(len(tokens)), np.array(tokens, float)], 1)
    fitted = known @ np.linalg.lstsq(known, np.array(seconds), rcond=None)[0]
    speed = np.sum(seconds[:first]) / np.sum(fitted[:first])
    return float((np.sum(seconds[first:]) - speed * np.sum(fitted[first:])) / np.sum(seconds))


if __name__ == "__main__":
    main()
