"""How a recipe's model reads text: its tokenizer, its chat template, and the longest row it takes.

Training and the data check both begin here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetui_core.data.model_files import read_json
from finetui_core.data.model_source import cannot_load, model_folder, stay_offline
from finetui_core.data.render import ensure_template
from finetui_core.data.template_process import start_template_process
from finetui_core.data.tokenizer_trial import Trial
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
    options = recipe.model
    stay_offline(options, recipe.data.train, recipe.data.val)
    start_template_process()
    folder = model_folder(options)
    with Trial(folder) as trial:
        config = _load_config(options, folder)
        _check_highest(trial.result() - 1, config)
    tokenizer = _load_tokenizer(options, folder)
    origin = ensure_template(tokenizer, options.chat_template)
    context = context_length(config)
    max_length = recipe.data.max_length or default_max_length(context)
    _check_context(max_length, context)
    _check_vocabulary(tokenizer, config)
    return Reading(config, tokenizer, max_length, origin)


def load_config(options: ModelOptions) -> Any:
    """The model's configuration alone: what defaults depend on, without reading weights."""
    return _load_config(options, model_folder(options))


def _load_config(options: ModelOptions, folder: Path) -> Any:
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    values = read_json(folder / "config.json")
    if (
        values.get("auto_map")
        and values.get("model_type") not in CONFIG_MAPPING
        and not options.trust_remote_code
    ):
        raise InputError(
            Problem(
                "the model needs Python code that comes with it, which never runs unless you say so",
                options.name,
                "Take a model that transformers knows by itself; or read the code, and set "
                "model.trust_remote_code = true.",
            )
        )
    try:
        return AutoConfig.from_pretrained(
            folder, trust_remote_code=options.trust_remote_code, local_files_only=True
        )
    except Exception as error:  # a made-up file brings up any of them
        raise InputError(cannot_load(options.name, error)) from error


def _load_tokenizer(options: ModelOptions, folder: Path) -> Any:
    """The model's own tokenizer. Raises InputError when the model has none."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(
            folder, trust_remote_code=options.trust_remote_code, local_files_only=True
        )
    except Exception as error:  # a made-up file brings up any of them
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
    _check_highest(max(tokenizer.get_vocab().values(), default=0), config)


def _check_highest(highest: int, config: Any) -> None:
    """`highest` is a token's number, or less than the highest one."""
    size = getattr(config, "vocab_size", None)
    if size is not None and highest >= size:
        raise InputError(
            Problem(
                f"the tokenizer has token number {highest}, but the model's vocabulary ends at {size - 1}",
                hint="The tokenizer belongs to another model. Put the model's own tokenizer beside its weights.",
            )
        )
