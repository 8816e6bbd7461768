"""What the backward pass of one decoder layer needs, in bytes per token, as torch's autograd keeps it.

Under autocast, products are computed in two bytes and norms in four; what is cast is kept as it was cast. A frozen
weight's product keeps no input, an adapter's does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from finetui_core.preflight.figures import Workload
from finetui_core.preflight.shape import Linear, experts, linears, option
from finetui_core.preflight.workload import compute_bytes, held_bytes, packed, packs

_GATED_FAMILIES_WITH_FOUR_NORMS = ("gemma2", "gemma3", "gemma3_text")
MOST_FUSED_DROPOUT = 0.125
"""Above this share the places of an adapter's zeros take more memory than a mask, and peft's own dropout runs."""
_COMPOSED_GELU = ("gelu_new", "gelu_fast")
_FUSED = ("gpt2", "gpt_bigcode", "gpt_neox", "falcon", "bloom", "phi3")


@dataclass(frozen=True, slots=True)
class Widths:
    """Bytes and widths that the terms share: `c` of what is computed, `s` of the residual stream, `o` of products."""

    h: int
    i: int
    q: int
    kv: int
    c: int
    s: int
    o: int

    @property
    def mixed(self) -> bool:
        return self.c < 4


def widths(work: Workload) -> Widths:
    shape = work.shape
    number, active, width = experts(shape)
    c, quantized = compute_bytes(work), work.recipe.model.quantize != "none"
    s = 4 if quantized else held_bytes(work)
    return Widths(
        h=shape.hidden_size,
        i=active * width if number > 1 else shape.intermediate_size,
        q=shape.heads * shape.head_dim,
        kv=shape.kv_heads * shape.head_dim,
        c=c,
        s=s,
        o=s if quantized else c,
    )


def adapted(work: Workload) -> tuple[Linear, ...]:
    """The linear layers of one decoder layer that carry an adapter."""
    if work.recipe.train.method == "full":
        return ()
    targets = work.recipe.lora.target_modules
    return tuple(
        one
        for one in linears(work.shape)
        if targets == "all-linear" or any(target.rpartition(".")[2] == one.name for target in targets)
    )


def experts_adapted(work: Workload) -> bool:
    """Whether adapters stand beside a mixture's experts, which peft takes for linear layers too."""
    is_adapted = work.recipe.train.method != "full" and work.recipe.lora.target_modules == "all-linear"
    return is_adapted and experts(work.shape)[0] > 1


def expert_adapters(work: Workload) -> int:
    """Weights of the adapters of one layer's experts and router."""
    if not experts_adapted(work):
        return 0
    h, r, (number, _, width) = work.shape.hidden_size, work.recipe.lora.r, experts(work.shape)
    return number * r * (2 * (h + 2 * width) + width + h) + r * (h + number)


def expert_changes(work: Workload) -> int:
    """Bytes of the change that the adapters make to one layer's experts: peft computes it whole, and it is kept."""
    number, _, width = experts(work.shape)
    return round(2.4 * 3 * number * work.shape.hidden_size * width) if experts_adapted(work) else 0


def saved_by_layer(work: Workload) -> int:
    """Bytes per token that one decoder layer keeps for its backward pass."""
    w = widths(work)
    magnitudes = 2 * w.c * sum(one.outputs for one in adapted(work)) if work.recipe.lora.use_dora else 0
    masks = round(w.c * work.longest_row * _masked(work))
    return (
        masks
        + _norms(work, w)
        + _inputs(work, w)
        + _attention(work, w)
        + _mlp(work, w)
        + _dropouts(work, w)
        + magnitudes
    )


def _norms(work: Workload, w: Widths) -> int:
    """An RMSNorm keeps what it read, as `train.fused.norm` has it."""
    shape = work.shape
    if not shape.gated:
        cast = w.s < 4 and work.device_kind == "cuda"
        parallel = shape.model_type in ("phi", "gpt_neox", "falcon")
        count = 1 if shape.model_type == "phi" or (parallel and not cast) else 2
        return count * w.h * (4 if cast else w.s)
    count = 4 if shape.model_type in _GATED_FAMILIES_WITH_FOUR_NORMS else 2
    size = count * w.h
    if shape.model_type in ("qwen3", "qwen3_moe", "olmo2", "gemma3_text", "gemma3"):
        size += w.q + w.kv
    return size * w.s


def _inputs(work: Workload, w: Widths) -> int:
    """Inputs of the products whose weight, or whose adapter, is trained."""
    full = work.recipe.train.method == "full"
    trained = linears(work.shape) if full else adapted(work)
    share = 0.0 if full else work.recipe.lora.lora_dropout or 0.0
    rank = 0 if full else work.recipe.lora.r
    low = sum(w.c * rank for _ in trained)
    if work.recipe.model.quantize != "none" or work.recipe.lora.use_dora or share > MOST_FUSED_DROPOUT:
        return low + _inputs_of_pefts_own(work, w, trained, share)
    if share:
        low += sum(
            one.inputs if work.device_kind == "cuda" else round(8 * share * one.inputs) for one in trained
        )
    if w.s != w.c:  # each layer casts it for itself
        return low + sum(w.c * one.inputs for one in trained)
    read = {(one.reads, one.inputs) for one in trained}  # one tensor serves all that read it
    return low + sum(w.c * inputs for _, inputs in read)


