"""Second stage of pretraining: the tiny model learns to answer from pages that it is shown.

    python sample_data/make/read_on.py [--out FOLDER]

Goes on from the weights in tiny-llama/. Looking something up is learned in three steps: text that is said twice, then
values to repeat and pages of a sentence or two, then longer pages. Part of each batch is what the first stage read,
so that nothing is unlearned. Of chats only the answers are learned, as the pages are drawn at random.
"""

import argparse
import json
import math
import time
from pathlib import Path
from random import Random

import torch
from pretrain import OUT, batches, perplexity, save
from prose import general_lines
from reading import copying_chat, reading_chat, values
from tokenizer import CONTEXT
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

SEED = 5
LEARNING_RATE = 2e-3
REPEATING, READING = 400, 1200  # steps
GROWING = 700  # the steps of reading over which pages grow
KNOWN_ROWS = 4  # rows of the first stage in a step, 256 tokens each
TOKENS = 2560  # tokens in a step that are new
COPYING_SHARE = 0.3
TRIED = 100  # fresh chats on which the reading is measured

Batch = tuple[torch.Tensor, torch.Tensor]


def padded(tokenizer: PreTrainedTokenizerFast, chats: list[list[dict]]) -> Batch:
    """Ids and labels, chats x longest; only answers carry labels."""
    shown = [
        tokenizer.apply_chat_template(chat, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        for chat in chats
    ]
    longest = max(len(one["input_ids"]) for one in shown)
    ids = torch.zeros((len(shown), longest), dtype=torch.long)
    labels = torch.full_like(ids, -100)
    for row, one in enumerate(shown):
        tokens, learned = torch.tensor(one["input_ids"]), torch.tensor(one["assistant_masks"], dtype=torch.bool)
        ids[row, : len(tokens)] = tokens
        labels[row, : len(tokens)][learned] = tokens[learned]
    return ids, labels


def repeated(rng: Random, tokenizer: PreTrainedTokenizerFast) -> Batch:
    """Rows of values, or of any tokens at all, said twice; the second time is learned."""
    width = rng.randrange(40, 70)
    rows = TOKENS // (2 * width)
    if rng.random() < 0.5:
        once = torch.tensor([[rng.randrange(10, len(tokenizer)) for _ in range(width)] for _ in range(rows)])
    else:
        texts = [tokenizer(" ".join(values(rng, width)), add_special_tokens=False)["input_ids"] for _ in range(rows)]
        once = torch.tensor([text[:width] for text in texts])
    ids = torch.cat([torch.full((rows, 1), tokenizer.bos_token_id), once, once], 1)
    labels = ids.clone()
    labels[:, : width + 1] = -100
    return ids, labels


def chats_to_read(rng: Random, tokenizer: PreTrainedTokenizerFast, hard: float) -> Batch:
    """Fresh chats of about TOKENS tokens, none longer than the context."""
    chats, longest = [], 0
    while True:
        chat = copying_chat(rng) if rng.random() < COPYING_SHARE else reading_chat(rng, hard)
        length = len(tokenizer.apply_chat_template(chat, tokenize=True, return_dict=True)["input_ids"])
        if length > CONTEXT:
            continue
        longest = max(longest, length)
        if chats and longest * (len(chats) + 1) > TOKENS:
            return padded(tokenizer, chats)
        chats.append(chat)


def right_answers(model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast, hard: float) -> float:
    """The share of fresh first questions that are answered exactly."""
    rng, right, tried = Random(99), 0, 0
    model.eval()
    while tried < TRIED:
        chat = reading_chat(rng, hard)
        first = next(index for index, message in enumerate(chat) if message["role"] == "assistant")
        ids = tokenizer.apply_chat_template(
            chat[:first], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )["input_ids"]
        if ids.shape[1] > CONTEXT - 24:
            continue
        with torch.no_grad():
            out = model.generate(input_ids=ids, max_new_tokens=20, do_sample=False)
        answer = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip()
        right += answer == chat[first]["content"]
        tried += 1
    model.train()
    return right / TRIED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(OUT)
    model = AutoModelForCausalLM.from_pretrained(OUT, dtype=torch.float32)
    held_out = general_lines()
    known, random = batches(Random(SEED + 1), tokenizer, set(held_out)), Random(SEED + 2)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.05, fused=True)
    started, steps = time.monotonic(), REPEATING + READING
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min((step + 1) / 50, 0.52 + 0.48 * math.cos(math.pi * step / steps))
        hard = min(1.0, max(0, step - REPEATING) / GROWING)
        plain = next(known)[:KNOWN_ROWS]
        ids, labels = repeated(random, tokenizer) if step < REPEATING else chats_to_read(random, tokenizer, hard)
        with torch.autocast("cpu", torch.bfloat16):
            general = model(input_ids=plain, labels=plain).loss
            read = model(input_ids=ids, labels=labels).loss
        (general + read).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps - 1:
            minutes = (time.monotonic() - started) / 60
            print(f"step {step} general {general.item():.3f} new {read.item():.3f} minutes {minutes:.1f}", flush=True)
        if step >= REPEATING and step % 200 == 199:
            shares = [right_answers(model, tokenizer, level) for level in (0.0, 1.0)]
            print(f"right on short and on long pages: {shares}", flush=True)
            save(model, tokenizer, options.out)
    save(model.bfloat16(), tokenizer, options.out)
    model = model.float()
    print(json.dumps({
        "minutes": round((time.monotonic() - started) / 60, 1),
        "general_perplexity": round(perplexity(model, tokenizer, held_out), 3),
        "right_on_short_pages": right_answers(model, tokenizer, 0.0),
        "right_on_long_pages": right_answers(model, tokenizer, 1.0),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
