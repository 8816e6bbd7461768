"""One GGUF file for llama.cpp and what is built on it, written by llama.cpp's own `gguf` package.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from finetui_core.data.reading import context_length
from finetui_core.errors import InputError, Problem
from finetui_core.export.gguf_tokens import Tokens
from finetui_core.export.model_parts import Tensors

FILE = "model.gguf"
_WAY_OUT = "Name llama.cpp's own converter: --converter convert_hf_to_gguf.py."
_ARCHITECTURES = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "GPT2LMHeadModel": "gpt2",
}
_ROTATED = (
    ".self_attn.q_proj.weight",
    ".self_attn.k_proj.weight",
    ".self_attn.q_proj.bias",
    ".self_attn.k_proj.bias",
)
_TRANSPOSED = (".c_attn.weight", ".c_proj.weight", ".c_fc.weight")
_NOT_WEIGHTS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")
_KEYS = 1 << 20
"""Bytes of what stands before the tensors, at least."""


@dataclass(frozen=True, slots=True)
class Gguf:
    """A model as its file holds it: `names` are those of the file by the model's own."""

    architecture: str
    tensors: Tensors
    config: Any
    names: Mapping[str, str]
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        return _KEYS + sum(
            prod(self.tensors.described[name][1]) * self.stored(name).itemsize for name in self.names
        )

    def stored(self, name: str) -> torch.dtype:
        """The type in the file: vectors are kept in float32."""
        return self.dtype if len(self.tensors.described[name][1]) > 1 else torch.float32


def require_gguf() -> Any:
    """The package. Raises InputError where it is not installed."""
    if find_spec("gguf") is None:
        hint = f"Install it with: pip install 'finetui[gguf]'. {_WAY_OUT}"
        raise InputError(
            Problem("this installation cannot write GGUF files: gguf is not installed", hint=hint)
        )
    import gguf

    return gguf


def plan_gguf(tensors: Tensors, config: Any) -> Gguf:
    """How the model becomes a GGUF file. Raises InputError for a shape that is not written here."""
    gguf = require_gguf()
    found = (tensors.config.get("architectures") or ["unknown"])[0]
    if found not in _ARCHITECTURES:
        raise InputError(Problem(f"GGUF files of {found} are not written here", hint=_WAY_OUT))
    _refuse_scaled_positions(config)
    architecture = _ARCHITECTURES[found]
    kind = {name: number for number, name in gguf.MODEL_ARCH_NAMES.items()}[architecture]
    names_of = gguf.get_tensor_name_map(kind, config.num_hidden_layers)
    names = {}
    for name in tensors.described:
        if name.endswith(_NOT_WEIGHTS):
            continue
        there = names_of.get_name(name, try_suffixes=(".weight", ".bias"))
        if there is None:
            raise InputError(Problem(f"llama.cpp has no place for the tensor {name}", hint=_WAY_OUT))
        names[name] = there
    largest = max(tensors.described.values(), key=lambda one: prod(one[1]))
    dtype = largest[0] if largest[0] in (torch.float16, torch.bfloat16) else torch.float32
    return Gguf(architecture, tensors, config, names, dtype)


def _refuse_scaled_positions(config: Any) -> None:
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise InputError(Problem(f"positions scaled by {kind} are not written here", hint=_WAY_OUT))


def window_of(config: Any) -> int | None:
    """How many tokens the model attends to, where its positions reach further.

    No file written here says so, since llama.cpp has no window for these models and attends to all tokens.
    """
    window: int | None = getattr(config, "sliding_window", None)
    layers = getattr(config, "layer_types", None)
    if not window or (layers and "sliding_attention" not in layers):
        return None
    reach = context_length(config)
    return window if reach is None or window < reach else None


def gguf_notes(plan: Gguf, tokens: Tokens | None) -> list[str]:
    notes = []
    if window := window_of(plan.config):
        notes.append(f"The model attends to {window:,} tokens back; llama.cpp attends to all of them.")
    if tokens is not None and not tokens.is_exact:
        notes.append(
            "llama.cpp has no rule that splits texts as this tokenizer does (numbers above all): "
            f"the nearest one, {tokens.pre}, gives other tokens for some texts."
        )
    return notes


