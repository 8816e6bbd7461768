"""The run's side of the parity check: its model as it was trained, asked the prompts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from finetui_core.evaluate.engine import load, weights_of
from finetui_core.export.beside import turn_end
from finetui_core.export.prompts import Asked, asked_with
from finetui_core.export.side import (
    NEW_TOKENS,
    PLAIN,
    Side,
    answerable,
    gaps_of,
    logits_at,
    pieces_of,
    read_prompts,
)
from finetui_core.export.source import Source
from finetui_core.recipe.options import Recipe
from finetui_core.train.generate import end_tokens
from finetui_core.train.greedy import greedy
from finetui_core.train.model import causal_model


@dataclass(frozen=True, slots=True)
class Trained:
    """The run's side: what it read and answered, its logits by prompt, and what it was asked."""

    side: Side
    logits: Mapping[str, torch.Tensor]
    asked: list[Asked]
    dtype: str


def trained_reads(tokenizer: Any, context: int | None) -> Trained:
    """What the run reads, without its model: nothing is answered."""
    asked = prompts_for(tokenizer, context)
    reads = read_prompts(tokenizer, asked)
    side = Side(
        reads=reads,
        greedy={},
        gaps={},
        plain_ids=tokenizer(PLAIN)["input_ids"],
        ends=[],
        tokens=len(tokenizer),
        rows=0,
        bos=tokenizer.bos_token_id,
        has_template=True,
        pieces=pieces_of(tokenizer, reads),
    )
    return Trained(side, {}, asked, "float32")


def prompts_for(tokenizer: Any, context: int | None) -> list[Asked]:
    def length(one: Asked) -> int:
        return len(read_prompts(tokenizer, [one])[0].prompt_ids)

    return asked_with(length, context)


def trained_side(source: Source) -> Trained:
    """How the run reads the prompts and answers them."""
    loaded = load(unquantised(source), source.checkpoint.path)
    tokenizer = loaded.tokenizer

    asked = prompts_for(tokenizer, loaded.context)
    reads = read_prompts(tokenizer, asked)
    logits: dict[str, torch.Tensor] = {}
    answers: dict[str, list[int]] = {}
    gaps: dict[str, list[float]] = {}
    with weights_of(loaded, "tuned") as (model, _):
        inner, end = causal_model(model), turn_end(tokenizer)
        ends = sorted({*end_tokens(inner, tokenizer), *([] if end is None else [end])})
        for one in answerable(reads, loaded.context):
            prompt = np.array(one.prompt_ids, dtype=np.int32)
            logits[one.name] = logits_at(model, one.prompt_ids, loaded.device)
            answers[one.name] = greedy(model, [prompt], [NEW_TOKENS], ends)[0].ids
            gaps[one.name] = gaps_of(model, one.prompt_ids, answers[one.name], loaded.device)
        rows = int(inner.get_output_embeddings().weight.shape[0])
    side = Side(
        reads=reads,
        greedy=answers,
        gaps=gaps,
        plain_ids=tokenizer(PLAIN)["input_ids"],
        ends=ends,
        tokens=len(tokenizer),
        rows=rows,
        bos=tokenizer.bos_token_id,
        has_template=True,
        pieces=pieces_of(tokenizer, reads) | {one: tokenizer.convert_ids_to_tokens(one) for one in ends},
    )
    dtype = torch.float32 if source.is_full else loaded.dtype  # as `load_model` holds them
    return Trained(side, logits, asked, str(dtype).removeprefix("torch."))


def unquantised(source: Source) -> Recipe:
    """The recipe on the base's own weights, into which an adapter is merged."""
    model = source.recipe.model.model_copy(update={"quantize": "none"})
    return source.recipe.model_copy(update={"model": model})
