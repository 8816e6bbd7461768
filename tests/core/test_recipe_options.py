"""The list of options is a decision, and everything made from it is current."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from finetui_core.recipe import Recipe, recipe_json
from finetui_core.recipe.options import DataOptions, LoraOptions, ModelOptions
from finetui_core.recipe.reference import reference_page
from finetui_core.recipe.table import OptionInfo, json_schema, option_table

ROOT = Path(__file__).parents[2]

FROZEN = """
model: name revision dtype quantize chat_template attn_implementation trust_remote_code
data: train val val_fraction format train_on max_length overlength packing replay
    replay_text
train: method learning_rate num_train_epochs max_steps per_device_train_batch_size gradient_accumulation_steps
    lr_scheduler_type warmup_steps weight_decay max_grad_norm on_nonfinite gradient_checkpointing seed
lora: r lora_alpha lora_dropout target_modules use_rslora use_dora modules_to_save
eval: steps on_start per_device_eval_batch_size max_rows early_stopping_patience samples sample_max_new_tokens
    forgetting_probe meters
save: steps minutes total_limit keep_best
launch: nproc_per_node nnodes rdzv_endpoint max_restarts sharding
cost: gpu_hour_price currency
"""


def test_a_new_option_is_a_decision() -> None:
    words = FROZEN.split()
    expected, table = [], ""
    for word in words:
        if word.endswith(":"):
            table = word[:-1]
        else:
            expected.append(f"{table}.{word}")
    assert [option.dotted for option in option_table()] == expected


@pytest.mark.parametrize("option", option_table(), ids=lambda option: option.dotted)
def test_every_option_has_one_plain_sentence_of_help(option: OptionInfo) -> None:
    assert option.help.endswith(".") and "|" not in option.help
    assert option.level in ("essential", "common", "all")


def test_defaults_are_inside_their_own_ranges() -> None:
    recipe = Recipe(model=ModelOptions(name="a/b"), data=DataOptions(train="c"))
    assert Recipe.model_validate(json.loads(json.dumps(recipe_json(recipe)))) == recipe


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        LoraOptions().r = 3  # type: ignore[misc]


def test_the_schema_describes_every_table() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == set(Recipe.model_fields)
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["TrainOptions"]["properties"]["seed"]["maximum"] == 2**32 - 1


def test_the_reference_page_is_current() -> None:
    """Write it anew with `python -m finetui_core.recipe.reference > docs/recipe.md`."""
    assert (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8") == reference_page()


def test_no_training_library_is_imported() -> None:
    code = (
        "import sys, finetui_core.recipe, finetui_core.recipe.defaults, finetui_core.recipe.reference\n"
        "print({'torch', 'transformers', 'peft', 'datasets', 'textual'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "core", capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"
