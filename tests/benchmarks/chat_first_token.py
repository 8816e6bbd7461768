"""The first token of an answer in `ftui chat` against plain `generate`, and what is kept against nothing kept.

    PYTHONPATH=core:tui .venv/bin/python tests/benchmarks/chat_first_token.py [--turns 6] [--repeats 9] [--threads 1]

A conversation with the sample model and an adapter grows turn by turn. For each turn and side the first token is made
by `generate` from the prompt as text, with a tokenizer as `ftui` has it, and by `answers`, once with what was read
before forgotten and once with it, alternately in one process. The first is to take at most 1.2 times as long as
`generate`. Times are of the processor, since other work on the machine stretches the clock's.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from measuring import report

from finetui_core.evaluate.chat_engine import Chat, answers, open_chat
from finetui_core.evaluate.chat_protocol import SIDES, Answered, Sampling, Side, Turn
from finetui_core.evaluate.engine import weights_of
from finetui_core.evaluate.rendering import prompt_text
from finetui_core.recipe.options import Recipe
from finetui_core.train.model import add_adapters, best_device, load_model
from training import new_run

SAMPLE = Path(__file__).parents[2] / "sample_data"
LIMIT = 1.2
ONE = Sampling(max_new_tokens=1)
QUESTION = (
    "How do I change the address of an order that has not been sent yet? I live somewhere else since Monday."
)
ANSWER = "Hello! Open the order, choose the address and write the new one. You can do so until it is sent."


def plain(chat: Chat, side: Side, turns: tuple[Turn, ...]) -> None:
    """As anybody would ask for it; the template is rendered where `answers` renders it."""
    with weights_of(chat.loaded[side], side) as (model, _), torch.no_grad():
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        text = prompt_text(messages, chat.tokenizer)
        ids = chat.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"].to(
            model.device
        )
        model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=1,
            do_sample=False,
            pad_token_id=0,
        )


def ours(chat: Chat, side: Side, turns: tuple[Turn, ...]) -> None:
    (answer,) = [
        one for one in answers(chat, 1, {side: turns}, ONE, lambda: False) if isinstance(one, Answered)
    ]
    assert not answer.error, answer.error


def taken(way: Callable[[], None]) -> float:
    began = time.process_time()
    way()
    return 1000 * (time.process_time() - began)


def measure(chat: Chat, side: Side, turns: tuple[Turn, ...], repeats: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {"generate": [], "chat, nothing kept": [], "chat": []}
    before = turns[:-2]
    for _ in range(repeats):
        times["generate"].append(taken(lambda: plain(chat, side, turns)))
        chat.kept[side].forget()
        times["chat, nothing kept"].append(taken(lambda: ours(chat, side, turns)))
        if before:
            chat.kept[side].forget()
            ours(chat, side, before)
            times["chat"].append(taken(lambda: ours(chat, side, turns)))
    return times


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        recipe_file = Path(name) / "recipe.toml"
        text = (SAMPLE / "recipes" / "lora.toml").read_text().replace('"../', f'"{SAMPLE}/')
        recipe_file.write_text(text)
        recipe = Recipe.model_validate_json(
            new_run(recipe_file, "lora.lora_dropout=0.0").resolved_recipe.read_bytes()
        )
        device = best_device()
        untouched = add_adapters(load_model(recipe, device, torch.float32, None), recipe)
        untouched.save_pretrained(Path(name) / "adapter")
        chat = open_chat(recipe, Path(name) / "adapter", SIDES, device)
        turns: tuple[Turn, ...] = (Turn("user", QUESTION),)
        for turn in range(1, arguments.turns + 1):
            for side in SIDES:
                measure(chat, side, turns, 2)
                times = measure(chat, side, turns, arguments.repeats)
                base = statistics.median(times["generate"])
                for way, values in times.items():
                    if values:
                        report(f"turn {turn}, {side}: {way}", values, "ms", base, "generate")
                worst = max(worst, statistics.median(times["chat, nothing kept"]) / base)
            turns = (*turns, Turn("assistant", ANSWER), Turn("user", QUESTION))
    print(f"worst ratio to generate: {worst:.2f}; at most {LIMIT}", flush=True)
    if worst > LIMIT:
        raise SystemExit("too slow")


if __name__ == "__main__":
    main()
