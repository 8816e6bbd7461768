"""Answers of the model to validation prompts, so that a person can read what the loss means."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from finetui_core.train.attention import attention
from finetui_core.train.evaluation import inference
from finetui_core.train.forward import Rows
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
    model: Any, tokenizer: Any, rows: Rows, numbers: Sequence[int], max_new_tokens: int
) -> list[Sample]:
    """The model's greedy answers in place of the last answer of each row; rows without a prompt are left out."""
    inner = causal_model(model)
    device = inner.get_input_embeddings().weight.device
    prompts, references = [], []
    for number in numbers:
        ids, mask = rows[number]
        if (span := last_answer(mask)) is not None:
            prompts.append(ids[: span[0]])
            references.append(ids[span[0] : span[1]])
    if not prompts:
        return []
    width = max(len(prompt) for prompt in prompts)
    input_ids = torch.zeros((len(prompts), width), dtype=torch.long)
    real = torch.zeros((len(prompts), width), dtype=torch.long)
    for index, prompt in enumerate(prompts):
        input_ids[index, width - len(prompt) :] = torch.from_numpy(prompt.astype(np.int64))
        real[index, width - len(prompt) :] = 1
    ends = end_tokens(inner, tokenizer)
    with inference(model), attention(inner, inner.config._attn_implementation):
        generated = inner.generate(
            input_ids=input_ids.to(device),
            attention_mask=real.to(device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=ends,
            pad_token_id=ends[0] if ends else 0,
            use_cache=True,
        )
    return [
        Sample(_decode(tokenizer, prompt), _decode(tokenizer, reference), _decode(tokenizer, answer.tolist()))
        for prompt, reference, answer in zip(prompts, references, generated[:, width:].cpu(), strict=True)
    ]


def end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """Every token that ends an answer: those of the generation settings and the tokenizer's own."""
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, list) else [configured]
    return sorted({end for end in [*ends, tokenizer.eos_token_id] if end is not None})


def _decode(tokenizer: Any, ids: Any) -> str:
    text: str = tokenizer.decode(ids, skip_special_tokens=True)
    return text.strip()
