"""Pretrain the tiny model on generated text and write it to tiny-llama/.

    python sample_data/make/pretrain.py [--steps 1700] [--out FOLDER]

One thread, about 18 minutes. The seed is fixed, so a second run gives the same quality; weights can differ in
their last bits from machine to machine.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import torch
from prose import document, general_lines
from small_talk import conversation, tool_conversation
from tokenizer import BOS, CONTEXT, END, EOS, PAD, train_tokenizer
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

OUT = Path(__file__).parent.parent / "tiny-llama"
SEED = 1
SEQUENCE = 256
BATCH = 16
LEARNING_RATE = 3e-3
CHAT_SHARE = 0.55
TOOL_SHARE = 0.01


def texts(rng: Random, tokenizer: PreTrainedTokenizerFast | None, held_out: set[str]) -> Iterator[str]:
    """Prose and chats without end, as the model reads them; without a tokenizer, chats come unmarked."""
    while True:
        kind = rng.random()
        if kind >= CHAT_SHARE + TOOL_SHARE:
            text = document(rng)
            if text not in held_out:
                yield f"{BOS}{text}{EOS}" if tokenizer else text
            continue
        messages, tools = tool_conversation(rng) if kind < TOOL_SHARE else (conversation(rng), None)
        if tokenizer:
            yield tokenizer.apply_chat_template(messages, tools=tools, tokenize=False)
        else:
            yield "\n".join(message["content"] for message in messages)


def batches(rng: Random, tokenizer: PreTrainedTokenizerFast, held_out: set[str]) -> Iterator[torch.Tensor]:
    """Token ids, BATCH x SEQUENCE, cut from the stream of texts without gaps."""
    source = texts(rng, tokenizer, held_out)
    stream: list[int] = []
    while True:
        while len(stream) < BATCH * SEQUENCE:
            stream += tokenizer(next(source), add_special_tokens=False)["input_ids"]
        yield torch.tensor(stream[: BATCH * SEQUENCE]).view(BATCH, SEQUENCE)
        stream = stream[BATCH * SEQUENCE :]


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Random weights, 3.2 million."""
    torch.manual_seed(SEED)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=576,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.convert_tokens_to_ids(BOS),
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
        pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
    ))  # fmt: skip
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.convert_tokens_to_ids(BOS),
        eos_token_id=tokenizer.convert_tokens_to_ids([END, EOS]),
        pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
    )
    return model


def train(model: LlamaForCausalLM, data: Iterator[torch.Tensor], steps: int) -> None:
    """AdamW, 5% warm-up, cosine to a twentieth, gradient norm 1, bfloat16 arithmetic."""
    warmup = max(1, steps // 20)
    decayed = [weight for weight in model.parameters() if weight.dim() > 1]
    kept = [weight for weight in model.parameters() if weight.dim() == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": kept, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, LEARNING_RATE, betas=(0.9, 0.95), fused=True)
    started = time.monotonic()
    for step in range(steps):
        cosine = 0.525 + 0.475 * math.cos(math.pi * step / steps)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min((step + 1) / warmup, cosine)
        ids = next(data)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps - 1:
            print(f"step {step} loss {loss.item():.3f} minutes {(time.monotonic() - started) / 60:.1f}", flush=True)


def perplexity(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, lines: list[str]) -> float:
    """exp of the mean loss per token, each line by itself after <|bos|>."""
    total, count = 0.0, 0
    with torch.no_grad():
        for line in lines:
            ids = torch.tensor([tokenizer(line)["input_ids"]])
            predicted = ids.shape[1] - 1
            total += model(input_ids=ids, labels=ids).loss.item() * predicted
            count += predicted
    return math.exp(total / count)


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the folder; weights are kept in bfloat16 to be small, and the config asks for float32 when they load."""
    model.save_pretrained(folder)
    config = LlamaConfig.from_pretrained(folder)
    config.dtype = "float32"
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1700)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    held_out = general_lines()
    plain = texts(Random(SEED), None, set(held_out))
    tokenizer = train_tokenizer(next(plain) for _ in range(20_000))
    model = new_model(tokenizer)
    started = time.monotonic()
    train(model, batches(Random(SEED + 1), tokenizer, set(held_out)), options.steps)
    minutes = (time.monotonic() - started) / 60
    save(model.bfloat16(), tokenizer, options.out)
    print(json.dumps({
        "parameters": model.num_parameters(),
        "minutes": round(minutes, 1),
        "tokens": options.steps * BATCH * SEQUENCE,
        "general_perplexity": round(perplexity(model.float(), tokenizer, held_out), 3),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
