"""The closed formula of a run's memory: an answer while somebody types, within some 15 % of the trace.

Bytes of one pass are counted as torch's autograd keeps them: per token and layer what the backward pass needs, at the
end of the forward pass (all of it is held, and a chunk of logits), at the first step back, and at the optimizer's
step. `train.memory_trace` finds the same by running the model itself without its numbers.
"""

import time
from dataclasses import dataclass

from finetui_core.preflight.figures import Kind, Memory, Phase, Workload
from finetui_core.preflight.shape import (
    Linear,
    embedding_parameters,
    experts,
    head_parameters,
    layer_parameters,
    linears,
    parameters,
)
from finetui_core.preflight.workload import compute_bytes, has_own_head, held_bytes

CHUNK_TOKENS = 512
"""Tokens of which the logits are held at once; `train.loss` has the same number."""
MOMENTS = 8
"""Bytes of AdamW's two float32 moments for one trainable weight."""
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""A weight of bitsandbytes' nf4, doubly quantized: half a byte, a scale for 64, and a scale of scales for 256."""


@dataclass(frozen=True, slots=True)
class _Sizes:
    """What the parts of the formula share. All in bytes but `trained`, which counts weights."""

    weights: int
    adapter: int
    trained: int
    head: int


def estimate(work: Workload) -> Memory:
    """Peaks of every phase by the closed formula; microseconds, and nothing but arithmetic."""
    began = time.perf_counter()
    sizes = _sizes(work)
    state: dict[Kind, int] = {"weights": sizes.weights, "adapter": sizes.adapter}
    optimizer = MOMENTS * sizes.trained
    settled: dict[Kind, int] = {**state, "optimizer": optimizer}
    peaks: dict[Phase, dict[Kind, int]] = {
        "load": state,
        "train": {**settled, **_train(work, sizes)},
        "evaluate": {**settled, **_evaluate(work, sizes)},
        "save": settled,
    }
    if work.recipe.train.method != "full":
        peaks["merge"] = _merge(work, sizes)
    return Memory("formula", peaks, time.perf_counter() - began)


def adapted(work: Workload) -> tuple[Linear, ...]:
    """The linear layers of one decoder layer that carry an adapter."""
    if work.recipe.train.method == "full":
        return ()
    targets = work.recipe.lora.target_modules
    return tuple(
        one
        for one in linears(work.shape)
        if targets == "all-linear" or any(_matches(one, target) for target in targets)
    )


def _matches(one: Linear, target: str) -> bool:
    return target.rpartition(".")[2] == one.name


def _sizes(work: Workload) -> _Sizes:
    shape, recipe = work.shape, work.recipe
    quantize, held = recipe.model.quantize, held_bytes(work)
    total = parameters(shape)
    if quantize == "none":
        weights = float(total * held)
    else:
        inner = linears(shape)
        quantized = shape.layers * sum(one.inputs * one.outputs for one in inner)
        scales = 4 * shape.layers * sum(one.outputs for one in inner)
        weights = quantized * NF4_BYTES if quantize == "nf4" else quantized + scales
        weights += 4 * (total - quantized)  # peft holds what is not quantized in float32
    head = shape.vocabulary * shape.hidden_size
    if recipe.train.method == "full":
        return _Sizes(int(weights), 0, total, 4 * head)
    rank, dora = recipe.lora.r, recipe.lora.use_dora
    trained = shape.layers * sum(
        rank * (one.inputs + one.outputs) + (one.outputs if dora else 0) for one in adapted(work)
    )
    saved = _modules_to_save(work)
    has_head = any(name in ("lm_head", "embed_out") for name in recipe.lora.modules_to_save)
    return _Sizes(int(weights), 4 * (trained + saved), trained + saved, 4 * head if has_head else 0)


def _modules_to_save(work: Workload) -> int:
    """Weights of the modules that are trained in full beside the adapters."""
    shape, count = work.shape, 0
    for name in work.recipe.lora.modules_to_save:
        leaf = name.rpartition(".")[2]
        if leaf in ("embed_tokens", "wte", "embed_in"):
            count += embedding_parameters(shape)
        elif leaf in ("lm_head", "embed_out"):
            count += head_parameters(shape) or shape.vocabulary * shape.hidden_size
        else:
            count += shape.layers * sum(one.parameters for one in linears(shape) if one.name == leaf)
    return count


