"""Greedy answers to many prompts at once: left-padded batches, the cache, and rows that leave when they end."""

import inspect
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from finetui_core.train.attention import attention
from finetui_core.train.evaluation import inference
from finetui_core.train.model import causal_model
from finetui_core.train.shortage import free_cached, shortage_of

LEAVING = 0.25
"""The share of a batch that has ended before it is taken out: that copies the cache once more."""


@dataclass(frozen=True, slots=True)
class Generated:
    """The tokens of one answer without the one that ended it; `ended` is False where the limit did."""

    ids: list[int]
    ended: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """Prompts that were answered together, by number. An answer is None where memory does not suffice for its
    prompt alone."""

    numbers: list[int]
    answers: list[Generated | None]
    seconds: float


def greedy_batches(
    model: Any,
    prompts: Sequence[np.ndarray],
    limits: Sequence[int],
    ends: Sequence[int],
    *,
    tokens: int,
    rows: int,
) -> Iterator[Batch]:
    """`greedy` over any number of prompts, in batches of similar length, the longest first.

    A batch has at most `rows` prompts, and `tokens` when all are padded and have the longest answer that `limits`
    allows; a prompt that has more is alone. Where memory does not suffice, a batch is tried again with half as many
    tokens, and the following ones have no more.
    """
    left = sorted(range(len(prompts)), key=lambda number: (-len(prompts[number]), number))
    while left:
        longest = len(prompts[left[0]]) + max(limits[number] for number in left)
        numbers = left[: min(rows, max(1, tokens // longest))]
        began = time.perf_counter()
        answers: list[Generated | None] | None = None
        try:
            answers = [
                *greedy(
                    model,
                    [prompts[number] for number in numbers],
                    [limits[number] for number in numbers],
                    ends,
                )
            ]
        except (RuntimeError, MemoryError) as error:
            if shortage_of(error) is None:
                raise
        if answers is None:  # outside of `except`, which would keep the tensors of the failed attempt
            free_cached()
            if len(numbers) > 1:
                tokens = len(numbers) * longest // 2
                continue
            answers = [None]
        left = left[len(numbers) :]
        yield Batch(numbers, answers, time.perf_counter() - began)


def greedy(
    model: Any, prompts: Sequence[np.ndarray], limits: Sequence[int], ends: Sequence[int]
) -> list[Generated]:
    """The likeliest next token, again and again, until one of `ends` or so many tokens as `limits` allows each.

    No penalty of the model's generation settings applies: the answers are the model's own. Prompts are not empty.
    """
    inner = causal_model(model)
    with inference(model), attention(inner, inner.config._attn_implementation):
        if "past_key_values" in arguments_of(inner):
            return _with_cache(inner, prompts, limits, frozenset(ends))
        return _by_generate(inner, prompts, limits, list(ends))


def arguments_of(model: Any) -> frozenset[str]:
    """What the model takes by name: models differ in what they keep between passes."""
    return frozenset(inspect.signature(model.forward).parameters)


def _with_cache(
    model: Any, prompts: Sequence[np.ndarray], limits: Sequence[int], ends: frozenset[int]
) -> list[Generated]:
    accepted = arguments_of(model)
    last_only = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}
    ids, real = _left_padded(prompts, max(limits), model.get_input_embeddings().weight.device)
    positions = (real[:, : ids.shape[1]].cumsum(1) - 1).clamp(min=0)
    seen = ids.shape[1]
    answers: list[list[int]] = [[] for _ in prompts]
    ended = [False] * len(prompts)
    going = [limit > 0 for limit in limits]
    rows = list(range(len(prompts)))  # those in the batch, in its order
    cache = None
    while any(going):
        output = model(
            input_ids=ids,
            attention_mask=real[:, :seen],
            past_key_values=cache,
            use_cache=True,
            **({"position_ids": positions} if "position_ids" in accepted else {}),
            **last_only,
        )
        cache = output.past_key_values
        chosen = output.logits[:, -1].argmax(-1)
        for row, token in zip(rows, chosen.tolist(), strict=True):
            if not going[row]:
                continue
            ended[row] = token in ends
            if not ended[row]:
                answers[row].append(token)
            going[row] = not ended[row] and len(answers[row]) < limits[row]
        ids, positions, seen = chosen[:, None], positions[:, -1:] + 1, seen + 1
        staying = [place for place, row in enumerate(rows) if going[row]]
        if 0 < len(staying) <= (1 - LEAVING) * len(rows):
            kept = torch.tensor(staying, device=ids.device)
            ids, positions, real = ids[kept], positions[kept], real[kept]
            cache.batch_select_indices(kept)
            rows = [rows[place] for place in staying]
    return [Generated(answer, end) for answer, end in zip(answers, ended, strict=True)]


def _by_generate(
    model: Any, prompts: Sequence[np.ndarray], limits: Sequence[int], ends: list[int]
) -> list[Generated]:
    """For models whose state is no cache of keys and values (Mamba, RWKV): transformers knows how to pass it on."""
    from transformers import GenerationConfig

    ids, real = _left_padded(prompts, 0, model.get_input_embeddings().weight.device)
    settings = GenerationConfig(
        max_new_tokens=max(limits), do_sample=False, eos_token_id=ends or None, pad_token_id=(ends or [0])[0]
    )
    generated = model.generate(input_ids=ids, attention_mask=real, generation_config=settings)
    answers = []
    for answer, limit in zip(generated[:, ids.shape[1] :].tolist(), limits, strict=True):
        end = next((place for place, token in enumerate(answer[:limit]) if token in ends), None)
        answers.append(Generated(answer[: limit if end is None else end], end is not None))
    return answers


def _left_padded(
    prompts: Sequence[np.ndarray], more: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids (prompts, longest), and the mask of what is real, for `more` tokens longer than they are."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.zeros((len(prompts), width), dtype=torch.long)
    real = torch.ones((len(prompts), width + more), dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.from_numpy(prompt.astype(np.int64))
        real[row, : width - len(prompt)] = 0
    return ids.to(device), real.to(device)
