"""Rows → token ids with a loss mask.

The conversation is rendered whole, as the model will see it, and tokenised once, without adding start or end
tokens: the template has those the model wants. A token is learned if it begins inside a span of
`spans.learned_spans`: one that begins before it also holds characters that the model is given. A turn's end
token is always learned, also where the template's marks leave it out, and the last answer always ends in one:
a model that never learned to stop goes on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetui_core.data.conversation import Conversation, Row, TextDocument
from finetui_core.data.spans import learned_spans
from finetui_core.data.template import (
    Span,
    Unrenderable,
    chat_of,
    ensure_template,
    learned_spans_of,
    own_bos,
    prompt_ids,
    template_of,
)
from finetui_core.errors import InputError, Problem

__all__ = ["Example", "ensure_template", "render", "renderer", "template_of"]


@dataclass(frozen=True, slots=True)
class Example:
    """One row as the trainer needs it, both arrays [tokens]; `mask` says which tokens are learned."""

    ids: NDArray[np.int32]
    mask: NDArray[np.bool_]
    source: str


Pieces = Callable[[], list[str]]
"""Makes the pieces of text of a row's tokens, in order; joined they are the rendered text."""

TEMPLATE_REFUSES = "the chat template cannot show this row: "


@dataclass(frozen=True, slots=True)
class _Facts:
    """What does not change from row to row. Tokens are given by id."""

    tokenizer: Any
    bos: int | None  # None where the tokenizer puts no such token before a text
    eos: int | None
    special: frozenset[int]
    headers: frozenset[int]  # special tokens of the prompt that asks for an answer: they never end a turn
    trims_spaces: bool  # offsets leave out the space that a token begins with


@dataclass(frozen=True, slots=True)
class _Encoded:
    """A text and its tokens: ids, and the characters where each begins and ends, all [tokens]."""

    text: str
    ids: NDArray[np.int32]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]

    def is_blank(self, index: int) -> bool:
        return not self.text[self.begins[index] : self.ends[index]].strip()

    def pieces(self) -> list[str]:
        """The text, cut where the tokens end; of tokens that share a character the first has it."""
        pieces: list[str] = []
        done = 0
        for end in self.ends.tolist():
            pieces.append(self.text[done : max(done, end)])
            done = max(done, end)
        if pieces:
            pieces[-1] += self.text[done:]
        return pieces


def renderer(tokenizer: Any, train_on: str) -> Callable[[Row], Example | Problem]:
    """The function that renders a row; `train_on` is "assistant", "last" (assistant turn) or "all".

    Chats need a template (see `ensure_template`). A row the template cannot show comes back as a Problem.
    Text documents are learned whole, between the tokenizer's start token, if it sets one, and its end token.
    Raises InputError for a slow tokenizer, which cannot say where in the text a token stands.
    """
    render_pieces = piece_renderer(tokenizer, train_on)

    def render_row(row: Row) -> Example | Problem:
        rendered = render_pieces(row)
        return rendered if isinstance(rendered, Problem) else rendered[0]

    return render_row


def piece_renderer(tokenizer: Any, train_on: str) -> Callable[[Row], tuple[Example, Pieces] | Problem]:
    """As `renderer`, which is made of it, with the piece of text that each token stands for."""
    _require_fast(tokenizer)
    facts = _facts(tokenizer)

    def render_row(row: Row) -> tuple[Example, Pieces] | Problem:
        if isinstance(row, TextDocument):
            return _text_example(row, _tokenized(row.text, facts), facts)
        try:
            text, spans = learned_spans(chat_of(row, tokenizer, keep_rest=train_on == "all"), train_on)
        except Unrenderable as error:
            return _refused(row, error)
        return _chat_example(row, _tokenized(text, facts), spans, facts, train_on)

    return render_row


def _require_fast(tokenizer: Any) -> None:
    if not getattr(tokenizer, "is_fast", False):
        raise InputError(
            Problem(
                "the tokenizer is a slow one: it cannot say which characters a token stands for",
                type(tokenizer).__name__,
                "Use a model that has a tokenizer.json.",
            )
        )