def _train(work: Workload, sizes: _Sizes) -> dict[Kind, int]:
    """Gradients, activations and logits at the moment of a step when they and the weights' copies are most."""
    shape, recipe = work.shape, work.recipe
    tokens, layers = work.tokens_per_pass, shape.layers
    gradients = 4 * sizes.trained
    copies = _cast_weights(work)
    one_layer = tokens * _saved_by_layer(work)
    stream = tokens * shape.hidden_size * held_bytes(work)
    if recipe.train.gradient_checkpointing:
        held, redone, held_copies = layers * stream, one_layer, copies // max(1, layers)
    else:
        held, redone, held_copies = layers * one_layer, 0, copies
    logits, after_head = _logits(work, sizes)
    ends = 2 * stream
    moments: list[dict[Kind, int]] = [
        {"gradients": 0, "activations": held + ends + copies, "logits": logits},
        {
            "gradients": 0,
            "activations": held + redone + ends + held_copies + tokens * _backward_of_layer(work),
            "logits": after_head,
        },
        {"gradients": gradients, "activations": stream + gradients // max(1, layers), "logits": 0},
        {
            "gradients": gradients * (3 if recipe.launch.nproc_per_node > 1 else 1),
            "activations": 0,
            "logits": 0,
        },
    ]
    return max(moments, key=lambda one: sum(one.values()))


def _saved_by_layer(work: Workload) -> int:
    """Bytes per token that the backward pass of one decoder layer needs."""
    shape, recipe = work.shape, work.recipe
    c, held = compute_bytes(work), held_bytes(work)
    h, i = shape.hidden_size, shape.intermediate_size
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    mixed = c < 4
    number, active, width = experts(shape)
    if number > 1:
        i = active * width
    normed = 4 * h if mixed or not shape.gated else (h * 4 if held == 4 else h * held)
    norms = 2 * (normed + (c * h if mixed else 4 * h))
    attention = c * (3 * q + q) + 4 * shape.heads + (c * kv if shape.kv_heads < shape.heads else 0)
    mlp = c * i * (4 if shape.gated else 3)
    sites = adapted(work)
    dropout = recipe.lora.lora_dropout or 0.0
    adapters = sum((c * one.inputs if mixed or dropout else 0) + c * recipe.lora.r for one in sites)
    if dropout:
        mask = 1 if work.device_kind == "cuda" else 4
        adapters += sum(mask * one.inputs for one in sites)
    if recipe.lora.use_dora and sites:
        adapters += sum(3 * c * one.outputs for one in sites)
    return norms + attention + mlp + adapters


def _backward_of_layer(work: Workload) -> int:
    """Bytes per token of the gradients that one layer's backward pass holds for itself."""
    shape, c = work.shape, compute_bytes(work)
    return c * (2 * shape.intermediate_size + 2 * shape.hidden_size)


def _cast_weights(work: Workload) -> int:
    """The copies that autocast makes of float32 weights: each of them while the forward pass lasts."""
    c = compute_bytes(work)
    if c == 4:
        return 0
    if work.recipe.train.method == "full":
        return c * (parameters(work.shape) - embedding_parameters(work.shape) * (not work.shape.tied))
    return (
        c * work.shape.layers * sum(work.recipe.lora.r * (one.inputs + one.outputs) for one in adapted(work))
    )


def _logits(work: Workload, sizes: _Sizes) -> tuple[int, int]:
    """What the head and the loss take: while they are computed, and what of it is there in the backward pass."""
    shape, c = work.shape, compute_bytes(work)
    hidden = work.supervised_per_pass * shape.hidden_size * held_bytes(work)
    if not has_own_head(shape):
        whole = work.tokens_per_pass * shape.vocabulary
        return whole * (c + 4 + 4 + 4), whole * (4 + c)
    chunk = min(CHUNK_TOKENS, work.supervised_per_pass)
    logits = chunk * shape.vocabulary * (4 + 4 + 4 + (2 * c if c < 4 else 0))
    return logits + 2 * hidden + 2 * sizes.head, 2 * hidden + 2 * sizes.head


def _evaluate(work: Workload, sizes: _Sizes) -> dict[Kind, int]:
    shape, c = work.shape, compute_bytes(work)
    held = held_bytes(work)
    width = max(
        4 * shape.intermediate_size if shape.gated else 2 * shape.intermediate_size, 6 * shape.hidden_size
    )
    layer = work.tokens_per_pass * (c * width + 2 * held * shape.hidden_size)
    if has_own_head(shape):
        logits = min(CHUNK_TOKENS, work.supervised_per_pass) * shape.vocabulary * (c + 8)
    else:
        logits = work.tokens_per_pass * shape.vocabulary * (c + 8)
    return {"activations": layer + _cast_weights(work), "logits": logits}


def _merge(work: Workload, sizes: _Sizes) -> dict[Kind, int]:
    """The base in the number type that it is computed in, the adapter, and the change of the largest layer."""
    c = compute_bytes(work)
    largest = max((one.inputs * one.outputs for one in adapted(work)), default=0)
    return {
        "weights": parameters(work.shape) * c,
        "adapter": sizes.adapter,
        "activations": largest * (4 + c),
    }


def layer_bytes(work: Workload) -> int:
    """Bytes of the weights of one decoder layer as they are held."""
    return layer_parameters(work.shape) * held_bytes(work)
