"""Answers in a conversation as they come, by the untrained and the tuned weights in turn.

The tokens that a side has read are kept with their keys and values: of a conversation that goes on, only the new
turn is read. What is kept never changes what is asked: where the tokens of a prompt are others from some place on,
as after a turn was left out, reading begins again there.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from finetui_core.data.template import Unrenderable
from finetui_core.evaluate.chat_protocol import (
    SIDES,
    Answered,
    Ended,
    Fault,
    Piece,
    Sampling,
    Shown,
    Side,
    Turn,
)
from finetui_core.evaluate.engine import Loaded, autocast_of, load, weights_of
from finetui_core.evaluate.figures import Prompt, TestRow
from finetui_core.evaluate.rendering import Rendered, prompt_renderer, prompt_text, text_ids, turn_ends
from finetui_core.evaluate.sampling import chooser
from finetui_core.evaluate.token_text import TokenText
from finetui_core.recipe.options import Recipe
from finetui_core.train.attention import attention
from finetui_core.train.evaluation import inference
from finetui_core.train.generate import end_tokens
from finetui_core.train.greedy import arguments_of
from finetui_core.train.model import causal_model
from finetui_core.train.shortage import free_cached, shortage_of

SLICE_SECONDS = 0.2
"""One side goes on for so long before the other does: changing the weights costs a few milliseconds."""
TOKENS_READ = {"cpu": 512}
"""Tokens of a prompt that are read in one pass, between two looks whether to stop."""
_TOKENS_ON_GPU = 4_096


@dataclass(slots=True)
class Kept:
    """The tokens that a side has read, and their keys and values."""

    ids: list[int] = field(default_factory=list)
    cache: Any = None

    def forget(self) -> None:
        self.ids, self.cache = [], None


@dataclass(frozen=True, slots=True)
class Chat:
    """A model to talk to. `loaded` holds one model for both sides, or two of full fine-tuning; `ends` are the tokens
    that end an answer."""

    loaded: Mapping[Side, Loaded]
    ends: frozenset[int]
    kept: Mapping[Side, Kept]

    @property
    def tokenizer(self) -> Any:
        return next(iter(self.loaded.values())).tokenizer

    @property
    def context(self) -> int | None:
        """Tokens that a conversation has at most, with its answer."""
        return next(iter(self.loaded.values())).context


def open_chat(
    recipe: Recipe, checkpoint: Path | None, sides: Sequence[Side], device: torch.device | None = None
) -> Chat:
    """Load what the sides need; takes seconds to minutes. Raises InputError, and OSError where a file goes."""
    if recipe.train.method == "full":
        loaded = {side: load(recipe, checkpoint, device, side) for side in sides}
    else:
        loaded = dict.fromkeys(sides, load(recipe, checkpoint, device))
    chat = Chat(loaded, frozenset(), {side: Kept() for side in sides})
    ends = end_tokens(causal_model(_model(chat, sides[0])), chat.tokenizer)
    return replace(chat, ends=frozenset({*ends, *_turn_ends(chat.tokenizer)}))


def _turn_ends(tokenizer: Any) -> set[int]:
    """The tokens that end an answer in this template."""
    asked = ({"role": "user", "content": "a"},)
    rendered = prompt_renderer(tokenizer)(Prompt(0, asked), TestRow(0, "", asked, "b"))
    return turn_ends([rendered], tokenizer) if isinstance(rendered, Rendered) else set()


def answers(
    chat: Chat,
    number: int,
    conversations: Mapping[Side, Sequence[Turn]],
    sampling: Sampling,
    stopped: Callable[[], bool],
) -> Iterator[Piece | Answered]:
    """What each side answers to its conversation, in pieces as they come, and at last its Answered.

    Sides take turns, with the same seed each. Once `stopped` says so, what there is becomes the answer.
    """
    began = time.monotonic()
    going = {
        side: _stream(chat, number, side, conversations[side], sampling, stopped, began)
        for side in SIDES
        if side in conversations
    }
    while going:
        for side in tuple(going):
            with _weights(chat, side):
                until = time.monotonic() + SLICE_SECONDS
                for said in going[side]:
                    if said is not None:
                        yield said
                    if isinstance(said, Answered):
                        del going[side]
                        break
                    if len(going) > 1 and time.monotonic() > until:
                        break


@contextmanager
def _weights(chat: Chat, side: Side) -> Iterator[None]:
    loaded = chat.loaded[side]
    with weights_of(loaded, side) as (model, _), autocast_of(loaded), inference(model):
        inner = causal_model(model)
        with attention(inner, inner.config._attn_implementation):
            yield


def _model(chat: Chat, side: Side) -> Any:
    (model, _), *_ = chat.loaded[side].held.values()
    return model


def _stream(
    chat: Chat,
    number: int,
    side: Side,
    turns: Sequence[Turn],
    sampling: Sampling,
    stopped: Callable[[], bool],
    began: float,
) -> Iterator[Piece | Answered | None]:
    """One side's answer; None where a token adds nothing to be shown. To be gone on with inside `_weights`."""
    answer = Answered(number, side, "", "error")
    shortage = False
    try:
        ids = text_ids(prompt_text(_messages(turns), chat.tokenizer), chat.tokenizer)
        answer = msgspec.structs.replace(answer, prompt_tokens=len(ids))
        if unfit := _unfit(len(ids), chat.context):
            yield msgspec.structs.replace(answer, fault=unfit[0], error=unfit[1])
            return
        yield from _tokens(chat, side, ids.tolist(), sampling, stopped, began, answer)
        return
    except Unrenderable as error:
        what = f"the chat template cannot show this conversation: {error}"
        answer = msgspec.structs.replace(answer, fault="template", error=what)
    except (RuntimeError, MemoryError) as error:
        shortage = shortage_of(error) is not None
        if not shortage:
            raise
    if shortage:  # outside of `except`, which would keep the tensors of the failed pass
        for kept in chat.kept.values():
            kept.forget()
        free_cached()
        answer = msgspec.structs.replace(
            answer, fault="memory", error="memory does not suffice for this answer"
        )
    yield answer


