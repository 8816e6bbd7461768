"""A GGUF file read back: the same tensors, tokens and template as were written, and the same token ids of prompts."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from finetui_core.data.template import Chat, Unrenderable, chat_of
from finetui_core.export.gguf_file import Gguf, expected, require_gguf
from finetui_core.export.gguf_tokens import Tokens, tokenizer_from
from finetui_core.export.prompts import Asked
from finetui_core.export.side import Read, conversation_of

_OPENING, _CLOSING = (
    re.compile(rf"(\{{%-?\s*){word}(\s*-?%\}})") for word in ("generation", "endgeneration")
)


def without_marks(template: str) -> str:
    """The template in words that llama.cpp's reader knows: what marks the answer becomes a condition that holds."""
    return _CLOSING.sub(r"\1endif\2", _OPENING.sub(r"\1if true\2", template))


def tokens_in(path: Path) -> tuple[Tokens, dict[str, Any]]:
    """The tokens of a file, and its template (`template`) and special tokens (`bos`, `eos`, `adds_bos`).

    `has_window` is whether it says how many tokens the model attends to.
    """
    reader = require_gguf().GGUFReader(path)

    def field(name: str, otherwise: Any = None) -> Any:
        found = reader.get_field(name)
        return otherwise if found is None else found.contents()

    def value(name: str, otherwise: Any = None) -> Any:
        return field(f"tokenizer.{name}", otherwise)

    tokens = Tokens(
        texts=value("ggml.tokens", []),
        types=value("ggml.token_type", []),
        merges=value("ggml.merges", []),
        pre=value("ggml.pre", "default"),
        is_exact=True,
    )
    facts = {
        "template": value("chat_template", ""),
        "bos": value("ggml.bos_token_id"),
        "eos": value("ggml.eos_token_id"),
        "adds_bos": bool(value("ggml.add_bos_token", False)),
        "has_window": field(f"{field('general.architecture')}.attention.sliding_window") is not None,
    }
    return tokens, facts


def tensors_differ(plan: Gguf, path: Path) -> str:
    """The first tensor of the file that is not what was to be written, in words; "" where all are."""
    there = {tensor.name: tensor for tensor in require_gguf().GGUFReader(path).tensors}
    if odd := sorted(there.keys() ^ set(plan.names.values())):
        return f"the tensor {odd[0]} is in one of them only"
    with plan.tensors.opened() as load:
        for name, other in plan.names.items():
            wanted = expected(plan, name, load(name))
            found = there[other].data
            if found.nbytes != wanted.nbytes or not np.array_equal(
                found.reshape(-1).view(np.uint8), wanted.reshape(-1).view(np.uint8)
            ):
                return f"the tensor {other} differs"
    return ""


def read_from(tokens: Tokens, facts: Mapping[str, Any], tokenizer: Any, asked: list[Asked]) -> list[Read]:
    """How the file's own template and tokens read the prompts; the start token is added where the file says so."""
    made = tokenizer_from(tokens)
    texts = dict(tokenizer.special_tokens_map)
    bos = tokens.texts[facts["bos"]] if facts["bos"] is not None else ""

    def ids(text: str) -> list[int]:
        given = text.removeprefix(bos) if facts["adds_bos"] and bos else text
        found: list[int] = made.encode(given, add_special_tokens=False).ids
        return [facts["bos"], *found] if facts["adds_bos"] and bos else found

    reads = []
    for one in asked:
        chat = chat_of(conversation_of(one), tokenizer, keep_rest=False)
        chat = Chat(facts["template"], chat.tools, chat.messages, texts)
        try:
            prompt, whole = chat.text(chat.messages[:-1], prompt=True), chat.text(chat.messages)
        except Unrenderable as error:
            reads.append(Read(one.name, refused=str(error)))
            continue
        reads.append(Read(one.name, prompt, ids(prompt), whole, ids(whole)))
    return reads
