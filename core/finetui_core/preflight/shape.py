"""A model's shape from its configuration alone, without its weights: widths, layers, and what they add up to."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from finetui_core.preflight.config_files import find_config
from finetui_core.preflight.figures import Shape

_UNGATED = frozenset(
    [
        "gpt2",
        "gpt_neox",
        "gpt_neo",
        "gptj",
        "phi",
        "falcon",
        "opt",
        "bloom",
        "starcoder2",
        "gpt_bigcode",
        "codegen",
        "mpt",
        "stablelm_alpha",
    ]
)
_TIED = frozenset(
    [
        "gpt2",
        "gpt_neo",
        "gpt_bigcode",
        "falcon",
        "opt",
        "bloom",
        "gemma",
        "gemma2",
        "gemma3_text",
        "starcoder2",
        "mpt",
    ]
)
"""Families whose input embedding and head share their weight unless the configuration says otherwise."""
_FAMILY: dict[str, dict[str, Any]] = {
    "gemma2": {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
    "gpt2": {"attn_pdrop": 0.1, "resid_pdrop": 0.1, "activation_function": "gelu_new"},
    "gpt_bigcode": {"attn_pdrop": 0.1, "resid_pdrop": 0.1},
    "phi": {"hidden_act": "gelu_new"},
}
"""What a configuration that leaves it out means, as transformers' classes have it."""
_CONTEXT = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear layer that every decoder layer holds: one `name` of peft's `target_modules`."""

    name: str
    inputs: int
    outputs: int
    bias: bool
    reads: str  # "stream", "heads", "stream again" or "inner": layers that read one tensor have one word

    @property
    def parameters(self) -> int:
        return self.inputs * self.outputs + self.outputs * self.bias


def model_shape(name: str, revision: str | None = None) -> Shape | None:
    """The shape of a model in a folder, in the hub cache on disk, or in the shipped table; None if it is unknown.

    Never raises, whatever config.json holds, and asks no network.
    """
    found = find_config(name, revision)
    return None if found is None else shape_of(*found)


