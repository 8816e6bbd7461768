"""How a recipe's model reads text: its tokenizer, its chat template, and the longest row it takes.

Training and the data check both begin here.
"""

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from finetui_core.data.fingerprints import code_digest, model_files
from finetui_core.data.model_files import read_json
from finetui_core.data.model_source import cannot_load, model_folder, stay_offline
from finetui_core.data.render import ensure_template
from finetui_core.data.rows_cache import keep_tried, was_tried
from finetui_core.data.template import LARGEST_TEMPLATE
from finetui_core.data.template_process import start_template_process
from finetui_core.data.tokenizer_trial import Trial
from finetui_core.errors import InputError, Problem, first_line
from finetui_core.recipe.defaults import default_max_length
from finetui_core.recipe.options import ModelOptions, Recipe
from finetui_core.runs.records import content_of

_READERS = ("tokenizers", "transformers", "jinja2")
"""Libraries that a text goes through."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The tokenizer has its template; `max_length` is in tokens. `key` tells this way of reading text from any other,
    None where that cannot be known."""

    config: Any
    tokenizer: Any
    max_length: int
    template_origin: str
    key: str | None = None


def read_with(recipe: Recipe) -> Reading:
    """What the recipe's rows are read with. Raises InputError where the model lacks it or the parts do not fit."""
    options = recipe.model
    stay_offline(options, recipe.data.train, recipe.data.val)
    folder = model_folder(options)
    key = _key(options, folder)
    if key is not None and was_tried(key):
        config, tried = _load_config(options, folder), True
    else:
        start_template_process()
        with Trial(folder) as trial:
            config, tried = _load_config(options, folder), False
            _check_highest(trial.result() - 1, config)
    tokenizer = _load_tokenizer(options, folder)
    origin = ensure_template(tokenizer, options.chat_template, tried=tried)
    context = context_length(config)
    max_length = recipe.data.max_length or default_max_length(context)
    _check_context(max_length, context)
    _check_vocabulary(tokenizer, config)
    if key is not None and not tried:
        keep_tried(key)
    return Reading(config, tokenizer, max_length, origin, key)


def _key(options: ModelOptions, folder: Path) -> str | None:
    """A digest of all that decides how a text becomes tokens: the model's files, the template, and the code."""
    try:
        template = content_of(Path(options.chat_template), LARGEST_TEMPLATE) if options.chat_template else b""
        parts = [
            code_digest(),
            *map(version, _READERS),
            options.name,
            options.trust_remote_code,
            [options.chat_template, hashlib.sha256(template).hexdigest()],
            *model_files(folder, code=options.trust_remote_code),
        ]
    except OSError:  # which is told when they are read for good
        return None
    return hashlib.sha256(json.dumps(parts).encode(errors="surrogateescape")).hexdigest()


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