def expected(plan: Gguf, name: str, tensor: torch.Tensor) -> NDArray[Any]:
    """The array of a tensor as the file holds it; of bfloat16 its bytes."""
    if plan.architecture == "gpt2" and name.endswith(_TRANSPOSED):
        tensor = tensor.T
    if plan.architecture == "llama" and name.endswith(_ROTATED):
        tensor = _rotated(tensor, _heads(plan.config, name))
    stored = tensor.to(plan.stored(name)).contiguous()
    if stored.dtype == torch.bfloat16:
        return stored.view(torch.uint8).numpy()
    array: NDArray[Any] = stored.numpy()
    return array


def _heads(config: Any, name: str) -> int:
    heads: int = config.num_attention_heads
    if ".k_proj." in name:
        return getattr(config, "num_key_value_heads", None) or heads
    return heads


def _rotated(tensor: torch.Tensor, heads: int) -> torch.Tensor:
    """llama.cpp turns neighbouring pairs of a head's rows, transformers its first half against the second."""
    shape = tensor.shape
    return tensor.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def write_gguf(plan: Gguf, tokens: Tokens, facts: Mapping[str, Any], path: Path) -> Iterator[int]:
    """Write the file; yields the bytes of each tensor as it is written. `facts` are name, template and the special
    tokens' ids. Raises OSError."""
    gguf = require_gguf()
    writer = gguf.GGUFWriter(path, plan.architecture)
    try:
        _add_shape(writer, plan, gguf)
        _add_tokens(writer, tokens, facts)
        for name, there in plan.names.items():
            dtype, shape = plan.stored(name), _shape(plan, name)
            raw = gguf.GGMLQuantizationType.BF16 if dtype == torch.bfloat16 else None
            numpy_type = {torch.float32: np.float32, torch.float16: np.float16}.get(dtype, np.uint8)
            count = prod(shape) * dtype.itemsize
            given = (*shape[:-1], shape[-1] * 2) if raw is not None else shape
            writer.add_tensor_info(there, given, np.dtype(numpy_type), count, raw)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        with plan.tensors.opened() as load:
            for name in plan.names:
                array = expected(plan, name, load(name))
                writer.write_tensor_data(array)
                yield array.nbytes
    finally:
        writer.close()


def _shape(plan: Gguf, name: str) -> tuple[int, ...]:
    shape = plan.tensors.described[name][1]
    turned = plan.architecture == "gpt2" and name.endswith(_TRANSPOSED)
    return tuple(reversed(shape)) if turned else shape


def _add_shape(writer: Any, plan: Gguf, gguf: Any) -> None:
    config = plan.config
    hidden, heads = config.hidden_size, config.num_attention_heads
    inner = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * hidden
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(context_length(config) or 2048)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    if plan.architecture == "gpt2":
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        per_head = getattr(config, "head_dim", None) or hidden // heads
        rope = getattr(config, "rope_parameters", None) or {}
        writer.add_head_count_kv(getattr(config, "num_key_value_heads", None) or heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_dimension_count(per_head)
        writer.add_key_length(per_head)
        writer.add_value_length(per_head)
        writer.add_rope_freq_base(rope.get("rope_theta") or getattr(config, "rope_theta", 10000.0))
        writer.add_vocab_size(config.vocab_size)
    kinds = {torch.float16: "MOSTLY_F16", torch.bfloat16: "MOSTLY_BF16"}
    writer.add_file_type(gguf.LlamaFileType[kinds.get(plan.dtype, "ALL_F32")])


def _add_tokens(writer: Any, tokens: Tokens, facts: Mapping[str, Any]) -> None:
    writer.add_name(facts["name"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tokens.pre)
    writer.add_token_list(list(tokens.texts))
    writer.add_token_types(list(tokens.types))
    writer.add_token_merges(list(tokens.merges))
    for name in ("bos", "eos", "pad"):
        if facts.get(name) is not None:
            getattr(writer, f"add_{name}_token_id")(facts[name])
    writer.add_add_bos_token(bool(facts["adds_bos"]))
    writer.add_chat_template(facts["template"])
