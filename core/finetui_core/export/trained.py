"""The run's side of the parity check: its model as it was trained, asked the prompts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import psutil
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
from finetui_core.export.source import Source, base_folder
from finetui_core.export.weights import shards_of
from finetui_core.recipe.options import Recipe
from finetui_core.train.generate import end_tokens
from finetui_core.train.greedy import greedy
from finetui_core.train.model import best_device, causal_model


@dataclass(frozen=True, slots=True)
class Trained:
    """The run's side: what it read and answered, its logits by prompt, and what it was asked.

    `rounded` are the logits of its weights merged and rounded to the type of the files; empty where none is coarser.
    """

    side: Side
    logits: Mapping[str, torch.Tensor]
    asked: list[Asked]
    dtype: str
    rounded: Mapping[str, torch.Tensor] = field(default_factory=dict)


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


def trained_side(source: Source, rounded_to: torch.dtype | None = None) -> Trained:
    """How the run reads the prompts and answers them; also merged and rounded, where a type for that is given."""
    loaded = load(checked_recipe(source), source.checkpoint.path)
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
        rounded: dict[str, torch.Tensor] = {}
        if rounded_to is not None:
            merged = _merged(model, rounded_to)
            for one in answerable(reads, loaded.context):
                rounded[one.name] = logits_at(merged, one.prompt_ids, loaded.device)
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
    return Trained(side, logits, asked, str(dtype).removeprefix("torch."), rounded)


@torch.no_grad()
def _merged(model: Any, dtype: torch.dtype) -> Any:
    """The model merged by peft itself, in place, with weights that `dtype` can hold."""
    merged = model.merge_and_unload()
    for parameter in merged.parameters():
        parameter.copy_(parameter.to(dtype))
    return merged.eval()


def checked_recipe(source: Source) -> Recipe:
    """The recipe on the base's own weights, which are not quantised, and in float32 where memory has room for that:
    then nothing hides behind the rounding of a coarser type."""
    changed = {"quantize": "none", **({"dtype": "float32"} if _fits_in_float32(source) else {})}
    model = source.recipe.model.model_copy(update=changed)
    return source.recipe.model_copy(update={"model": model})


def _fits_in_float32(source: Source) -> bool:
    folder = source.checkpoint.path if source.is_full else base_folder(source)
    needed = sum(4 * prod(shape) for _, shape in shards_of(folder).tensors.values())
    device = best_device()
    free = torch.cuda.mem_get_info()[0] if device.type == "cuda" else psutil.virtual_memory().available
    return 2 * needed < free
