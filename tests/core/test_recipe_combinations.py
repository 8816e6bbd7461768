"""The values of a sweep: parsed, combined and checked all at once."""

import json
from math import prod
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.errors import InputError
from finetui_core.recipe.combinations import MOST, checked_combinations, combine, split_values
from finetui_core.recipe.overrides import parse_value

TOML_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=8)
SCALARS = st.one_of(
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    TOML_TEXT,
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3))


def written(value: Any) -> str:
    """JSON of such a value is TOML as well."""
    return json.dumps(value, ensure_ascii=False)


@given(st.lists(VALUES, min_size=1, max_size=6))
def test_values_come_back_as_they_were_written(values: list[Any]) -> None:
    parts = split_values(", ".join(written(value) for value in values))
    assert [parse_value(part) for part in parts] == values


@given(st.text(max_size=40))
def test_any_text_is_split_without_loss(text: str) -> None:
    parts = split_values(text)
    assert len(parts) <= text.count(",") + 1
    assert "".join(",".join(parts).split()) == "".join(text.split())


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3))
def test_the_product_has_every_combination_once_and_the_last_changes_fastest(sizes: list[int]) -> None:
    names = ("train.seed", "lora.r", "eval.steps")[: len(sizes)]
    given_values = [
        f"{name}={','.join(str(value + 1) for value in range(size))}"
        for name, size in zip(names, sizes, strict=True)
    ]
    combinations, varied, problems = combine(given_values)
    assert not problems
    assert len(set(combinations)) == len(combinations) == prod(sizes)
    assert combinations == sorted(combinations)
    assert varied == [name for name, size in zip(names, sizes, strict=True) if size > 1]


def recipe(folder: Path) -> Path:
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    (folder / "model" / "tokenizer.json").write_text("{}")
    (folder / "rows.jsonl").write_text("{}\n")
    path = folder / "recipe.toml"
    path.write_text('[model]\nname = "./model"\n[data]\ntrain = "rows.jsonl"\n')
    return path


def test_each_combination_is_named_by_what_varies(tmp_path: Path) -> None:
    found = checked_combinations(
        recipe(tmp_path),
        [
            "train.learning_rate=1e-4,2e-4",
            'lora.target_modules=["q_proj","v_proj"],all-linear',
            "train.seed=7",
        ],
    )
    assert [one.label for one in found] == [
        'learning_rate=1e-4, target_modules=["q_proj","v_proj"]',
        "learning_rate=1e-4, target_modules=all-linear",
        'learning_rate=2e-4, target_modules=["q_proj","v_proj"]',
        "learning_rate=2e-4, target_modules=all-linear",
    ]
    assert {one.recipe.train.seed for one in found} == {7}
    assert found[0].recipe.lora.target_modules == ["q_proj", "v_proj"]
    assert found[3].recipe.train.learning_rate == 2e-4


def faults(path: Path, *written_values: str) -> str:
    with pytest.raises(InputError) as refused:
        checked_combinations(path, written_values)
    return str(refused.value)


def test_every_problem_of_every_combination_is_told_once(tmp_path: Path) -> None:
    said = faults(
        recipe(tmp_path), "train.learning_rate=1e-4,7,-1", "lora.r=8,0", "train.sed=1,2", "nonsense"
    )
    for words in ("--set train.learning_rate=7", "--set train.learning_rate=-1", "--set lora.r=0"):
        assert said.count(f"{words}:") == 1, said
    assert "did you mean" in said and '"nonsense" is not of the form' in said
    assert "1e-4:" not in said


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["train.seed=1"], "nothing varies"),
        ([], "nothing varies"),
        (["train.seed=1,,2"], "a value is missing"),
        (["train.seed=1,2,"], "a value is missing"),
        (["train.learning_rate=1e-5,0.00001"], "is given twice"),
        (["train.seed=1,2", "train.seed = 3,4"], "is given several times"),
        (["train.seed=" + ",".join(map(str, range(MOST + 1)))], f"make {MOST + 1} runs"),
        (
            ["train.seed=" + ",".join(map(str, range(40))), "lora.r=" + ",".join(map(str, range(1, 41)))],
            "1,600 runs",
        ),
    ],
)
def test_what_makes_no_sweep_is_said(tmp_path: Path, values: list[str], words: str) -> None:
    assert words in faults(recipe(tmp_path), *values)
