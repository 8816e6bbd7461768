"""A byte-level BPE tokenizer as llama.cpp keeps it, and read back from there.

llama.cpp splits a text by a rule that it knows by name (`tokenizer.ggml.pre`) before it merges: a tokenizer with
another rule gives other tokens there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetui_core.data.model_files import read_json
from finetui_core.errors import InputError, Problem

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""Types of tokens (gguf.TokenType)."""
_MOST = 64 << 20
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPLITS = {
    _CONTRACTIONS + r"\p{N}{1,3}" + _REST: "llama-bpe",
    _CONTRACTIONS + r"\p{N}" + _REST: "qwen2",
}
"""What llama.cpp calls these expressions (src/llama-vocab.cpp)."""
_WAY_OUT = "Name llama.cpp's own converter: --converter convert_hf_to_gguf.py."


@dataclass(frozen=True, slots=True)
class Tokens:
    """`texts` and `types` by id; `is_exact` is False where llama.cpp has no rule like the tokenizer's own."""

    texts: Sequence[str]
    types: Sequence[int]
    merges: Sequence[str]
    pre: str
    is_exact: bool


def tokens_of(folder: Path, rows: int) -> Tokens:
    """The tokens of a checkpoint's tokenizer.json, with unused ones up to `rows`.

    Raises InputError for another kind of tokenizer.
    """
    path = folder / "tokenizer.json"
    value = read_json(path, _MOST)
    model = value.get("model") or {}
    if (
        model.get("type") != "BPE"
        or model.get("byte_fallback")
        or not _is_byte_level(value.get("pre_tokenizer"))
    ):
        what = "only byte-level BPE tokenizers, such as GPT-2's, are written here, and this is another kind"
        raise InputError(Problem(what, str(path), _WAY_OUT))
    added = {one["id"]: one for one in value.get("added_tokens") or []}
    by_id = {number: text for text, number in model["vocab"].items()} | {
        number: one["content"] for number, one in added.items()
    }
    texts, types = [], []
    for number in range(max(rows, max(by_id) + 1)):
        texts.append(by_id.get(number, f"[unused{number}]"))
        types.append(_type_of(number, by_id, added))
    merges = [one if isinstance(one, str) else " ".join(one) for one in model["merges"]]
    pre, is_exact = _pre_of(value["pre_tokenizer"])
    return Tokens(texts, types, merges, pre, is_exact)


def _type_of(number: int, known: Mapping[int, str], added: Mapping[int, Mapping[str, Any]]) -> int:
    if number not in known:
        return UNUSED
    if number in added:
        return CONTROL if added[number].get("special") else USER_DEFINED
    return NORMAL


def _parts(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, dict):
        return []
    return (
        [part for one in value["pretokenizers"] for part in _parts(one)]
        if value.get("type") == "Sequence"
        else [value]
    )


def _is_byte_level(value: Any) -> bool:
    return any(part.get("type") == "ByteLevel" for part in _parts(value))


def _pre_of(value: Any) -> tuple[str, bool]:
    """The name of the tokenizer's rule, and whether it is the very same."""
    parts = _parts(value)
    kinds = [part["type"] for part in parts]
    plain = not parts[-1].get("add_prefix_space") and kinds[-1] == "ByteLevel"
    if kinds == ["ByteLevel"] and parts[0].get("use_regex", True):
        return "gpt-2", plain
    if (
        kinds == ["Digits", "ByteLevel"]
        and parts[0].get("individual_digits")
        and parts[1].get("use_regex", True)
    ):
        return "smollm", plain
    if kinds == ["Split", "ByteLevel"] and not parts[1].get("use_regex", True):
        pattern = parts[0].get("pattern", {}).get("Regex", "")
        if pattern in _SPLITS:
            return _SPLITS[pattern], plain
    return "gpt-2", False


def tokenizer_from(tokens: Tokens) -> Any:
    """A tokenizer that splits and merges as llama.cpp does with these tokens (a tokenizers.Tokenizer)."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers

    vocabulary = {text: number for number, text in enumerate(tokens.texts)}
    merges = [(first, second) for first, _, second in (one.partition(" ") for one in tokens.merges)]
    made = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=tokens.pre == "llama-bpe"))
    byte_level = pre_tokenizers.ByteLevel
    pattern = next((one for one, name in _SPLITS.items() if name == tokens.pre), None)
    if pattern is not None:
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        made.pre_tokenizer = pre_tokenizers.Sequence(
            [split, byte_level(add_prefix_space=False, use_regex=False)]
        )
    elif tokens.pre == "smollm":
        digits = pre_tokenizers.Digits(individual_digits=True)
        made.pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level(add_prefix_space=False)])
    else:
        made.pre_tokenizer = byte_level(add_prefix_space=False)
    for number, kind in enumerate(tokens.types):
        if kind in (CONTROL, USER_DEFINED):
            made.add_special_tokens([AddedToken(tokens.texts[number], normalized=False, special=True)])
    return made
