"""How a recipe's model reads text: its tokenizer, its chat template, and the longest row it takes.

Training and the data check both begin here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetui_core.data.render import ensure_template
from finetui_core.data.template_process import start_template_process
from finetui_core.errors import InputError, Problem, first_line
from finetui_core.recipe.defaults import default_max_length
from finetui_core.recipe.options import ModelOptions, Recipe


@dataclass(frozen=True, slots=True)
class Reading:
    """The tokenizer has its template; `max_length` is in tokens."""

    config: Any
    tokenizer: Any
    max_length: int
    template_origin: str


def read_with(recipe: Recipe) -> Reading:
    """What the recipe's rows are read with. Raises InputError where the model lacks it or the parts do not fit."""
    start_template_process()
    config = load_config(recipe.model)
    tokenizer = load_tokenizer(recipe.model)
    origin = ensure_template(tokenizer, recipe.model.chat_template)
    context = context_length(config)
    max_length = recipe.data.max_length or default_max_length(context)
    _check_context(max_length, context)
    _check_vocabulary(tokenizer, config)
    return Reading(config, tokenizer, max_length, origin)


def load_config(options: ModelOptions) -> Any:
    """The model's configuration alone: what defaults depend on, without reading weights."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(
            options.name, revision=options.revision, trust_remote_code=options.trust_remote_code
        )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(cannot_load(options.name, error)) from error


def load_tokenizer(options: ModelOptions) -> Any:
    """The model's own tokenizer. Raises InputError when the model has none."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(
            options.name, revision=options.revision, trust_remote_code=options.trust_remote_code
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise InputError(
            Problem(
                f"the model {options.name} has no tokenizer that can be loaded: {first_line(error)}",
                hint="Put tokenizer.json and tokenizer_config.json beside the weights, "
                "or name a model that has them in model.name.",
            )
        ) from error


def context_length(config: Any) -> int | None:
    """Tokens that the model's positions reach, or None where its configuration sets no bound."""
    for name in ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length"):
        length = getattr(config, name, None)
        if isinstance(length, int) and length > 0:
            return length
    return None


def _check_context(max_length: int, context: int | None) -> None:
    if context is not None and max_length > context:
        raise InputError(
            Problem(
                f"data.max_length = {max_length} is more than the model's context of {context} tokens",
                hint=f"Set data.max_length to {context} or less.",
            )
        )


def _check_vocabulary(tokenizer: Any, config: Any) -> None:
    size = getattr(config, "vocab_size", None)
    highest = max(tokenizer.get_vocab().values(), default=0)
    if size is not None and highest >= size:
        raise InputError(
            Problem(
                f"the tokenizer has token number {highest}, but the model's vocabulary ends at {size - 1}",
                hint="The tokenizer belongs to another model. Put the model's own tokenizer beside its weights.",
            )
        )


def cannot_load(name: str, error: BaseException) -> Problem:
    """Why a model's files could not be loaded."""
    if isinstance(error, OSError) and not Path(name).is_dir():
        what = f"there is no folder {name}, and no model of that name can be had from the hub or its cache"
    else:
        what = f"the model {name} cannot be loaded: {first_line(error)}"
    return Problem(
        what,
        hint="Name a folder that holds config.json and safetensors weights, or download a hub model first "
        "with: hf download NAME",
    )