def _refused(row: Row, error: Unrenderable) -> Problem:
    return Problem(
        f"{TEMPLATE_REFUSES}{error}",
        row.source,
        "Mend the row, or give another template in model.chat_template.",
    )


@dataclass(frozen=True, slots=True)
class Rendered:
    """Rows on their way to tokens: for each its text with the learned spans, or why there is none."""

    rows: tuple[Row, ...]
    texts: tuple[tuple[str, list[Span]] | Unrenderable, ...]


class BatchRenderer:
    """What `renderer` does, for many rows at once and in steps that can overlap.

    `texts` waits for the process that renders templates, `encode` for the tokenizer's own threads, which need no
    interpreter meanwhile; `finish` makes the rows of both.
    """

    def __init__(self, tokenizer: Any, train_on: str) -> None:
        _require_fast(tokenizer)
        self._facts, self._train_on = _facts(tokenizer), train_on

    def texts(self, rows: Sequence[Row]) -> Rendered:
        chats = [row for row in rows if isinstance(row, Conversation)]
        shown = iter(
            learned_spans_of(
                [chat_of(row, self._facts.tokenizer, keep_rest=self._train_on == "all") for row in chats],
                self._train_on,
            )
        )
        texts = tuple(next(shown) if isinstance(row, Conversation) else (row.text, []) for row in rows)
        return Rendered(tuple(rows), texts)

    def encode(self, rendered: Rendered) -> list[tuple[Sequence[int], Sequence[tuple[int, int]]]]:
        """Ids and offsets of the rows that have a text, in order; no start or end token is added."""
        texts = [text[0] for text in rendered.texts if not isinstance(text, Unrenderable)]
        if not texts:
            return []
        tokens = self._facts.tokenizer(
            texts,
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return list(zip(tokens["input_ids"], tokens["offset_mapping"], strict=True))

    def finish(
        self, rendered: Rendered, encodings: Sequence[tuple[Sequence[int], Sequence[tuple[int, int]]]]
    ) -> list[Example | Problem]:
        """Each row as `renderer` gives it."""
        waiting = iter(encodings)
        return [
            _refused(row, text)
            if isinstance(text, Unrenderable)
            else self._example(row, text, *next(waiting))
            for row, text in zip(rendered.rows, rendered.texts, strict=True)
        ]

    def _example(
        self,
        row: Row,
        text: tuple[str, list[Span]],
        ids: Sequence[int],
        offsets: Sequence[tuple[int, int]],
    ) -> Example:
        encoded = _encoded(text[0], ids, offsets, self._facts)
        if isinstance(row, TextDocument):
            return _text_example(row, encoded, self._facts)[0]
        return _chat_example(row, encoded, text[1], self._facts, self._train_on)[0]


def render(row: Row, tokenizer: Any, train_on: str) -> Example | Problem:
    """Render one row; see `renderer`, which is faster for many."""
    return renderer(tokenizer, train_on)(row)


def special_ids(tokenizer: Any) -> frozenset[int]:
    """The tokens that mean something to the model beyond their text: starts, ends, headers."""
    marked = {token_id for token_id, token in tokenizer.added_tokens_decoder.items() if token.special}
    return frozenset(marked | set(tokenizer.all_special_ids))


def _facts(tokenizer: Any) -> _Facts:
    special = special_ids(tokenizer)
    headers = special & frozenset(prompt_ids(tokenizer))
    return _Facts(
        tokenizer, own_bos(tokenizer), tokenizer.eos_token_id, special, headers, _trims_spaces(tokenizer)
    )


def _trims_spaces(tokenizer: Any) -> bool:
    """Whether byte-level tokens that stand for " b" are said to begin at "b"."""
    probe = tokenizer("a b", add_special_tokens=False, return_offsets_mapping=True)
    starts = [start for start, _ in probe["offset_mapping"]]
    return any(
        token.startswith("Ġ") and "a b"[start : start + 1] != " "
        for token, start in zip(probe.tokens(), starts, strict=True)
    )


def _text_example(row: TextDocument, encoded: _Encoded, facts: _Facts) -> tuple[Example, Pieces]:
    ids = encoded.ids
    start = [] if facts.bos is None or ids[:1].tolist() == [facts.bos] else [facts.bos]
    end = [] if facts.eos is None or ids[-1:].tolist() == [facts.eos] else [facts.eos]
    whole = np.array([*start, *ids.tolist(), *end], dtype=np.int32)
    return Example(whole, _all_but_bos(whole, facts), row.source), lambda: [
        *facts.tokenizer.convert_ids_to_tokens(start),
        *encoded.pieces(),
        *facts.tokenizer.convert_ids_to_tokens(end),
    ]


def _chat_example(
    row: Conversation, encoded: _Encoded, spans: Sequence[Span], facts: _Facts, train_on: str
) -> tuple[Example, Pieces]:
    if train_on == "all":
        mask = _all_but_bos(encoded.ids, facts)
    else:
        mask = np.zeros(len(encoded.ids), dtype=bool)
        for span in spans:
            mask |= _learned_turn(encoded, span, facts)
    return _closed(encoded, mask, row.source, facts)


def _tokenized(text: str, facts: _Facts) -> _Encoded:
    """The tokens of a text; no start or end token is added."""
    tokens = facts.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return _encoded(text, tokens["input_ids"], tokens["offset_mapping"], facts)


def _encoded(text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]], facts: _Facts) -> _Encoded:
    flat = np.fromiter(chain.from_iterable(offsets), dtype=np.int64, count=2 * len(ids)).reshape(-1, 2)
    begins, ends = flat[:, 0], flat[:, 1]
    if facts.trims_spaces:
        begins = np.minimum(begins, np.concatenate([[0], ends])[: len(ends)])
    return _Encoded(text, np.array(ids, dtype=np.int32), begins, ends)


