"""What literature and measurement say of an option's value: a sentence beside it, never a change.

Each rule is a function from a recipe and what is known of its model and data. `heed` marks a value outside
what its source advises.
"""

from collections.abc import Callable
from dataclasses import dataclass

from finetui_core.recipe import sources
from finetui_core.recipe.defaults import (
    LARGE_DATA,
    SMALL_DATA,
    adapts_experts,
    default_epochs,
    default_learning_rate,
)
from finetui_core.recipe.facts import Facts
from finetui_core.recipe.options import Recipe

LOWEST_ADAPTER_RATE, HIGHEST_ADAPTER_RATE = 5e-5, 1e-3
LOWEST_FULL_RATE, HIGHEST_FULL_RATE = 1e-6, 1e-4
LARGEST_ADAPTER_BATCH = 32
FEWEST_STEPS = 100


@dataclass(frozen=True, slots=True)
class Advice:
    option: str
    says: str
    source: str
    heed: bool


Rule = Callable[[Recipe, Facts], Advice | None]


def advise(recipe: Recipe, facts: Facts) -> list[Advice]:
    """What is to be said of this recipe, in the order of the options."""
    return [advice for rule in RULES if (advice := rule(recipe, facts)) is not None]


def _adapters(recipe: Recipe) -> bool:
    return recipe.train.method != "full"


def _max_length(recipe: Recipe, facts: Facts) -> Advice:
    length, context = recipe.data.max_length, facts.context_length
    says = "memory grows with it: cut at what nearly all rows need; 2048 is the usual limit"
    if context is not None:
        says += f", and this model reads {context:,} tokens"
    too_long = length is not None and context is not None and length > context
    return Advice("data.max_length", says, sources.LLAMA_FACTORY, too_long)


def _packing(recipe: Recipe, facts: Facts) -> Advice:
    says = "on, where rows are short: 3.4 times the tokens per second; rows cannot see each other"
    return Advice("data.packing", says, sources.TORCHTUNE, False)


def _replay(recipe: Recipe, facts: Facts) -> Advice:
    says = "0.25 took most of the forgetting away and cost a tenth of the gain; replay no text that you probe with"
    return Advice("data.replay", says, sources.OWN_REPLAY, False)


def _learning_rate(recipe: Recipe, facts: Facts) -> Advice:
    rate = recipe.train.learning_rate
    if not _adapters(recipe):
        says = "1e-5 to 5e-5 for full training, a tenth of what adapters want"
        heed = rate is not None and not LOWEST_FULL_RATE <= rate <= HIGHEST_FULL_RATE
        return Advice("train.learning_rate", says, sources.TUNING_GUIDES, heed)
    usual = default_learning_rate(recipe.train.method, facts.hidden_size, facts.model_type)
    known = " for this model" if facts.hidden_size else ""
    says = f"adapters want about ten times the rate of full training: near {usual:g}{known}"
    heed = rate is not None and not LOWEST_ADAPTER_RATE <= rate <= HIGHEST_ADAPTER_RATE
    if rate is not None and rate > HIGHEST_ADAPTER_RATE:
        return Advice(
            "train.learning_rate", f"{says}; at 3e-3 most models diverge", sources.TINKER_SWEEP, heed
        )
    return Advice("train.learning_rate", says, sources.TINKER, heed)


def _epochs(recipe: Recipe, facts: Facts) -> Advice:
    epochs = recipe.train.num_train_epochs
    says = f"3 passes below {SMALL_DATA:,} rows, 2 below {LARGE_DATA:,}, else 1: more forget more"
    if facts.rows is None:
        return Advice("train.num_train_epochs", says, sources.BIDERMAN, epochs is not None and epochs > 8)
    usual = default_epochs(facts.rows)
    says = f"{usual} for these {facts.rows:,} rows: each pass more fits them better and forgets more"
    return Advice("train.num_train_epochs", says, sources.BIDERMAN, epochs is not None and epochs > 2 * usual)


