"""A recipe, a shape and what is known of the rows → one run and its longest pass, as far as memory depends on it."""

import math
from typing import Literal

from finetui_core.preflight.figures import RowLengths, Shape, Workload
from finetui_core.preflight.shape import option, parameters
from finetui_core.recipe.defaults import default_max_length, evaluation_rows, fill_defaults, packed_tokens
from finetui_core.recipe.facts import Facts
from finetui_core.recipe.options import Recipe

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_DEVIATIONS = 6
PROBE_PIECES, PROBE_LENGTH = 24, 64
"""What is taken of the text that forgetting is measured on: how many pieces, and the tokens of each."""
PROBE_TOKENS = PROBE_PIECES * PROBE_LENGTH


def workload(
    recipe: Recipe,
    facts: Facts,
    shape: Shape,
    device_kind: Literal["cuda", "cpu"],
    lengths: RowLengths | None = None,
) -> Workload:
    """The run that a recipe describes. Without `lengths` every row is as long as the recipe allows, and all learned.

    A packed pass holds rows drawn at random: their sum is bounded by six standard deviations, where those are known.

    Where the number of rows is not known, they are taken for few: that asks for most memory, by the dropout.
    """
    rows = lengths.rows if lengths is not None else facts.rows
    filled = fill_defaults(
        recipe,
        train_rows=rows or 1,
        hidden_size=shape.hidden_size,
        model_type=shape.model_type,
        parameters=parameters(shape),
        context_length=shape.context_length,
    )
    allowed = filled.data.max_length or default_max_length(shape.context_length)
    batch = filled.train.per_device_train_batch_size
    longest = allowed if lengths is None else max(1, min(lengths.longest, allowed))
    tokens = batch * longest
    if filled.data.packing and packs(shape):
        packed_rows = batch * filled.train.gradient_accumulation_steps
        most = packed_tokens(batch, allowed, device_kind)
        tokens = min(most, _longest_sum(packed_rows, longest, lengths))
    share = 1.0 if lengths is None else min(1.0, max(0.0, lengths.supervised_share))
    return Workload(filled, shape, device_kind, tokens, longest, math.ceil(tokens * share), lengths)


def _longest_sum(rows: int, longest: int, lengths: RowLengths | None) -> int:
    """The most tokens that so many rows drawn at random have together, but for one time in a million or so."""
    most = rows * longest
    if lengths is None or lengths.deviation is None:
        return most
    usual = rows * lengths.mean + _DEVIATIONS * math.sqrt(rows) * lengths.deviation
    return min(most, max(longest, math.ceil(usual)))


def packs(shape: Shape) -> bool:
    """Whether `train.layout` will pack this model's rows: its attention may have no score that packing lacks."""
    return option(shape, "attn_logit_softcapping") is None and shape.model_type not in (
        "gpt_oss",
        "bloom",
        "mpt",
    )


def has_own_head(shape: Shape) -> bool:
    """Whether `train.layout` will compute logits a chunk at a time: nothing may be done to them after the head."""
    changes = ("final_logit_softcapping", "logits_scaling", "logit_scale", "lm_head_multiplier")
    return all(option(shape, name) in (None, 1, 1.0) for name in changes)


def compute_dtype(work: Workload) -> str:
    """The number type that a run computes in; `auto` is bfloat16 on a GPU and float32 on a processor."""
    wanted = work.recipe.model.dtype
    if wanted != "auto":
        return wanted
    return "bfloat16" if work.device_kind == "cuda" else "float32"


def compute_bytes(work: Workload) -> int:
    return BYTES[compute_dtype(work)]


def held_bytes(work: Workload) -> int:
    """Bytes of one weight that is not quantized: full training holds float32, a frozen base what it computes in."""
    return 4 if work.recipe.train.method == "full" else compute_bytes(work)


def packed(work: Workload) -> bool:
    return work.recipe.data.packing and packs(work.shape)


def allowed_length(work: Workload) -> int:
    """The longest row that the recipe lets through, in tokens."""
    return work.recipe.data.max_length or default_max_length(work.shape.context_length)


def evaluation_tokens(work: Workload) -> int:
    """Tokens of the longest pass of an evaluation; 0 where a run evaluates nothing.

    An evaluation packs all its rows together, so its passes may be longer than those of a step of few short rows.
    """
    recipe, lengths = work.recipe, work.lengths
    at_once, longest, rows = evaluation_rows(recipe), allowed_length(work), _validation_rows(work)
    budget = packed_tokens(at_once, longest, work.device_kind) if packed(work) else at_once * longest
    if rows is None:
        tokens = budget
    elif packed(work):
        tokens = min(budget, rows * work.longest_row)
    else:
        tokens = min(rows, at_once) * work.longest_row
    if lengths is not None and lengths.exact is False and rows:
        tokens = budget
    return max(tokens, min(budget, PROBE_TOKENS) if recipe.eval.forgetting_probe else 0)


def _validation_rows(work: Workload) -> int | None:
    """Rows of an evaluation, or None where their number is not known."""
    data, most = work.recipe.data, work.recipe.eval.max_rows
    if data.val is None and data.val_fraction == 0:
        return 0
    if work.lengths is None:
        return None
    return min(work.lengths.val_rows, most) if most else work.lengths.val_rows


def sampled_tokens(work: Workload) -> tuple[int, int]:
    """How many prompts an evaluation lets the model answer, and the tokens of the longest with its answer."""
    rows = _validation_rows(work)
    prompts = work.recipe.eval.samples if rows is None else min(rows, work.recipe.eval.samples)
    width = work.longest_row + work.recipe.eval.sample_max_new_tokens
    return prompts, min(width, work.shape.context_length or width)
