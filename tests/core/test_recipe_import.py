"""Other trainers' configs become recipes that do the same, and no key is lost without a word."""

import json
from pathlib import Path
from typing import Any

import pytest
import tomli

from finetui_core.cli.main import main
from finetui_core.errors import InputError
from finetui_core.recipe.exchange.config_file import parse_config
from finetui_core.recipe.exchange.importing import Imported, import_config
from finetui_core.recipe.load import parse_recipe

TRL = "model_name_or_path: owner/model\ndataset_name: owner/rows\n"
AXOLOTL = """\
base_model: owner/model
datasets:
  - path: owner/rows
    type: chat_template
adapter: lora
learning_rate: 2e-4
"""
FACTORY = """\
model_name_or_path: owner/model
stage: sft
finetuning_type: lora
dataset: ours
template: qwen
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ours.json").write_text("[]")
    write_info(tmp_path, {"file_name": "ours.json"})
    return tmp_path


def write_info(here: Path, entry: dict[str, Any]) -> None:
    (here / "data" / "dataset_info.json").write_text(json.dumps({"ours": entry, "more": entry}))


def imported(here: Path, text: str, trainer: str | None = None, name: str = "config.yaml") -> Imported:
    (here / name).write_text(text, encoding="utf-8")
    return import_config(here / name, trainer, here)


def recipe(done: Imported) -> dict[str, Any]:
    parse_recipe(done.text, "recipe", Path.cwd())
    return tomli.loads(done.text)


def stopped(here: Path, text: str, trainer: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        imported(here, text, trainer)
    assert all(problem.where.startswith(str(here)) for problem in caught.value.problems)
    return str(caught.value)


def why(done: Imported, key: str) -> str:
    return " ".join(one.why for one in done.left if one.key == key)


# --- Traps ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "table", "option", "value"),
    [
        (TRL + "learning_rate: 1e-5", "train", "learning_rate", 1e-5),
        (TRL, "train", "learning_rate", 2e-5),
        (TRL, "train", "method", "full"),
        (TRL, "train", "gradient_checkpointing", True),
        (TRL, "data", "max_length", 1024),
        (TRL, "data", "overlength", "truncate"),
        (TRL, "data", "packing", False),
        (TRL, "train", "lr_scheduler_type", "linear"),
        (TRL, "train", "warmup_steps", 0.0),
        (TRL + "warmup_ratio: 0.1", "train", "warmup_steps", 0.1),
        (TRL + "warmup_steps: 10\nwarmup_ratio: 0.1", "train", "warmup_steps", 10.0),
        (TRL + "lr_scheduler_type: constant\nwarmup_steps: 5", "train", "warmup_steps", 0.0),
        (TRL + "use_peft: true", "lora", "lora_dropout", 0.05),
        (TRL + "use_peft: true\nload_in_4bit: true", "train", "method", "qlora"),
        (TRL + "assistant_only_loss: true", "data", "train_on", "assistant"),
        (TRL, "data", "train_on", "all"),
        (TRL + "eval_strategy: no", "data", "val_fraction", 0.0),
        (TRL + "eval_on_start: false", "eval", "on_start", False),
        (TRL + "eval_strategy: epoch", "data", "val", "hub:owner/rows#test"),
        (TRL + "--weight-decay: 0.1", "train", "weight_decay", 0.1),
        (AXOLOTL, "train", "learning_rate", 2e-4),
        (AXOLOTL, "train", "num_train_epochs", 1),
        (AXOLOTL, "train", "per_device_train_batch_size", 1),
        (AXOLOTL, "train", "warmup_steps", 0.03),
        (AXOLOTL, "data", "max_length", 512),
        (AXOLOTL, "data", "overlength", "drop"),
        (AXOLOTL, "data", "val_fraction", 0.0),
        (AXOLOTL, "lora", "lora_alpha", 8),
        (AXOLOTL + "train_on_inputs: true", "data", "train_on", "all"),
        (AXOLOTL + "train_on_inputs: false", "data", "train_on", "assistant"),
        (AXOLOTL + "lora_target_linear: true", "lora", "target_modules", "all-linear"),
        (AXOLOTL + "load_in_8bit: true", "model", "quantize", "int8"),
        (AXOLOTL + "bf16: auto", "model", "dtype", "auto"),
        (AXOLOTL + "flash_attention: true", "model", "attn_implementation", "flash_attention_2"),
        (AXOLOTL + "saves_per_epoch: 1", "save", "steps", 0),
        (FACTORY, "lora", "r", 8),
        (FACTORY + "lora_rank: 24", "lora", "lora_alpha", 48),
        (FACTORY + "lora_target: all", "lora", "target_modules", "all-linear"),
        (FACTORY + "lora_target: q_proj, v_proj", "lora", "target_modules", ["q_proj", "v_proj"]),
        (FACTORY + "disable_gradient_checkpointing: true", "train", "gradient_checkpointing", False),
        (FACTORY, "train", "gradient_checkpointing", True),
        (FACTORY + "train_on_prompt: true", "data", "train_on", "all"),
        (FACTORY + "mask_history: true", "data", "train_on", "last"),
        (FACTORY + "quantization_bit: 4", "train", "method", "qlora"),
        (FACTORY, "data", "max_length", 2048),
        (FACTORY, "data", "train", "data/ours.json"),
        (FACTORY, "data", "format", "alpaca"),
    ],
)
def test_a_key_or_its_absence_means_here_what_it_means_there(
    here: Path, text: str, table: str, option: str, value: Any
) -> None:
    done = recipe(imported(here, text))
    defaults = {"r": 16, "packing": True, "steps": 0, "target_modules": "all-linear", "dtype": "auto"}
    found = done.get(table, {}).get(option, defaults.get(option))
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        (AXOLOTL + "evals_per_epoch: 4", "evals_per_epoch", "the steps of an epoch divided by 4"),
        (AXOLOTL + "trust_remote_code: true", "trust_remote_code", "only on your word"),
        (AXOLOTL + "batch_size: 64", "batch_size", "over all devices"),
        (AXOLOTL + "optimizer: adamw_bnb_8bit", "optimizer", "32 bits"),
        (AXOLOTL + "learning_rat: 1", "learning_rat", '"learning_rate" meant'),
        (AXOLOTL + "deepspeed: z3.json", "deepspeed", "launch.sharding"),
        (FACTORY, "template", "BOS, EOS"),
        (FACTORY.replace("ours", "ours,more"), "dataset", "more: a recipe has one set of rows"),
        (TRL + "lr_scheduler_type: polynomial", "lr_scheduler_type", "no schedule polynomial"),
    ],
)
def test_what_is_not_carried_over_is_named_with_the_reason(
    here: Path, text: str, key: str, words: str
) -> None:
    done = imported(here, text)
    assert words in why(done, key)
    (line,) = {one.line for one in done.left if one.key == key}
    assert text.splitlines()[line - 1].lstrip("- ").startswith(key)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (AXOLOTL + "rl: dpo", "rl: another kind of training"),
        (AXOLOTL.replace("chat_template", "jeopardy"), "datasets[0].type: the layout jeopardy"),
        (AXOLOTL.replace("owner/rows", "lost.jsonl"), "there is no such file"),
        (AXOLOTL.replace("adapter: lora", "adapter: ia3"), "no method ia3"),
        (AXOLOTL + "unfrozen_parameters: [lm_head]", "unfrozen_parameters"),
        (AXOLOTL + "lora_r: 0", "lora_r: lora.r must be a whole number from 1"),
        (AXOLOTL + "micro_batch_size: many", "micro_batch_size: must be a number"),
        (AXOLOTL + "weight_decay: .nan", "weight_decay: must be a number"),
        (FACTORY.replace("sft", "dpo"), "stage: dpo"),
        (FACTORY.replace("ours", "others"), "others is not in"),
        (FACTORY.replace("lora", "freeze"), "no method freeze"),
        ("model: a/b\nmodel_class: llm\ncutoff_len: 10\n", "v1 trainer"),
        ("dataset_name: a/b\n", "base model is missing"),
    ],
)
def test_what_no_recipe_can_do_stops_with_the_key_and_its_place(here: Path, text: str, words: str) -> None:
    assert words in stopped(here, text)


def test_every_key_of_a_config_is_in_a_list(here: Path) -> None:
    text = AXOLOTL + "wandb_project: p\nplugins: [x]\nfsdp_config: {a: 1}\nstrange: 1\nlora_r: 4\n"
    done = imported(here, text)
    named = {one.key.split("[")[0] for one in (*done.carried, *done.left)}
    assert named == parse_config(text, "c", here).values.keys()


# --- Data sets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "layout"),
    [
        ("type: chat_template, field_messages: conversations", "messages"),
        (
            "type: chat_template, field_messages: conversations, "
            "message_property_mappings: {role: from, content: value}",
            "sharegpt",
        ),
        ("type: alpaca", "alpaca"),
        ("type: completion", "text"),
    ],
)
def test_axolotl_rows_keep_their_layout(here: Path, rows: str, layout: str) -> None:
    done = recipe(imported(here, f"base_model: a/b\ndatasets:\n  - {{path: data/ours.json, {rows}}}\n"))
    assert done["data"]["format"] == layout
    assert done["data"]["train"] == "data/ours.json"


def test_a_second_data_set_and_a_slice_are_said(here: Path) -> None:
    rows = "- {path: a/b, split: 'train[:9%]', type: alpaca}\n- {path: c/d, type: alpaca}\n"
    text = f"base_model: a/b\ndatasets:\n{rows}"
    done = imported(here, text)
    assert recipe(done)["data"]["train"] == "hub:a/b#train"
    assert "slice [:9%]" in why(done, "datasets[0].split")
    assert "one set of training rows" in why(done, "datasets[1]")


OPENAI_TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}


@pytest.mark.parametrize(
    ("entry", "train", "layout"),
    [
        ({"file_name": "ours.json", "formatting": "sharegpt"}, "data/ours.json", "sharegpt"),
        (
            {
                "file_name": "ours.json",
                "formatting": "sharegpt",
                "columns": {"messages": "messages"},
                "tags": OPENAI_TAGS,
            },
            "data/ours.json",
            "messages",
        ),
        ({"hf_hub_url": "o/n", "columns": {"prompt": "text"}}, "hub:o/n#train", "text"),
    ],
)
def test_llama_factory_names_go_through_dataset_info(
    here: Path, entry: dict[str, Any], train: str, layout: str
) -> None:
    write_info(here, entry)
    data = recipe(imported(here, FACTORY))["data"]
    assert (data["train"], data["format"]) == (train, layout)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"file_name": "ours.json", "ranking": True}, "pairs of answers"),
        ({"file_name": "ours.json", "formatting": "sharegpt", "columns": {"images": "images"}}, "text only"),
        (
            {"file_name": "ours.json", "columns": {"prompt": "frage", "response": "output"}},
            "frage for instruction",
        ),
        ({"file_name": "gone.json"}, "there is no such file"),
    ],
)
def test_rows_that_cannot_be_read_stop(here: Path, entry: dict[str, Any], words: str) -> None:
    write_info(here, entry)
    assert words in stopped(here, FACTORY)


# --- The file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: 1\na: 2\n", ":2:1", "written twice, first in line 1"),
        ("a: [1\nb: 2\n", ":2:", "not valid YAML"),
        ("a: !!python/object/apply:os.system ['true']\n", ":1:4", "not a plain value"),
        ("- a\n", ":1:1", "a list of key: value"),
        ("a: \x07\n", ":1:4", "does not allow"),
        ("a: " + "[" * 60 + "]" * 60, ":1:", "nested too deeply"),
        ("a: " + "[" * 5000, "", "nested too deeply"),
        ("", "", "empty"),
        ("a: &a [*a]\n", ":1:", "nested too deeply"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(here: Path, text: str, place: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_config(text, "c.yaml", here)
    (problem,) = caught.value.problems
    assert f"c.yaml{place}" in problem.where and words in problem.what


def test_a_billion_laughs_is_refused(here: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(InputError, match="too large"):
        parse_config("\n".join(lines), "c", here)


def test_anchors_merges_json_and_words_are_read(here: Path) -> None:
    text = "base: &b {lr: 1e-5, seed: 7}\nmore: {<<: *b, seed: 9, on: no}\nbig: 1_000\n"
    values = parse_config(text, "c", here).values
    assert values["more"] == {"lr": "1e-5", "seed": 9, "on": False} and values["big"] == 1000
    rows = '{\n\t"model_name_or_path": "a/b",\n\t"dataset_name": "c/d",\n\t"learning_rate": 1e-5\n}'
    done = imported(here, rows, name="config.json")
    assert (done.trainer, recipe(done)["train"]["learning_rate"]) == ("trl", 1e-5)


# --- The command ------------------------------------------------------------------------------------------


def test_the_command_writes_a_new_file_and_the_three_lists(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "c.yaml").write_text(AXOLOTL + "sample_packing: true\nwandb_project: p\n")
    assert main(["recipe", "import", "c.yaml", "-o", "new.toml", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["from"], facts["guessed"], facts["result"]) == ("axolotl", True, "new.toml")
    assert (here / "new.toml").read_text() == facts["recipe"]
    assert {
        "key": "base_model",
        "line": 1,
        "option": "model.name",
        "value": "owner/model",
        "note": "",
    } in facts["carried_over"]
    assert [one["key"] for one in facts["not_carried_over"]] == ["wandb_project"]
    assert "data.overlength" in {one["option"] for one in facts["defaults_that_differ"]}
    assert main(["recipe", "import", "c.yaml", "-o", "new.toml"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["recipe", "import", "c.yaml"]) == 0
    shown = capsys.readouterr()
    assert tomli.loads(shown.out) == tomli.loads(facts["recipe"])
    assert "guessed" in shown.err and "Defaults that differ" in shown.err


def test_nothing_is_written_when_it_stops(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "c.yaml").write_text(AXOLOTL + "rl: dpo\nqat: {a: 1}\n")
    assert main(["recipe", "import", "c.yaml", "-o", "new.toml"]) == 2
    said = capsys.readouterr().err
    assert "c.yaml:7:1: rl" in said and "c.yaml:8:1: qat" in said
    assert sorted(path.name for path in here.iterdir()) == ["c.yaml", "data"]
    (here / "x.yaml").write_text("a: 1\n")
    assert main(["recipe", "import", "x.yaml"]) == 2
    assert "--from" in capsys.readouterr().err
    assert main(["recipe", "import", "lost.yaml"]) == 2