def _learned_turn(encoded: _Encoded, span: Span, facts: _Facts) -> NDArray[np.bool_]:
    """The tokens of one turn, to its end token and not beyond it.

    The end token may be inside the span, with white space after it, or follow the span, where the marks left
    it out.
    """
    mask = (encoded.begins >= span[0]) & (encoded.begins < span[1])
    inside = np.flatnonzero(mask)
    if not len(inside):
        return mask
    last, stop = int(inside[-1]), int(inside[-1]) + 1
    while last > inside[0] and encoded.is_blank(last):
        last -= 1
    if encoded.ids[last] in facts.special:
        mask[last + 1 :] = False
        return mask
    following = stop
    while following < len(mask) and encoded.is_blank(following):
        following += 1
    if following < len(mask) and _ends_turn(int(encoded.ids[following]), facts):
        mask[stop : following + 1] = True
    return mask


def _ends_turn(token: int, facts: _Facts) -> bool:
    if token == facts.eos:
        return True
    return token in facts.special and token not in facts.headers and token != facts.tokenizer.bos_token_id


def _closed(encoded: _Encoded, mask: NDArray[np.bool_], source: str, facts: _Facts) -> tuple[Example, Pieces]:
    """Add the end token, learned, where the text ends in an answer that no special token closes."""
    last = len(mask) - 1
    while last >= 0 and encoded.is_blank(last):
        last -= 1
    if facts.eos is None or last < 0 or not mask[last] or encoded.ids[last] in facts.special:
        return Example(encoded.ids, mask, source), encoded.pieces
    mask[last:] = True
    closed = Example(np.append(encoded.ids, np.int32(facts.eos)), np.append(mask, True), source)
    return closed, lambda: [*encoded.pieces(), *facts.tokenizer.convert_ids_to_tokens([facts.eos])]


def _all_but_bos(ids: NDArray[np.int32], facts: _Facts) -> NDArray[np.bool_]:
    mask = np.ones(len(ids), dtype=bool)
    if ids[:1].tolist() == [facts.tokenizer.bos_token_id]:
        mask[0] = False
    return mask
