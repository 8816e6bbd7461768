"""Special tokens of a model: where they stand twice, where one is missing, and where the data itself writes one."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetui_core.data.check.findings import Hit
from finetui_core.data.conversation import Conversation, Row
from finetui_core.data.render import special_ids
from finetui_core.data.template import own_bos

_AROUND = 30  # characters of an excerpt on each side of the token


@dataclass(frozen=True, slots=True)
class Specials:
    """What a tokenizer's special tokens are, by id. `start` is None where it puts none before a text."""

    tokenizer: Any
    start: int | None
    bos: int | None
    eos: int | None
    ids: frozenset[int]
    written: re.Pattern[str] | None  # any of them, as a text writes it


def specials_of(tokenizer: Any) -> Specials:
    start, end, unknown = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id
    ids = special_ids(tokenizer)
    if unknown not in (start, end):  # GPT-2 has one token for all three
        ids -= {unknown}
    names = sorted(map(tokenizer.convert_ids_to_tokens, ids), key=len, reverse=True)
    written = re.compile("|".join(map(re.escape, names))) if names else None
    return Specials(tokenizer, own_bos(tokenizer), start, end, ids, written)


def ends_learned(ids: NDArray[np.int32], mask: NDArray[np.bool_], specials: Specials) -> bool:
    """Whether the last token that is learned, white space aside, is one that ends a turn."""
    for index in reversed(np.flatnonzero(mask).tolist()):
        if int(ids[index]) in specials.ids:
            return True
        if specials.tokenizer.decode([int(ids[index])]).strip():
            return False
    return False


def doubled(ids: NDArray[np.int32], mask: NDArray[np.bool_], specials: Specials) -> int | None:
    """The start, the end or the end-of-turn token that stands twice in a row, or None.

    Where one token is both start and end, a text that ends is rightly followed by one that starts: only two
    of them at the very start are doubled.
    """
    twice = ids[:-1][ids[:-1] == ids[1:]].tolist()
    if not twice:
        return None
    if specials.bos is not None and specials.bos == specials.eos:
        return specials.bos if ids[0] == ids[1] == specials.bos else None
    learned = ids[mask].tolist()
    last = next((token for token in reversed(learned) if token in specials.ids), None)
    wrong = {specials.bos, specials.eos, last} - {None}
    return next((token for token in twice if token in wrong), None)


def misses_start(ids: NDArray[np.int32], specials: Specials) -> bool:
    return specials.start is not None and ids[:1].tolist() != [specials.start]


def written_specials(row: Row, specials: Specials) -> list[Hit]:
    """The places where the row's own text holds a special token that the tokenizer turns into the real one.

    A document may begin with the start token and end with the end token.
    """
    if specials.written is None:
        return []
    hits = []
    for path, text in _texts(row):
        found = specials.written.search(text)
        if found is None:
            continue
        tokens = specials.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        if not isinstance(row, Conversation):
            tokens = tokens[tokens[:1] == [specials.bos] :]
            tokens = tokens[: len(tokens) - (tokens[-1:] == [specials.eos])]
        real = next((token for token in tokens if token in specials.ids), None)
        if real is not None:
            hits.append(
                Hit("special_in_text", path, _excerpt(text, specials.tokenizer.convert_ids_to_tokens(real)))
            )
    return hits


def _texts(row: Row) -> Iterator[tuple[str, str]]:
    if not isinstance(row, Conversation):
        yield "$.text", row.text
        return
    for index, message in enumerate(row.messages):
        yield f"$.messages[{index}].content", message.content
        if message.tool_calls:
            yield f"$.messages[{index}].tool_calls", json.dumps(message.tool_calls, ensure_ascii=False)
    if row.tools:
        yield "$.tools", json.dumps(row.tools, ensure_ascii=False)


def _excerpt(text: str, token: str) -> str:
    place = max(0, text.find(token))
    return text[max(0, place - _AROUND) : place + len(token) + _AROUND][:80]
