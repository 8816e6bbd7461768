"""Values for the options that were left out: functions of the data and the model, each with its source."""

import math
from typing import Any

from finetui_core.recipe import sources
from finetui_core.recipe.checks import settle_quantize
from finetui_core.recipe.options import Method, Recipe
from finetui_core.recipe.table import option_table

LONGEST_DEFAULT_ROW = 2048  # tokens; LLaMA-Factory's cutoff_len
PROCESSOR_TOKENS = 2048  # of a packed pass on a processor
SMALL_DATA = 1_000  # rows
LARGE_DATA = 10_000  # rows
_LARGE_MODEL = 13e9  # parameters
_EXPERTS_AS_PARAMETERS = frozenset(
    {
        "afmoe", "beam", "cohere2_moe", "deepseek_v2", "deepseek_v3", "deepseek_v32", "dots1",
        "ernie4_5_moe", "exaone_moe", "flex_olmo", "glm4_moe", "glm4_moe_lite", "glm4v_moe", "glm_moe_dsa",
        "hunyuan_v1_moe", "longcat_flash", "mellum", "minimax", "minimax_m2", "mixtral", "olmoe",
        "qwen2_moe", "qwen3_moe", "qwen3_next", "qwen3_omni_moe", "qwen3_omni_moe_text",
        "qwen3_omni_moe_thinker", "solar_open",
    }
)  # fmt: skip
"""Mixtures whose experts transformers 5 holds as one parameter each: peft puts all-linear adapters on those too."""
_HIDDEN_SIZE_EXPONENT = {"llama": 0.781, "qwen": 0.0775}


def default_learning_rate(
    method: Method, hidden_size: int | None, model_type: str, parameters: int | None = None
) -> float:
    """The peak learning rate, to two significant digits.

    For the Llama and Qwen families: 5e-5 * (10 with adapters) * (2000 / hidden_size) ** p, with p = 0.781
    and 0.0775 (Tinker cookbook), held at 1e-3 with adapters, because at 3e-3 nearly every run of its sweep
    diverged, and at a tenth of that without. It was fitted to models of billions of parameters.
    For other families, and where the hidden size is not known, as TRL, Axolotl and Unsloth have it:
    2e-4 with adapters, 2e-5 without, 1e-5 without above 13 billion `parameters`.
    """
    adapters = method != "full"
    family = next((name for name in _HIDDEN_SIZE_EXPONENT if model_type.startswith(name)), None)
    if family is None or hidden_size is None:
        if adapters:
            return 2e-4
        return 1e-5 if parameters is not None and parameters > _LARGE_MODEL else 2e-5
    rate = 5e-5 * (10 if adapters else 1) * (2000 / hidden_size) ** _HIDDEN_SIZE_EXPONENT[family]
    return float(f"{min(rate, 1e-3 if adapters else 1e-4):.1e}")


def default_epochs(rows: int) -> int:
    """Passes over the data: 3 below 1,000 training rows, 2 below 10,000, else 1.

    More passes fit the rows better and forget more (Biderman et al., 2024).
    """
    return 3 if rows < SMALL_DATA else 2 if rows < LARGE_DATA else 1


def default_lora_dropout(rows: int, *, on_experts: bool = False) -> float:
    """Dropout on the adapters' input: 0.05 below 1,000 training rows (QLoRA, TRL), else 0 (PEFT).

    Adapters on the experts of a mixture can have none.
    """
    return 0.05 if rows < SMALL_DATA and not on_experts else 0.0


def adapts_experts(recipe: Recipe, model_type: str) -> bool:
    """Whether adapters stand on a mixture's experts, where peft refuses dropout and DoRA.

    peft adds such an adapter to the parameter itself (`lora.ParamWrapper`), so that there is no input to drop from.
    """
    targets = recipe.lora.target_modules
    return recipe.train.method != "full" and targets == "all-linear" and model_type in _EXPERTS_AS_PARAMETERS


def default_weight_decay(method: Method) -> float:
    """AdamW weight decay: 0.01 for full training (torchtune), 0 for adapters (Axolotl)."""
    return 0.01 if method == "full" else 0.0