def _messages(turns: Sequence[Turn]) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def _unfit(tokens: int, context: int | None) -> tuple[Fault, str] | None:
    if not tokens:
        return "template", "the chat template makes nothing of this conversation"
    if context is not None and tokens >= context:
        what = (
            f"the conversation has {tokens:,} tokens, and the model reads at most {context:,} with the answer"
        )
        return "context", what
    return None


def _tokens(
    chat: Chat,
    side: Side,
    prompt: list[int],
    sampling: Sampling,
    stopped: Callable[[], bool],
    began: float,
    answer: Answered,
) -> Iterator[Piece | Answered | None]:
    choose, text = chooser(sampling), TokenText(chat.tokenizer)
    room = sampling.max_new_tokens if chat.context is None else chat.context - len(prompt)
    limit = min(sampling.max_new_tokens, room)
    kept = chat.kept[side]
    reader = _Reader(causal_model(_model(chat, side)), kept)
    cached = reader.begin(prompt)
    ids: list[int] = []
    first = 0.0
    ended: Ended = "stopped"
    fault: Fault = ""
    scores = None
    for scores in reader.read_prompt(prompt):
        if stopped():
            scores = None
            break
        if len(kept.ids) < len(prompt):
            yield None
    while scores is not None:
        token = choose(scores)
        first = first or time.monotonic() - began
        if token in chat.ends:
            ended = "end"
            break
        ids.append(token)
        piece = text.add(token)
        yield Piece(answer.number, side, piece) if piece else None
        if len(ids) >= limit:
            ended, fault = "length", "context" if limit < sampling.max_new_tokens else ""
            break
        if stopped():
            break
        scores = reader.read(ids[-1:])
    if rest := text.rest():
        yield Piece(answer.number, side, rest)
    yield msgspec.structs.replace(
        answer,
        text=chat.tokenizer.decode(ids, skip_special_tokens=True).strip(),
        ended=ended,
        cached=cached,
        new_tokens=len(ids),
        first_seconds=first,
        seconds=time.monotonic() - began,
        fault=fault,
    )


class _Reader:
    """Reads tokens after those that are kept. A model without keys and values to keep reads all of them each time."""

    def __init__(self, model: Any, kept: Kept) -> None:
        self._model, self._kept = model, kept
        accepted = arguments_of(model)
        self._has_cache = "past_key_values" in accepted
        self._has_positions = "position_ids" in accepted
        self._more = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}
        self._device = model.get_input_embeddings().weight.device

    def begin(self, prompt: list[int]) -> int:
        """Forget what is no beginning of `prompt`; the tokens that stay. One at least is left to be read."""
        kept = self._kept
        same = _common(kept.ids, prompt[:-1])
        if not self._has_cache:
            same = 0
        if same < len(kept.ids):
            cache, gone = kept.cache, len(kept.ids) - same
            ids = kept.ids[:same]
            kept.forget()
            if same and _is_cropped(cache, gone):
                kept.ids, kept.cache = ids, cache
        return len(kept.ids)

    def read_prompt(self, prompt: list[int]) -> Iterator[torch.Tensor]:
        """The scores after each pass over a part of what is left of `prompt`; the last are those of its end."""
        size = TOKENS_READ.get(self._device.type, _TOKENS_ON_GPU) if self._has_cache else len(prompt)
        for start in range(len(self._kept.ids), len(prompt), size):
            yield self.read(prompt[start : start + size])

    def read(self, ids: list[int]) -> torch.Tensor:
        """The scores [vocabulary] of what comes after `ids`."""
        kept = self._kept
        seen, cache, before = len(kept.ids), kept.cache, kept.ids
        kept.forget()  # where the pass fails, keys and values are of no use
        given = ids if self._has_cache else before + ids
        start = seen if self._has_cache else 0
        positions = torch.arange(start, start + len(given), device=self._device)[None]
        output = self._model(
            input_ids=torch.tensor([given], device=self._device),
            **({"past_key_values": cache, "use_cache": True} if self._has_cache else {}),
            **({"position_ids": positions} if self._has_positions else {}),
            **self._more,
        )
        kept.ids = before + ids
        kept.cache = output.past_key_values if self._has_cache else None
        scores: torch.Tensor = output.logits[0, -1]
        return scores


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences share at their beginning."""
    size = min(len(one), len(other))
    differs = np.flatnonzero(np.asarray(one[:size]) != np.asarray(other[:size]))
    return int(differs[0]) if len(differs) else size


def _is_cropped(cache: Any, tokens: int) -> bool:
    """Take the last tokens out; False for a cache that cannot, such as one of a sliding window that has slid."""
    try:
        cache.crop(-tokens)
    except (RuntimeError, ValueError, AttributeError, NotImplementedError):
        return False
    return True


def shown(chat: Chat, number: int, turns: Sequence[Turn]) -> Shown:
    """A conversation as the model reads it."""
    try:
        text = prompt_text(_messages(turns), chat.tokenizer)
    except Unrenderable as error:
        return Shown(number, "", (), f"the chat template cannot show this conversation: {error}")
    tokens = chat.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ends = [end for _, end in tokens["offset_mapping"]]
    pieces, done = [], 0
    for end in ends:  # of tokens that share a character, the first has it
        pieces.append(text[done : max(done, end)])
        done = max(done, end)
    return Shown(number, text, tuple(zip(tokens["input_ids"], pieces, strict=True)))
