"""Answers of the model to validation prompts, so that a person can read what the loss means."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from finetui_core.train.forward import Rows
from finetui_core.train.greedy import greedy_batches
from finetui_core.train.model import causal_model


@dataclass(frozen=True, slots=True)
class Sample:
    """A prompt, the answer in the data, and the model's answer; texts with special tokens left out."""

    prompt: str
    reference: str
    answer: str


def last_answer(mask: np.ndarray) -> tuple[int, int] | None:
    """Where the last supervised stretch of a row begins and ends, or None when nothing comes before it."""
    supervised = np.flatnonzero(mask)
    if not len(supervised):
        return None
    end = int(supervised[-1]) + 1
    gaps = np.flatnonzero(np.diff(supervised) > 1)
    start = int(supervised[gaps[-1] + 1] if len(gaps) else supervised[0])
    return (start, end) if start > 0 else None


def answer_rows(
    model: Any, tokenizer: Any, rows: Rows, numbers: Sequence[int], max_new_tokens: int, tokens_per_pass: int
) -> list[Sample]:
    """The model's greedy answers in place of the last answer of each row; rows without a prompt are left out."""
    prompts, references = [], []
    for number in numbers:
        ids, mask = rows[number]
        if (span := last_answer(mask)) is not None:
            prompts.append(ids[: span[0]])
            references.append(ids[span[0] : span[1]])
    answers = continuations(model, tokenizer, prompts, max_new_tokens, tokens_per_pass)
    return [
        Sample(*(decoded(tokenizer, part) for part in parts))
        for parts in zip(prompts, references, answers, strict=True)
    ]


def continuations(
    model: Any, tokenizer: Any, prompts: Sequence[np.ndarray], max_new_tokens: int, tokens_per_pass: int
) -> list[list[int]]:
    """How the model goes on greedily from each prompt: at most `max_new_tokens` ids, without the one that ends them.

    As many prompts are taken together as keep them and their answers within `tokens_per_pass`, at least one.
    Nothing is given where memory does not suffice for one alone.
    """
    ends = end_tokens(causal_model(model), tokenizer)
    limits = [max_new_tokens] * len(prompts)
    given: dict[int, list[int]] = {}
    for batch in greedy_batches(model, prompts, limits, ends, tokens=tokens_per_pass, rows=len(prompts)):
        given |= {
            at: answer.ids if answer else [] for at, answer in zip(batch.numbers, batch.answers, strict=True)
        }
    return [given[at] for at in range(len(prompts))]


def end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """Every token that ends an answer: those of the generation settings and the tokenizer's own."""
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, list) else [configured]
    return sorted({end for end in [*ends, tokenizer.eos_token_id] if end is not None})


def decoded(tokenizer: Any, ids: Any) -> str:
    text: str = tokenizer.decode(ids, skip_special_tokens=True)
    return text.strip()
