"""Recipes as configs of other trainers, and back: what both can say is kept."""

import json
from pathlib import Path
from typing import Any

import pytest
import tomlkit
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetui_core.cli.main import main
from finetui_core.recipe.exchange.exporting import export_recipe
from finetui_core.recipe.exchange.importing import import_config
from finetui_core.recipe.load import parse_recipe
from finetui_core.recipe.options import Recipe
from finetui_core.recipe.table import OptionInfo, option_table, options_by_path

DATA = ["rows.jsonl", "rows.parquet", "hub:owner/rows", "hub:owner/rows#train", "hub:owner/other#test"]
TEXTS = {
    "cost.currency": st.just("EUR"),
    "model.name": st.sampled_from(["owner/model", "plain"]),
    "model.revision": st.sampled_from(["main", "0" * 40]),
    "model.chat_template": st.just("own.jinja"),
    "data.train": st.sampled_from(DATA),
    "data.val": st.sampled_from(DATA),
    "data.replay_text": st.just("own.jinja"),
    "eval.forgetting_probe": st.just("own.jinja"),
    "launch.rdzv_endpoint": st.just("10.0.0.1:29400"),
}
NAMES = st.lists(
    st.sampled_from(["q_proj", "v_proj", "lm_head", "embed_tokens"]), min_size=1, max_size=3, unique=True
)


def values_of(option: OptionInfo) -> st.SearchStrategy[Any]:
    if option.kind == "text":
        return TEXTS[option.dotted]
    if option.kind == "switch":
        return st.just(False) if option.name == "trust_remote_code" else st.booleans()
    if option.kind == "names":
        return NAMES | st.sampled_from(option.choices) if option.choices else NAMES
    if option.kind == "choice":
        return st.sampled_from(option.choices)
    high = option.maximum if option.maximum is not None else 10_000
    if option.kind == "whole number":
        return st.integers(int(option.minimum or 0), int(high))
    if option.name == "warmup_steps":
        return st.floats(0, 0.999) | st.integers(1, 900).map(float)
    low, above, below = option.minimum or 0.0, option.above_minimum, option.below_maximum
    return st.floats(low, float(high), exclude_min=above, exclude_max=below)


@st.composite
def recipes(draw: st.DrawFn) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for option in option_table():
        if option.required or draw(st.booleans()):
            tables.setdefault(option.table, {})[option.name] = draw(values_of(option))
    without_contradictions(tables)
    return tables


def without_contradictions(tables: dict[str, Any]) -> None:
    """What random options contradict is taken out, so that the recipe is valid."""
    model, data = tables["model"], tables["data"]
    train, lora, evaluation = (tables.setdefault(name, {}) for name in ("train", "lora", "eval"))
    launch = tables.get("launch", {})
    if launch.get("nnodes", 1) == 1 or "rdzv_endpoint" not in launch:
        launch.pop("nnodes", None)
        launch.pop("rdzv_endpoint", None)
    quantize = model.pop("quantize", "none")
    if train.get("method") == "qlora" or model.get("dtype") == "float16":
        launch.pop("sharding", None)
    if train.get("method") == "qlora" and quantize != "none":
        model["quantize"] = quantize
    if "val" in data:
        data.pop("val_fraction", None)
    if data.get("val_fraction") == 0:
        evaluation.pop("early_stopping_patience", None)
    if data.get("replay", 0) == 0:
        data.pop("replay_text", None)
    if "replay_text" in data:
        evaluation.pop("forgetting_probe", None)
    if data.get("format") == "text":
        data.pop("train_on", None)
    if train.get("max_steps", -1) < 900:
        train.pop("max_steps", None)
    if isinstance(lora.get("target_modules"), list):
        lora.pop("modules_to_save", None)
    if model.get("dtype") == "float32":
        model.pop("attn_implementation", None)
    if train.get("method") == "full":
        lora.clear()
        evaluation.pop("on_start", None)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("rows.jsonl", "rows.parquet", "own.jinja"):
        (tmp_path / name).write_text("x")
    return tmp_path


def said(recipe: Recipe, option: str) -> Any:
    table, name = option.split(".")
    value = getattr(getattr(recipe, table), name)
    if option in ("data.train", "data.val") and value.startswith("hub:") and "#" not in value:
        return f"{value}#train"  # the split that is read when none is named
    return value


@pytest.mark.parametrize("target", ["trl", "axolotl"])
@settings(
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.filter_too_much,
        HealthCheck.too_slow,
    ],
)
@given(tables=recipes())
def test_there_and_back_keeps_what_both_can_say(here: Path, target: str, tables: dict[str, Any]) -> None:
    recipe = parse_recipe(tomlkit.dumps(tables), "r.toml", here)
    done = export_recipe(recipe, target)
    (here / "there.yaml").write_text(done.text)
    yaml.safe_load(done.text)
    back_text = import_config(here / "there.yaml", target, here).text
    back = parse_recipe(back_text, "back.toml", here)
    for one in done.carried:
        assert said(back, one.key) == said(recipe, one.key), one
    named = {one.key for one in (*done.carried, *done.left)} | {one.option for one in done.differs}
    for option in option_table():
        value = getattr(getattr(recipe, option.table), option.name)
        if value != options_by_path()[option.path].default and recipe.train.method != "full":
            assert option.dotted in named


def test_the_command_exports_a_config_and_says_what_it_cannot(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = '[model]\nname = "a/b"\n[data]\ntrain = "rows.jsonl"\nformat = "sharegpt"\n[train]\nlearning_rate = 1e-5\n'
    text += "per_device_train_batch_size = 2\n"
    (here / "r.toml").write_text(text + "[eval]\nsamples = 5\n")
    assert main(["recipe", "export", "r.toml", "--to", "axolotl", "-o", "c.yaml", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    config = yaml.safe_load((here / "c.yaml").read_text())
    assert config["learning_rate"] == 1e-5 and config["excess_length_strategy"] == "raise"
    assert "eval_batch_size" not in config  # as in training, there too
    assert config["datasets"][0]["message_property_mappings"] == {"role": "from", "content": "value"}
    assert "eval.samples" in {one["option"] for one in facts["not_carried_over"]}
    assert "data.max_length" in {one["option"] for one in facts["defaults_that_differ"]}
    assert main(["recipe", "export", "r.toml", "--to", "axolotl", "-o", "c.yaml"]) == 2
    assert main(["recipe", "export", "r.toml", "--to", "trl"]) == 0
    shown = capsys.readouterr()
    config = yaml.safe_load(shown.out)
    assert config["datasets"][0]["path"] == "json" and config["per_device_eval_batch_size"] == 2
    assert "data.format: TRL does not read sharegpt" in shown.err