def _batch(recipe: Recipe, facts: Facts) -> Advice:
    train = recipe.train
    each, added, devices = (
        train.per_device_train_batch_size,
        train.gradient_accumulation_steps,
        recipe.launch.world_size,
    )
    batch = each * added * devices
    says = f"{batch} rows a step ({each} × {added} accumulated × {devices} devices)"
    if _adapters(recipe) and batch > LARGEST_ADAPTER_BATCH:
        says += f"; adapters learn worse from batches above {LARGEST_ADAPTER_BATCH}"
        return Advice("train.per_device_train_batch_size", says, sources.TRL_LORA, True)
    if facts.rows is None or train.max_steps > 0:
        says += f"; adapters learn best at {LARGEST_ADAPTER_BATCH} or less" if _adapters(recipe) else ""
        return Advice("train.per_device_train_batch_size", says, sources.TRL_LORA, False)
    epochs = train.num_train_epochs or default_epochs(facts.rows)
    steps = -(-facts.rows * epochs // batch)
    says += f", at most {steps:,} steps; aim for {FEWEST_STEPS} or more"
    return Advice("train.per_device_train_batch_size", says, sources.TINKER, steps < FEWEST_STEPS)


def _warmup(recipe: Recipe, facts: Facts) -> Advice:
    warmup = recipe.train.warmup_steps
    says = "3 to 10 % of the steps in the examples of other tools"
    return Advice(
        "train.warmup_steps", says, sources.LLAMA_FACTORY_AND_AXOLOTL, warmup == 0 or 0.1 < warmup < 1
    )


def _rank(recipe: Recipe, facts: Facts) -> Advice | None:
    if not _adapters(recipe):
        return None
    says = "16 holds tens of millions of learned tokens; 32 to 64 above 20 million"
    if facts.rows is not None:
        says = f"16 is ample for {facts.rows:,} rows" if facts.rows < 10 * LARGE_DATA else says
    heed = recipe.lora.r < 4 or (facts.rows is not None and facts.rows < LARGE_DATA and recipe.lora.r > 128)
    return Advice("lora.r", says, sources.LORA_WITHOUT_REGRET, heed)


def _alpha(recipe: Recipe, facts: Facts) -> Advice | None:
    if not _adapters(recipe):
        return None
    says = "32 whatever the rank: then the best learning rate hardly moves with it"
    heed = not 8 <= recipe.lora.lora_alpha <= 128
    return Advice("lora.lora_alpha", says, sources.LORA_WITHOUT_REGRET, heed)


def _dropout(recipe: Recipe, facts: Facts) -> Advice | None:
    if not _adapters(recipe):
        return None
    dropout = recipe.lora.lora_dropout
    if adapts_experts(recipe, facts.model_type):
        says = "0 for this mixture: adapters on its experts have no input that could be dropped; peft refuses more"
        return Advice("lora.lora_dropout", says, sources.PEFT_EXPERTS, bool(dropout))
    says = f"0.05 below {SMALL_DATA:,} rows, else 0; it helps less than the adapters' own restraint"
    return Advice("lora.lora_dropout", says, sources.BIDERMAN, dropout is not None and dropout > 0.1)


def _targets(recipe: Recipe, facts: Facts) -> Advice | None:
    if not _adapters(recipe):
        return None
    targets = recipe.lora.target_modules
    says = (
        "all-linear: adapters on the attention alone (q_proj, v_proj) learn less, even with more parameters"
    )
    if matched := _LINEAR_LAYERS.get(facts.model_type):
        says += f"; in this model that is {matched}"
    if not isinstance(targets, list):
        return Advice("lora.target_modules", says, sources.LORA_WITHOUT_REGRET, False)
    return Advice("lora.target_modules", says, sources.LORA_WITHOUT_REGRET, set(targets) <= _ATTENTION)


_LLAMA = "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"
_NEOX = "query_key_value, dense, dense_h_to_4h, dense_4h_to_h"
_LINEAR_LAYERS = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"), _LLAMA),
    **dict.fromkeys(("gpt_neox", "falcon", "bloom"), _NEOX),
    "gpt2": "c_attn, c_proj, c_fc",
    "phi": "q_proj, k_proj, v_proj, dense, fc1, fc2",
}
_ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj", "c_attn", "query_key_value", "qkv_proj"}

RULES: tuple[Rule, ...] = (
    _max_length,
    _packing,
    _replay,
    _learning_rate,
    _epochs,
    _batch,
    _warmup,
    _rank,
    _alpha,
    _dropout,
    _targets,
)
