"""The closed formula of a run's memory: an answer while somebody types, within some 15 % of the trace.

A step is highest at one of a few moments: at the vocabulary head, when all activations and a chunk of logits are
held; at the first steps back, with the head's gradients or with a layer run again; or when all gradients are there.
`train.memory_trace` finds the same by running the model itself without its numbers.
"""

import time
from dataclasses import dataclass

from finetui_core.preflight.activations import (
    adapted,
    cached,
    eager,
    expert_adapters,
    expert_changes,
    passing,
    passing_without_gradient,
    saved_by_layer,
    widths,
)
from finetui_core.preflight.figures import Kind, Memory, Phase, Workload
from finetui_core.preflight.shape import embedding_parameters, head_parameters, linears, parameters
from finetui_core.preflight.sharded import is_sharded, of_one_process
from finetui_core.preflight.workload import (
    compute_bytes,
    evaluation_tokens,
    has_own_head,
    held_bytes,
    sampled_tokens,
)

CHUNK_TOKENS = 512
"""Tokens of which the logits are held at once; `train.loss` has the same number."""
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""A weight of bitsandbytes' nf4, doubly quantized: half a byte, a scale for 64, and a scale of scales for 256."""
_HEADS = ("lm_head", "embed_out")


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Bytes of what is there whatever the rows are. `head` is the gradient of the vocabulary head, 0 if it is frozen.

    `copies` are autocast's, of float32 weights; `head_copy` is the head's part of them, of which a frozen head's
    lasts no longer than its use.
    """

    weights: int
    adapter: int
    gradients: int
    head: int
    copies: int
    head_copy: int

    @property
    def moments(self) -> int:
        return 2 * self.gradients


def estimate(work: Workload) -> Memory:
    """Peaks of every phase by the closed formula; microseconds, and nothing but arithmetic."""
    began = time.perf_counter()
    sizes = _sizes(work)
    state: dict[Kind, int] = {"weights": sizes.weights, "adapter": sizes.adapter}
    settled: dict[Kind, int] = {**state, "optimizer": sizes.moments}
    peaks: dict[Phase, dict[Kind, int]] = {
        "load": state,
        "train": {**settled, **_train(work, sizes)},
        "evaluate": {**settled, **_evaluate(work, sizes)},
        "save": settled,
    }
    if work.recipe.train.method != "full":
        peaks["merge"] = merged(work)
    return of_one_process(Memory("formula", peaks, time.perf_counter() - began), work)


def _sizes(work: Workload) -> _Sizes:
    shape, recipe = work.shape, work.recipe
    quantize, held, c = recipe.model.quantize, held_bytes(work), compute_bytes(work)
    total = parameters(shape)
    head = shape.vocabulary * shape.hidden_size
    if quantize == "none":
        weights = float(total * held)
    else:
        quantized = shape.layers * sum(one.inputs * one.outputs for one in linears(shape))
        scales = 4 * shape.layers * sum(one.outputs for one in linears(shape))
        weights = quantized * NF4_BYTES if quantize == "nf4" else quantized + scales
        weights += 4 * (total - quantized)  # peft holds what is not quantized in float32
    if recipe.train.method == "full":
        cast = total - (0 if shape.tied else embedding_parameters(shape))
        copies, head_copy = (c * cast, c * head) if c < 4 else (0, 0)
        return _Sizes(int(weights), 0, 4 * total, 4 * head, copies, head_copy)
    rank, dora = recipe.lora.r, recipe.lora.use_dora
    beside = sum(rank * (one.inputs + one.outputs) for one in adapted(work))
    low_rank = shape.layers * (beside + expert_adapters(work))
    magnitudes = shape.layers * sum(one.outputs for one in adapted(work)) if dora else 0
    kept = 4 if quantize != "none" else held  # peft copies such a module as it is
    modules = kept * _modules_to_save(work)
    trained = 4 * (low_rank + magnitudes) + modules
    has_head = any(name.rpartition(".")[2] in _HEADS for name in recipe.lora.modules_to_save)
    return _Sizes(
        weights=int(weights),
        adapter=trained,
        gradients=trained,
        head=kept * head if has_head else 0,
        copies=c * low_rank if c < 4 else 0,
        head_copy=c * head if c < 4 and quantize != "none" else 0,
    )


def _modules_to_save(work: Workload) -> int:
    """Weights of the modules that are trained in full beside the adapters."""
    shape, count = work.shape, 0
    for name in work.recipe.lora.modules_to_save:
        leaf = name.rpartition(".")[2]
        if leaf in ("embed_tokens", "wte", "embed_in"):
            count += embedding_parameters(shape)
        elif leaf in _HEADS:
            count += head_parameters(shape) or shape.vocabulary * shape.hidden_size
        else:
            count += shape.layers * sum(one.parameters for one in linears(shape) if one.name == leaf)
    return count


def _train(work: Workload, sizes: _Sizes) -> dict[Kind, int]:
    """Gradients, activations and logits at the moment of a step when they and the weights' copies are most."""
    recipe, tokens, layers = work.recipe, work.tokens_per_pass, work.shape.layers
    w, full = widths(work), recipe.train.method == "full"
    checkpointing = recipe.train.gradient_checkpointing
    layer, stream = tokens * saved_by_layer(work), tokens * w.h * w.s
    layer += expert_changes(work)
    held = layers * stream if checkpointing else layers * layer
    again = layer if checkpointing else 0
    kept_copies = sizes.copies - (sizes.head_copy if full else 0)
    copies_back = kept_copies // layers if checkpointing else kept_copies
    step_back = tokens * passing(work)
    gradients = sizes.gradients
    at_head, whole = _at_head(work, sizes)
    ends = tokens * w.h * 12 + work.supervised_per_pass * w.h * (4 + w.s)
    message = recipe.launch.world_size > 1 and not is_sharded(work)
    moments: list[dict[Kind, int]] = [
        {"activations": held + sizes.copies + tokens * w.h * (20 if full else 10), "logits": at_head},
        {"activations": held + copies_back + ends, "logits": 2 * sizes.head + whole},
        {"activations": held + copies_back + again + step_back, "logits": sizes.head},
        {
            "gradients": gradients * (layers - 1) // layers,
            "activations": stream + again + copies_back // layers + (step_back if checkpointing else layer),
        },
        {"gradients": gradients * (2 if message else 1)},
    ]
    return max(moments, key=lambda one: sum(one.values()))


