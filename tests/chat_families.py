"""Families of chat models, each written from its documentation: a template and the special tokens of its tokenizer.

The tokenizers split a text where a hand can: at special tokens, before each word (which keeps the one space in front
of it), and around line breaks.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

TEMPLATES = Path(__file__).with_name("chat_templates")
WORDS = [
    *("hello", " hello", " there", "good", " good", " day", "two", " two", "yes", " yes", "be", " brief"),
    *(
        "user",
        "assistant",
        "system",
        "model",
        "\n",
        "\n\n",
        " ",
        "[INST]",
        " [/INST]",
        " <<SYS>>",
        "<</SYS>>",
    ),
    *("<|user|>", "<|assistant|>", "<|system|>", "###", " Instruction:", " Response:"),
]


@dataclass(frozen=True)
class Family:
    """`bos` is None where the model has no start token; `adds_bos`: its tokenizer puts one before every text."""

    template: str
    bos: str | None
    eos: str
    others: tuple[str, ...] = ()
    adds_bos: bool = False


FAMILIES = {
    "llama_2": Family("llama_2", "<s>", "</s>", adds_bos=True),
    "llama_3": Family(
        "llama_3",
        "<|begin_of_text|>",
        "<|eot_id|>",
        ("<|start_header_id|>", "<|end_header_id|>", "<|end_of_text|>"),
        adds_bos=True,
    ),
    "mistral": Family("mistral", "<s>", "</s>", ("[INST]", "[/INST]"), adds_bos=True),
    "chatml": Family("chatml", None, "<|im_end|>", ("<|im_start|>", "<|endoftext|>")),
    "gemma": Family("gemma", "<bos>", "<eos>", ("<start_of_turn>", "<end_of_turn>"), adds_bos=True),
    "phi_3": Family("phi_3", None, "<|endoftext|>", ("<|end|>", "<|user|>", "<|assistant|>", "<|system|>")),
    "zephyr": Family("zephyr", "<s>", "</s>", adds_bos=True),
    "alpaca": Family("alpaca", "<s>", "</s>", adds_bos=True),
}


@cache
def tokenizer_of(name: str) -> Any:
    """The family's tokenizer with its template; words it does not know are <unk>."""
    return build(FAMILIES[name], (TEMPLATES / f"{FAMILIES[name].template}.jinja").read_text())


def build(family: Family, template: str, *, words: tuple[str, ...] = ()) -> Any:
    special = [*([family.bos] if family.bos else []), family.eos, *family.others]
    vocabulary = dict.fromkeys(["<unk>", *special, *WORDS, *words])
    core = Tokenizer(models.WordLevel({token: index for index, token in enumerate(vocabulary)}, "<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"\n+| ?[^\s]+|\s"), "isolated")
    core.decoder = decoders.Fuse()
    if family.adds_bos:
        core.post_processor = processors.TemplateProcessing(
            single=f"{family.bos} $A", special_tokens=[(family.bos, [*vocabulary].index(family.bos))]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=family.bos,
        eos_token=family.eos,
        unk_token="<unk>",
        additional_special_tokens=list(family.others),
    )
    tokenizer.chat_template = template
    return tokenizer