def default_max_length(context_length: int | None) -> int:
    """The longest row in tokens: the model's context where it is known, but at most 2048."""
    return LONGEST_DEFAULT_ROW if context_length is None else min(context_length, LONGEST_DEFAULT_ROW)


def warmup_step_count(warmup_steps: float, total_steps: int) -> int:
    """Optimizer steps of warm-up: a `warmup_steps` below 1 is a share, rounded up.

    Never more than the run has.

    As in `transformers.TrainingArguments.get_warmup_steps`.
    """
    steps = math.ceil(warmup_steps * total_steps) if warmup_steps < 1 else int(warmup_steps)
    return min(steps, total_steps)


def evaluation_rows(recipe: Recipe) -> int:
    """Rows in one forward pass of an evaluation: what the recipe says, else those of a training pass, which fit."""
    return recipe.eval.per_device_eval_batch_size or recipe.train.per_device_train_batch_size


def packed_tokens(rows: int, longest: int, device_kind: str) -> int:
    """Most tokens of a forward pass that packs its rows: as many as `rows` of the `longest` have.

    On a processor no more than PROCESSOR_TOKENS, or than one row: there a larger product is no faster
    (tests/benchmarks/pass_size.py), and a pass takes memory by its tokens.
    """
    tokens = rows * longest
    return min(tokens, max(longest, PROCESSOR_TOKENS)) if device_kind == "cpu" else tokens


def total_steps(rows: int, batch_size: int, epochs: int, max_steps: int) -> int:
    """Optimizer steps of a run; a positive `max_steps` wins over `epochs`."""
    return max_steps if max_steps > 0 else epochs * -(-rows // batch_size)


def fill_defaults(
    recipe: Recipe,
    *,
    train_rows: int,
    hidden_size: int | None,
    model_type: str,
    parameters: int | None,
    context_length: int | None,
) -> Recipe:
    """The recipe with a value in each option that was left to the run.

    Still None afterwards: the options that name a thing which need not exist, such as `data.val`.
    """
    recipe = settle_quantize(recipe)
    method = recipe.train.method
    decided: dict[tuple[str, str], Any] = {
        ("data", "max_length"): default_max_length(context_length),
        ("train", "learning_rate"): default_learning_rate(method, hidden_size, model_type, parameters),
        ("train", "num_train_epochs"): default_epochs(train_rows),
        ("train", "weight_decay"): default_weight_decay(method),
        ("lora", "lora_dropout"): default_lora_dropout(
            train_rows, on_experts=adapts_experts(recipe, model_type)
        ),
    }
    for (table, name), value in decided.items():
        options = getattr(recipe, table)
        if getattr(options, name) is None:
            recipe = recipe.model_copy(update={table: options.model_copy(update={name: value})})
    return recipe


def explain(before: Recipe, after: Recipe) -> list[dict[str, Any]]:
    """Each option that differs between two recipes: {"option", "value", "why", "source"}, ready for JSON."""
    return [
        {
            "option": option.dotted,
            "value": value,
            "why": _WHY.get(option.dotted, option.help),
            "source": _SOURCE.get(option.dotted, option.source),
        }
        for option in option_table()
        for value in [getattr(getattr(after, option.table), option.name)]
        if value != getattr(getattr(before, option.table), option.name)
    ]


_WHY = {
    "model.quantize": "method qlora trains adapters on a base model in 4 bits",
    "data.max_length": "the model's context, but at most 2048 tokens",
    "train.learning_rate": "for Llama and Qwen 5e-5, times 10 with adapters, times (2000 / hidden size) to a "
    "power, held at 1e-3 (adapters) or 1e-4 (full); else 2e-4 with adapters, 2e-5 in full training, "
    "1e-5 above 13 billion parameters",
    "train.num_train_epochs": "3 passes below 1,000 training rows, 2 below 10,000, else 1",
    "train.weight_decay": "0 with adapters, 0.01 in full training",
    "lora.lora_dropout": "0.05 below 1,000 training rows, else 0; 0 on a mixture's experts, where peft allows none",
}
_SOURCE = {"train.learning_rate": f"{sources.TINKER}; {sources.COMMON_FULL_RATE}"}