def shape_of(config: Mapping[str, Any], source: str) -> Shape | None:
    """The shape that a configuration describes, or None where a size is missing or absurd."""
    nested = config.get("text_config")
    text: Mapping[str, Any] = {**config, **nested} if isinstance(nested, dict) else config
    model_type = text.get("model_type")
    if not isinstance(model_type, str) or not 0 < len(model_type) <= 64:
        return None
    hidden = _size(text, "hidden_size", "n_embd", "d_model", "word_embed_proj_dim")
    layers = _size(text, "num_hidden_layers", "n_layer", "n_layers", "num_layers", most=2_000)
    heads = _size(text, "num_attention_heads", "n_head", "n_heads", "num_heads", most=10_000)
    vocabulary = _size(text, "vocab_size", most=20_000_000)
    if hidden is None or layers is None or heads is None or vocabulary is None or heads > hidden:
        return None
    kv_heads = _size(text, "num_key_value_heads", "num_kv_heads", most=heads) or heads
    intermediate = _size(text, "intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size") or 4 * hidden
    tied = text.get("tie_word_embeddings")
    return Shape(
        model_type=model_type,
        layers=layers,
        hidden_size=hidden,
        intermediate_size=intermediate,
        heads=heads,
        kv_heads=1 if text.get("multi_query") is True else kv_heads,
        head_dim=_size(text, "head_dim", most=65_536) or max(1, hidden // heads),
        vocabulary=vocabulary,
        tied=tied if isinstance(tied, bool) else model_type in _TIED,
        gated=model_type not in _UNGATED,
        context_length=_size(text, *_CONTEXT, most=1_000_000_000),
        source=source,
        config=dict(config),
    )


def _size(config: Mapping[str, Any], *names: str, most: int = 1_000_000) -> int | None:
    """The first of the values that is a whole number from 1 to `most`."""
    for name in names:
        value = config.get(name)
        if isinstance(value, float) and isfinite(value) and value.is_integer() and abs(value) <= most:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
            return value
    return None


def option(shape: Shape, name: str) -> Any:
    """A value of the configuration, or of the part of it that is about text; where it has none, its family's."""
    nested = shape.config.get("text_config")
    for values in (nested, shape.config, _FAMILY.get(shape.model_type)):
        if isinstance(values, Mapping) and name in values:
            return values[name]
    return None


def experts(shape: Shape) -> tuple[int, int, int]:
    """How many experts a layer has, how many a token goes through, and their width; (1, 1, width) without any."""
    config = {
        name: option(shape, name) for name in (*_EXPERTS, "num_experts_per_tok", "moe_intermediate_size")
    }
    number = _size(config, *_EXPERTS, most=10_000)
    if number is None:
        return 1, 1, shape.intermediate_size
    active = _size(config, "num_experts_per_tok", most=number) or 2
    return number, active, _size(config, "moe_intermediate_size") or shape.intermediate_size


def linears(shape: Shape) -> tuple[Linear, ...]:
    """The linear layers of one decoder layer, in the order that they run, without the experts of a mixture."""
    h, i = shape.hidden_size, shape.intermediate_size
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    kind = shape.model_type
    stream, heads, again, inner = "stream", "heads", "stream again", "inner"
    if kind in ("gpt2", "gpt_bigcode"):
        return (
            Linear("c_attn", h, h + 2 * kv, True, stream),
            Linear("c_proj", h, h, True, heads),
            Linear("c_fc", h, i, True, again),
            Linear("c_proj", i, h, True, inner),
        )
    if kind in ("gpt_neox", "falcon", "bloom"):
        bias = bool(option(shape, "bias")) if kind == "falcon" else True
        return (
            Linear("query_key_value", h, q + 2 * kv, bias, stream),
            Linear("dense", q, h, bias, heads),
            Linear("dense_h_to_4h", h, i, bias, again),
            Linear("dense_4h_to_h", i, h, bias, inner),
        )
    separate = (("q_proj", q), ("k_proj", kv), ("v_proj", kv))
    if kind == "phi":
        return (
            *(Linear(name, h, outputs, True, stream) for name, outputs in separate),
            Linear("dense", q, h, True, heads),
            Linear("fc1", h, i, True, stream),
            Linear("fc2", i, h, True, inner),
        )
    if kind == "phi3":
        return (
            Linear("qkv_proj", h, q + 2 * kv, False, stream),
            Linear("o_proj", q, h, False, heads),
            Linear("gate_up_proj", h, 2 * i, False, again),
            Linear("down_proj", i, h, False, inner),
        )
    bias = bool(option(shape, "attention_bias"))
    attention = (
        *(Linear(name, h, outputs, bias or kind == "qwen2", stream) for name, outputs in separate),
        Linear("o_proj", q, h, bias and kind != "qwen2", heads),
    )
    if experts(shape)[0] > 1:
        return attention
    if not shape.gated:
        return (*attention, Linear("fc1", h, i, True, again), Linear("fc2", i, h, True, inner))
    return (
        *attention,
        Linear("gate_proj", h, i, False, again),
        Linear("up_proj", h, i, False, again),
        Linear("down_proj", i, h, False, inner),
    )


def layer_parameters(shape: Shape) -> int:
    """Weights of one decoder layer: its linear layers, its experts and its norms."""
    number, _, width = experts(shape)
    moe = number * 3 * shape.hidden_size * width + number * shape.hidden_size if number > 1 else 0
    return sum(one.parameters for one in linears(shape)) + moe + _norms(shape)


def _norms(shape: Shape) -> int:
    h, kind = shape.hidden_size, shape.model_type
    if kind == "phi":
        return 2 * h
    norms = (4 if kind in ("gemma2", "gemma3_text", "gemma3") else 2) * h
    if kind in ("qwen3", "qwen3_moe", "gemma3_text", "gemma3"):
        norms += 2 * shape.head_dim
    if kind == "olmo2":
        norms += (shape.heads + shape.kv_heads) * shape.head_dim
    return norms * (1 if shape.gated else 2)


def embedding_parameters(shape: Shape) -> int:
    """Weights of the input embedding, with the table of positions where the model learns one."""
    learned = shape.model_type in ("gpt2", "gpt_bigcode", "opt", "gpt_neo")
    positions = (shape.context_length or 0) * shape.hidden_size if learned else 0
    return shape.vocabulary * shape.hidden_size + positions


def head_parameters(shape: Shape) -> int:
    """Weights of the vocabulary head that are its own: none where it shares those of the embedding."""
    bias = shape.vocabulary if shape.model_type == "phi" else 0
    return 0 if shape.tied else shape.vocabulary * shape.hidden_size + bias


def parameters(shape: Shape) -> int:
    """Weights of the whole model."""
    last_norm = shape.hidden_size * (1 if shape.gated else 2)
    return (
        embedding_parameters(shape)
        + shape.layers * layer_parameters(shape)
        + last_norm
        + head_parameters(shape)
    )
