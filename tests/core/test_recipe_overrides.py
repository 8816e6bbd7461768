"""`--set table.key=value`, and the recipe text with overrides written in."""

import string
from pathlib import Path
from typing import Any

import pytest
import tomli
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.errors import InputError
from finetui_core.recipe import apply_overrides
from finetui_core.recipe.overrides import parse_overrides, parse_value
from finetui_core.recipe.table import OptionInfo, option_table

RECIPE = """\
# what this run is for
[train]
seed = 1                # chosen by dice
learning_rate = 1e-4

[model]
name = "owner/model"    # the base
"""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("3e-4", 3e-4), ("true", True), ('"3"', "3"), ('["a", "b"]', ["a", "b"]),
        ("./tiny", "./tiny"), ("hub:owner/name#split", "hub:owner/name#split"), ("", ""), ("True", "True"),
        ("1\nname = 2", "1\nname = 2"),
    ],
)  # fmt: skip
def test_a_value_is_toml_or_else_text(text: str, value: Any) -> None:
    assert parse_value(text) == value


def test_spaces_around_an_override_do_not_matter() -> None:
    (override,), problems = parse_overrides([" train . seed = 3 "])
    assert (override.option, override.value, problems) == (("train", "seed"), 3, [])


def test_comments_and_order_are_kept() -> None:
    text = apply_overrides(RECIPE, ["train.seed=7", "lora.r=8", "model.name=other/model"])
    assert text == (
        RECIPE.replace("seed = 1 ", "seed = 7 ").replace('"owner/model" ', '"other/model" ')
        + "\n[lora]\nr = 8\n"
    )


def test_the_last_override_of_an_option_wins() -> None:
    assert tomli.loads(apply_overrides(RECIPE, ["train.seed=7", "train.seed=8"]))["train"]["seed"] == 8


def test_paths_are_written_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = tomli.loads(apply_overrides(RECIPE, ["data.train=a.jsonl", "data.val=hub:a/b"]))
    assert values["data"] == {"train": str(tmp_path / "a.jsonl"), "val": "hub:a/b"}


def test_a_bad_override_is_not_written() -> None:
    with pytest.raises(InputError, match='unknown option "lr"'):
        apply_overrides(RECIPE, ["train.lr=7"])


@pytest.mark.parametrize(
    "text",
    [
        "train = {seed = 1, max_steps = 3}\n",
        "train.seed = 1\ntrain.max_steps = 3\n",
        "[train]\nmax_steps = 3\n[model]\nname = 'x'\n[train.extra]\ny = 1\n",
        "train = {\n  max_steps = 3, # a comment\n}\n",
        "[train]",
        "# nothing but a comment",
        "",
    ],
)
def test_any_way_of_writing_a_table_takes_an_override(text: str) -> None:
    expected = tomli.loads(text)
    expected.setdefault("train", {})["seed"] = 9
    assert tomli.loads(apply_overrides(text, ["train.seed=9"])) == expected


def values_of(option: OptionInfo) -> st.SearchStrategy[Any]:
    match option.kind:
        case "whole number":
            return st.integers(-(10**9), 10**9)
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "switch":
            return st.booleans()
        case "names":
            return st.lists(st.text(string.printable, max_size=8), max_size=3)
        case _:
            return st.text(string.ascii_letters + " #=\"'\\é\n.", max_size=10)


OPTIONS = [
    option for option in option_table() if option.dotted not in ("model.name", "data.train", "data.val")
]
OPTIONS = [
    option for option in OPTIONS if option.name not in ("chat_template", "replay_text", "forgetting_probe")
]
SETTINGS = st.lists(
    st.sampled_from(OPTIONS).flatmap(lambda option: st.tuples(st.just(option), values_of(option))), max_size=5
)


@given(SETTINGS, SETTINGS)
def test_what_is_written_reads_back(
    first: list[tuple[OptionInfo, Any]], second: list[tuple[OptionInfo, Any]]
) -> None:
    """A text made by overrides takes further ones, and each option ends with the value given last."""
    text, expected = RECIPE, tomli.loads(RECIPE)
    for settings in (first, second):
        written = [f"{option.dotted}={tomlkit.item(value).as_string()}" for option, value in settings]
        text = apply_overrides(text, written)
        for option, value in settings:
            expected.setdefault(option.table, {})[option.name] = value
    assert tomli.loads(text) == expected
    assert text.startswith("# what this run is for\n")
