"""The model, its tokenizer and the chats of a case, the same bytes for the same seed.

One word of a chat is one token, so that the lengths are exactly those of the distribution.
"""

import json
import math
import random
from pathlib import Path
from typing import Any

from cases import LONGEST, MODELS

WORDS = 30_000
UNKNOWN, PAD, END = "<unk>", "<pad>", "<|end|>"
HEADERS = ("System:", "User:", "Assistant:")
TURN = len(("User:", "Assistant:", END))  # tokens of a question and its answer beside their words
SHORTEST = 16  # tokens
LEARNED = 0.45  # the share of tokens that carry loss
TWO_TURNS = 0.22  # the share of chats with two questions, where the length allows it


def draw_length(chance: random.Random, name: str) -> int:
    """Tokens of one chat: "short" has a median of 60, "skewed" of 216 and a tenth above 645, "long" 700 to 1024."""
    if name == "short":
        return _clipped(chance.lognormvariate(math.log(60), 0.45), 200)
    if name == "skewed":
        return _clipped(chance.lognormvariate(math.log(216), math.log(645 / 216) / 1.2816), LONGEST)
    if name == "long":
        return chance.randint(700, LONGEST)
    raise ValueError(f"no distribution of lengths is called {name}")


def _clipped(length: float, longest: int) -> int:
    return min(longest, max(SHORTEST, round(length)))


def chats(length: str, count: int, seed: int) -> list[list[dict[str, str]]]:
    """So many chats, of which some have two questions with answers; words as rare as in a language (Zipf)."""
    chance = random.Random(f"{length}/{seed}")
    made = []
    for _ in range(count):
        tokens = draw_length(chance, length)
        turns = 2 if tokens > 4 * SHORTEST and chance.random() < TWO_TURNS else 1
        messages: list[dict[str, str]] = []
        for share in _shares(tokens, turns):
            answer = max(1, round((share - TURN) * LEARNED))
            messages.append({"role": "user", "content": _text(chance, share - TURN - answer)})
            messages.append({"role": "assistant", "content": _text(chance, answer)})
        made.append(messages)
    return made


def _shares(tokens: int, turns: int) -> list[int]:
    return [tokens // turns + (index < tokens % turns) for index in range(turns)]


def _text(chance: random.Random, words: int) -> str:
    drawn = (int(WORDS ** chance.random()) for _ in range(words))
    return " ".join(f"w{number}" for number in drawn)


def write_chats(path: Path, made: list[list[dict[str, str]]]) -> None:
    lines = (json.dumps({"messages": messages}) + "\n" for messages in made)
    path.write_text("".join(lines), encoding="utf-8")


def tokenizer_of(template: str) -> Any:
    """One token for each word, each header and each end of an answer."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [UNKNOWN, PAD, END, *HEADERS, *(f"w{number}" for number in range(WORDS + 1))]
    core = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token=UNKNOWN, pad_token=PAD, eos_token=END
    )
    tokenizer.chat_template = template
    return tokenizer


def save_model(folder: Path, name: str, template: str) -> None:
    """A random model of that shape with its tokenizer, in the layout of a hub download."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = tokenizer_of(template)
    tokens = {
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    torch.manual_seed(0)
    config = AutoConfig.for_model(**MODELS[name], **tokens)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