def _at_head(work: Workload, sizes: _Sizes) -> tuple[int, int]:
    """What the head and the loss take as they are computed; and in the first step back, if all logits are there."""
    shape, c = work.shape, compute_bytes(work)
    vocabulary, supervised = shape.vocabulary, work.supervised_per_pass
    if not has_own_head(shape):
        at_all, at_learned = (11, 15) if c < 4 else (16, 15)
        whole = vocabulary * (at_all * work.tokens_per_pass + at_learned * supervised) // 2
        return whole * 5 // 6 + sizes.head_copy, whole
    chunk = min(CHUNK_TOKENS, supervised) * vocabulary
    frozen_copy = 0 if sizes.head else sizes.head_copy
    if not sizes.head:
        return (10 if c < 4 else 8) * chunk + frozen_copy, 0
    summed = (7 * sizes.head // 2 if c < 4 else 3 * sizes.head) + (4 if c < 4 else 8) * chunk
    return max(summed, sizes.head + 16 * chunk), 0


def _evaluate(work: Workload, sizes: _Sizes) -> dict[Kind, int]:
    """The highest of an evaluation's moments: in a layer, at the head, or with a prompt's keys and values."""
    tokens = evaluation_tokens(work)
    if not tokens:
        return {}
    shape, c, w = work.shape, compute_bytes(work), widths(work)
    full = work.recipe.train.method == "full"
    layer = passing_without_gradient(work)
    copies = sizes.copies - (sizes.head_copy if full else 0)
    share = work.supervised_per_pass / work.tokens_per_pass
    if has_own_head(shape):
        each = 6 if work.recipe.model.quantize != "none" else 10 if c < 4 else 8
        logits = min(CHUNK_TOKENS, round(tokens * share)) * shape.vocabulary * each
    else:
        logits = round(tokens * shape.vocabulary * (c * 2 + share * (6 if c < 4 else 0)))
    prompts, width = sampled_tokens(work)
    scores = 6 * shape.heads * width if eager(work) else 0
    prompt = prompts * width * (layer + scores + shape.layers * cached(work))
    moments: list[dict[Kind, int]] = [
        {"activations": copies + tokens * layer + expert_changes(work)},
        {"activations": copies + 2 * tokens * w.h * w.s, "logits": logits + sizes.head_copy},
        {"activations": copies + prompt},
    ]
    return max(moments, key=lambda one: sum(one.values()))


def merged(work: Workload) -> dict[Kind, int]:
    """What a process takes that merges the adapter: the base as it is computed in, and the largest layer's change.

    That process runs after training and may as well run on the processor.
    """
    c, sizes = compute_bytes(work), _sizes(work)
    largest = max((one.inputs * one.outputs for one in adapted(work)), default=0)
    return {
        "weights": parameters(work.shape) * c,
        "adapter": sizes.adapter,
        "activations": largest * (4 + c),
    }