def _inputs_of_pefts_own(work: Workload, w: Widths, trained: Sequence[Linear], share: float) -> int:
    """What peft's own forward pass keeps of the inputs: the adapter's is cast and masked apart from the layer's."""
    if share:
        mask = 1 if work.device_kind == "cuda" else 4
        return sum((w.c + mask) * one.inputs for one in trained)
    kept = 0
    if work.recipe.model.quantize == "int8":  # bitsandbytes keeps what each layer of 8 bits read
        kept = sum(w.s * inputs for _, inputs in {(one.reads, one.inputs) for one in linears(work.shape)})
    if w.mixed:
        return kept + sum(w.c * one.inputs for one in trained)
    return kept + sum(w.c * inputs for _, inputs in {(one.reads, one.inputs) for one in trained})


def _attention(work: Workload, w: Widths) -> int:
    shape = work.shape
    grouped = shape.kv_heads < shape.heads
    keys = w.q if grouped else w.kv
    scores = kept_scores(work)
    out_and_sums = w.c * w.q + (scores or 4 * shape.heads)
    fused = shape.model_type in _FUSED
    if shape.model_type in ("gpt2", "gpt_bigcode"):
        return w.o * (w.q + 2 * w.kv) + out_and_sums
    values = w.o * (w.q + 2 * w.kv) if fused and not grouped and w.o == w.c else w.c * keys
    return w.c * (w.q + keys) + values + out_and_sums


def eager(work: Workload) -> bool:
    """Whether the model's own attention is the one that writes all scores out."""
    return work.recipe.model.attn_implementation == "eager" or not packs(work.shape)


def kept_scores(work: Workload) -> int:
    """Bytes per token of the scores of all heads, where the attention keeps them: none in a fused kernel."""
    w, shape, row = widths(work), work.shape, work.longest_row
    if option(shape, "attn_logit_softcapping") is not None:
        return 8 * shape.heads * row
    if eager(work) and not packed(work):
        return (6 if w.mixed else 4) * shape.heads * row
    if work.device_kind == "cpu" and option(shape, "attn_pdrop"):
        return 3 * w.c * shape.heads * row
    return 0


def _masked(work: Workload) -> float:
    """The share of layers whose attention keeps a mask of numbers, a row of it per token."""
    if not packed(work):
        return 1.0
    window = option(work.shape, "sliding_window")
    if (
        not isinstance(window, int)
        or window >= work.longest_row
        or option(work.shape, "use_sliding_window") is False
    ):
        return 0.0
    return 5 / 6 if work.shape.model_type == "gemma3_text" else 1.0


def composed_gelu(work: Workload) -> bool:
    """Whether the activation is written out in steps, each of which keeps something."""
    name = option(work.shape, "activation_function") or option(work.shape, "hidden_act")
    return not work.shape.gated and name in _COMPOSED_GELU


def _mlp(work: Workload, w: Widths) -> int:
    if work.shape.gated:
        return 3 * w.o * w.i
    if not composed_gelu(work):
        return w.o * w.i
    if not w.mixed or w.o == 4:
        return 16 * w.i
    return (14 if work.device_kind == "cuda" else 8) * w.i


def _dropouts(work: Workload, w: Widths) -> int:
    """The model's own dropout on what it adds to the residual stream."""
    if not option(work.shape, "resid_pdrop"):
        return 0
    return 2 * w.h * (1 if work.device_kind == "cuda" else w.o)


def passing(work: Workload) -> int:
    """Bytes per token that one layer's pass takes for the moment, beyond what it keeps.

    Fitted to traces of the families in tests/benchmarks/memory_formula.py, as are the next two.
    """
    w, recipe = widths(work), work.recipe
    full, quantized = recipe.train.method == "full", recipe.model.quantize != "none"
    if composed_gelu(work):
        taken = (11 if w.mixed else 10) * w.i
    elif not work.shape.gated:
        taken = 5 * w.i if full else (9 if w.mixed else 8) * w.i
    elif full:
        taken = (6 if w.mixed else 12) * w.i
    elif quantized:
        taken = 10 * w.i
    else:
        taken = 6 * w.i + 10 * w.h if w.mixed else 8 * w.i
    if not full and recipe.lora.lora_dropout:
        taken += 4 * w.i
    return taken + (6 * w.c * w.i if recipe.lora.use_dora and not full else 0)


def passing_without_gradient(work: Workload) -> int:
    """Bytes per token of one layer in an evaluation."""
    w, recipe, shape = widths(work), work.recipe, work.shape
    full, quantized = recipe.train.method == "full", recipe.model.quantize != "none"
    if composed_gelu(work):
        taken = (20 if quantized else 16 if w.mixed else 21) * w.i
    elif not shape.gated:
        taken = ((7 if w.mixed else 12) if full else 13 if quantized else 11 if w.mixed else 16) * w.i
    elif full:
        taken = (4 if w.mixed else 12) * w.i + 16 * w.h
    elif quantized:
        taken = 14 * w.i + 16 * w.h
    else:
        taken = 8 * w.i + 12 * w.h if w.mixed else 16 * w.i + 16 * w.h
    if shape.model_type == "phi3":
        taken += round(w.i * (w.o if full else 1.5 * w.o if quantized else 2 * w.o))
    return taken + (7 * w.c * w.i if recipe.lora.use_dora and not full else 0)


def cached(work: Workload) -> int:
    """Bytes of keys and values that one token of a prompt keeps in one layer."""
    w = widths(work)
    rotated_exactly = w.s == 4 and work.shape.model_type not in ("gpt2", "gpt_bigcode")
    return 2 * w.kv * (4 if rotated_exactly else w.o)
