"""200 rows of the sample data by five arms: how long the answers and likelihoods take, and against plain `generate`.

    PYTHONPATH=core:tui .venv/bin/python tests/benchmarks/compare.py [--rows 200] [--steps 60] [--threads 2]

A short LoRA run of the sample model is made first. Then each arm is answered as `ftui compare` does it, which is to
take under 180 s of processor time, all threads together. At last the same prompts are answered by transformers'
`generate`, sorted by length, 16 and 32 at a time, alternately with ours, which is to take at most 1.3 times as much.
Limits are of processor time, since other work on the machine stretches the clock's.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from measuring import report

from finetui_core.evaluate import engine
from finetui_core.evaluate.answers_file import read_answers
from finetui_core.evaluate.arms import SHOTS, Help, arms_for, prompts
from finetui_core.evaluate.documents import read_documents
from finetui_core.evaluate.engine import Loaded, Which, answer_arm, weights_of
from finetui_core.evaluate.figures import Decoding, Prompt, TestRow
from finetui_core.evaluate.rendering import Rendered, length_of, prompt_renderer
from finetui_core.evaluate.rows import held_out_rows
from finetui_core.recipe.options import Recipe
from finetui_core.runs.checkpoints import best_or_newest
from finetui_core.train.generate import end_tokens
from finetui_core.train.greedy import greedy_batches
from training import new_run, train_here

SAMPLE = Path(__file__).parents[2] / "sample_data"
LONGEST_ANSWER = 96
LIMIT_SECONDS, LIMIT_RATIO = 180, 1.3
ARMS: dict[str, Which] = {
    "zero_shot": "base",
    "few_shot": "base",
    "retrieved": "base",
    "documents": "base",
    "tuned": "tuned",
}


def prompts_of(recipe: Recipe, tokenizer: Any, room: int, count: int) -> tuple[list[TestRow], dict[str, Any]]:
    """The rows that `ftui compare` takes, and what it asks of each arm."""
    held = held_out_rows(recipe, count)
    passages = read_documents(SAMPLE / "documents").passages
    arms = arms_for(has_run=True, examples=held.train_rows, documents=SAMPLE / "documents")
    help = Help(held.train_rows, passages, SHOTS, 0, room, length_of(tokenizer))
    asked = prompts([arm for arm in arms if arm.name in ARMS], held.rows, help)
    return list(held.rows), {name: asked[name].prompts for name in ARMS}


def rendered(asked: Sequence[Prompt], rows: Sequence[TestRow], tokenizer: Any) -> list[np.ndarray]:
    render = prompt_renderer(tokenizer)
    return [one.prompt for one in map(render, asked, rows) if isinstance(one, Rendered)]


def plain(model: Any, asked: Sequence[np.ndarray], ends: list[int], batch: int) -> Iterator[list[int]]:
    """The ids that `generate` gives, the longest prompts first."""
    ordered = sorted(asked, key=lambda prompt: -len(prompt))
    for start in range(0, len(ordered), batch):
        group = ordered[start : start + batch]
        ids = torch.zeros((len(group), len(group[0])), dtype=torch.long)
        real = torch.zeros_like(ids)
        for place, prompt in enumerate(group):
            ids[place, ids.shape[1] - len(prompt) :] = torch.from_numpy(prompt.astype(np.int64))
            real[place, ids.shape[1] - len(prompt) :] = 1
        with torch.no_grad():
            answers = model.generate(
                input_ids=ids,
                attention_mask=real,
                max_new_tokens=LONGEST_ANSWER,
                do_sample=False,
                eos_token_id=ends,
                pad_token_id=ends[0],
            )
        for answer in answers[:, ids.shape[1] :].tolist():
            end = next((place for place, token in enumerate(answer) if token in ends), len(answer))
            yield answer[:end]


def ours(model: Any, asked: Sequence[np.ndarray], ends: list[int]) -> Iterator[list[int]]:
    limits = [LONGEST_ANSWER] * len(asked)
    budget = {"tokens": engine.TOKENS_PER_BATCH, "rows": engine.ROWS_PER_BATCH["cpu"]}
    for batch in greedy_batches(model, asked, limits, ends, **budget):
        yield from (answer.ids for answer in batch.answers if answer is not None)


def measured(answers: Callable[[], Iterator[list[int]]]) -> tuple[float, list[list[int]]]:
    began = time.process_time()
    given = list(answers())
    return time.process_time() - began, given


def against_generate(loaded: Loaded, asked: dict[str, list[np.ndarray]], repeats: int) -> float:
    """The worst ratio of our processor time to that of the faster `generate`, over the arms."""
    worst = 0.0
    for arm, which in ARMS.items():
        with weights_of(loaded, which) as (model, _):
            ends = end_tokens(model, loaded.tokenizer)
            ways: dict[str, Callable[[], Iterator[list[int]]]] = {
                "generate, 16 at a time": lambda m=model, p=asked[arm], e=ends: plain(m, p, e, 16),
                "generate, 32 at a time": lambda m=model, p=asked[arm], e=ends: plain(m, p, e, 32),
                "ours": lambda m=model, p=asked[arm], e=ends: ours(m, p, e),
            }
            taken: dict[str, list[float]] = {name: [] for name in ways}
            given: dict[str, list[list[int]]] = {}
            for _ in range(repeats):
                for name, way in ways.items():
                    seconds, given[name] = measured(way)
                    taken[name].append(seconds)
        best = min(min(seconds) for name, seconds in taken.items() if name != "ours")
        for name, seconds in taken.items():
            report(f"{arm}: {name}", seconds, "s", best, "the faster generate")
        reference = given["generate, 16 at a time"]
        differing = sum(one != other for one, other in zip(given["ours"], reference, strict=True))
        print(f"{arm}: {differing} of {len(reference)} answers differ", flush=True)
        worst = max(worst, min(taken["ours"]) / best)
    return worst


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = (SAMPLE / "recipes" / "lora.toml").read_text().replace('"../', f'"{SAMPLE}/')
        recipe_file = folder / "recipe.toml"
        recipe_file.write_text(text)
        paths = new_run(
            recipe_file,
            f"train.max_steps={arguments.steps}",
            "train.learning_rate=5e-3",
            "eval.steps=1000",
            "eval.max_rows=8",
        )
        began = time.perf_counter()
        if train_here(paths) != 0:
            raise SystemExit("the run failed")
        print(f"a run of {arguments.steps} steps: {time.perf_counter() - began:.1f} s", flush=True)
        recipe = Recipe.model_validate_json(paths.resolved_recipe.read_bytes())
        began = time.perf_counter()
        loaded = engine.load(recipe, best_or_newest(paths).path, torch.device("cpu"))
        room = (loaded.context or 512) - LONGEST_ANSWER
        rows, asked = prompts_of(recipe, loaded.tokenizer, room, arguments.rows)
        print(f"loading and prompts: {time.perf_counter() - began:.1f} s", flush=True)
        whole = processor = 0.0
        for arm, which in ARMS.items():
            clock, busy = time.perf_counter(), time.process_time()
            file = folder / f"{arm}.jsonl"
            answer_arm(loaded, which, asked[arm], rows, Decoding(LONGEST_ANSWER), file, lambda done: None)
            clock, busy = time.perf_counter() - clock, time.process_time() - busy
            whole, processor = whole + clock, processor + busy
            answers = read_answers(file).values()
            tokens = sum(one.prompt_tokens for one in answers) / len(rows)
            written = sum(one.new_tokens for one in answers) / len(rows)
            nats = sum(one.nll or 0.0 for one in answers) / sum(one.reference_tokens for one in answers)
            print(
                f"{arm:<10} {clock:6.1f} s, of which answers {sum(one.seconds for one in answers):5.1f} s; processor "
                f"{busy:5.1f} s; {tokens:.0f} tokens a prompt, {written:.0f} an answer; {nats:.3f} nats a token",
                flush=True,
            )
        print(f"all arms: {whole:.1f} s, processor {processor:.1f} s; at most {LIMIT_SECONDS} s", flush=True)
        ids = {arm: rendered(asked[arm], rows, loaded.tokenizer) for arm in ARMS}
        ratio = against_generate(loaded, ids, arguments.repeats)
        print(f"worst ratio to the faster generate: {ratio:.2f}; at most {LIMIT_RATIO}", flush=True)
        if processor > LIMIT_SECONDS or ratio > LIMIT_RATIO:
            raise SystemExit("too slow")


if __name__ == "__main__":
    main()
