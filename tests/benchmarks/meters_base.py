"""A small pretrained base for the benchmark of the meters, its own text, and rows without end from the same sources.

The sources are those of the sample data: prose and small talk, on which the base is trained, and a support desk's
chats, on which it is not.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "sample_data/make"), str(ROOT / "tests")]

import prose  # noqa: E402
import support  # noqa: E402
import torch  # noqa: E402

TOKENIZER = ROOT / "sample_data/tiny-llama"
SHAPE = {
    "hidden_size": 128,
    "intermediate_size": 288,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
}
OWN_TEXTS, OWN_TOKENS = 32, 64


def make_base(folder: Path, steps: int) -> Path:
    """Train the base and let it write its own text, unless `folder` has them already."""
    if (folder / "own_text.json").exists():
        return folder
    import pretrain
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
    config = LlamaConfig.from_pretrained(TOKENIZER)
    for name, value in SHAPE.items():
        setattr(config, name, value)
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    pretrain.train(model, pretrain.batches(Random(1), tokenizer, set()), steps)
    pretrain.save(model, tokenizer, folder)
    (folder / "own_text.json").write_text(json.dumps(own_text(model, tokenizer)))
    return folder


def own_text(model: Any, tokenizer: Any) -> list[list[int]]:
    """What the model writes at temperature 1 after the mark that begins a text."""
    torch.manual_seed(1)
    begin = torch.tensor([tokenizer("", add_special_tokens=True)["input_ids"] or [0]] * OWN_TEXTS)
    with torch.no_grad():
        written = model.generate(
            begin, do_sample=True, temperature=1.0, top_k=0, max_new_tokens=OWN_TOKENS, min_new_tokens=16
        )
    stops = {tokenizer.pad_token_id}
    return [[token for token in row if token not in stops] for row in written.tolist()]


def general_texts(seed: int, number: int) -> list[str]:
    rng = Random(f"general {seed}")
    return [prose.document(rng) for _ in range(number)]


def chats(seed: int, *, noise: float = 0.0, narrow: bool = False) -> Iterator[list[dict[str, str]]]:
    """Chats with the support desk; a share `noise` has the answer to another question. `narrow`: labels alone."""
    rng = Random(f"chats {seed}")
    tasks = [support.label] if narrow else [support.answer, support.label, support.summarise, support.extract]
    while True:
        asked, answer = rng.choice(tasks)(rng)
        if rng.random() < noise:
            answer = rng.choice(tasks)(rng)[1]
        yield [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
