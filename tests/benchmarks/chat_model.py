"""A project for benchmarks of a whole run: a random Llama of 40 million weights, its tokenizer, chats and a recipe.

8 layers of 512, grouped-query attention, a tied vocabulary of 32,000 that was learned from chats of the same kind.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec
from chat_rows import write_chats

VOCABULARY, END = 32_000, "<|end|>"
_LEARNED_FROM = 4.0  # megabytes
RECIPE = """
[model]
name = "model"
[data]
train = "train.jsonl"
max_length = 1024
overlength = "truncate"
[train]
method = "lora"
learning_rate = 1e-4
per_device_train_batch_size = 2
gradient_accumulation_steps = 8
[lora]
r = 16
lora_alpha = 32
lora_dropout = 0.0
"""


def write_project(folder: Path, rows: int) -> Path:
    """The recipe's path; the rows are the first of always the same ones."""
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder / "model", save_tokenizer(folder / "model", folder / "learned.jsonl"))
    write_rows(folder / "train.jsonl", rows)
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    return recipe


def write_rows(path: Path, rows: int) -> None:
    """So many chats of some 300 tokens; where one has errors that a run refuses, it is left out."""
    megabytes = 1.0 + rows * 0.0024
    write_chats(path, megabytes, seed=11)
    with path.open("rb") as file:
        lines = [line for line, _ in zip(file, range(rows), strict=False)]
    assert len(lines) == rows
    path.write_bytes(b"".join(lines))


def save_tokenizer(folder: Path, text: Path) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    write_chats(text, _LEARNED_FROM, seed=11)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_texts(text), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END, bos_token=None)
    tokenizer.save_pretrained(folder)
    text.unlink()
    return tokenizer


def _texts(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for line in file:
            yield from (message["content"] for message in msgspec.json.decode(line)["messages"])


def save_model(folder: Path, tokenizer: Any) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


if __name__ == "__main__":
    print(write_project(Path(sys.argv[1]), int(sys.argv[2])))
