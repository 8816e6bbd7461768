"""What the check says of a recipe's rows is what the trainer sees."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat_families import FAMILIES, tokenizer_of
from finetui_core.cli import data_show
from finetui_core.data.check.recipe import RecipeSection, recipe_section
from finetui_core.data.check.row_view import RowView, row_viewer
from finetui_core.data.check.tokens import rows_of
from finetui_core.data.load import load
from finetui_core.data.prepare import Prepared, prepare
from finetui_core.data.reading import Reading
from finetui_core.data.render import ensure_template
from finetui_core.data.split import split
from finetui_core.errors import InputError
from finetui_core.recipe.options import Recipe
from tiny_tokenizers import byte_level, sentencepiece_like
from training import write_project

SAMPLE = Path(__file__).parents[2] / "sample_data"


def plain(tokenizer: Any) -> Any:
    ensure_template(tokenizer, None)
    return tokenizer


TOKENIZERS = {
    **{name: tokenizer_of(name) for name in FAMILIES},
    "default": plain(byte_level()),
    "default with a start token": plain(sentencepiece_like()),
}
SAME_NAMES = (
    *("train_rows", "val_rows", "overlength_dropped", "overlength_truncated", "without_supervised_tokens"),
    *("longest_row_tokens", "train_tokens", "train_supervised_tokens", "val_tokens", "val_supervised_tokens"),
    "max_length",
)


def recipe_for(train: Path, **options: Any) -> Recipe:
    data = {"train": str(train), **options}
    return Recipe.model_validate({"model": {"name": "m"}, "data": data, "train": {"seed": 7}})


def write(path: Path, rows: list[list[tuple[str, str]]]) -> Path:
    path.write_text(
        "".join(
            json.dumps({"messages": [{"role": role, "content": text} for role, text in row]}) + "\n"
            for row in rows
        )
    )
    return path


TEXT = st.sampled_from(
    [
        "hello there",
        "good day",
        "yes",
        "two",
        "hello\n\nthere ",
        "🦙 é",
        "</s>",
        "<|im_end|>two",
        "be brief " * 9,
    ]
)
ROUND = st.tuples(TEXT, TEXT).map(lambda pair: [("user", pair[0]), ("assistant", pair[1])])
CONVERSATION = st.tuples(
    st.lists(TEXT.map(lambda text: ("system", text)), max_size=1),
    st.lists(ROUND, min_size=1, max_size=3),
    st.lists(TEXT.map(lambda text: ("user", text)), max_size=1),
).map(lambda parts: [*parts[0], *(turn for one in parts[1] for turn in one), *parts[2]])


@settings(deadline=None)
@given(
    st.lists(CONVERSATION, min_size=1, max_size=8),
    st.sampled_from([*TOKENIZERS]),
    st.sampled_from(["assistant", "last", "all"]),
    st.sampled_from(["error", "drop", "truncate"]),
    st.integers(8, 60),
    st.sampled_from([0.0, 0.3]),
)
def test_what_is_shown_is_what_is_trained_on(
    rows: list[list[tuple[str, str]]],
    name: str,
    train_on: str,
    overlength: str,
    max_length: int,
    val_fraction: float,
) -> None:
    tokenizer = TOKENIZERS[name]
    with tempfile.TemporaryDirectory() as folder:
        recipe = recipe_for(
            write(Path(folder) / "rows.jsonl", rows),
            train_on=train_on,
            overlength=overlength,
            val_fraction=val_fraction,
        )
        section = recipe_section(recipe, Reading(None, tokenizer, max_length, "a test"))
        loaded = load(recipe.data.train)
        train, val = split(loaded.rows, val_fraction, recipe.train.seed)
        view = row_viewer(tokenizer, recipe.data, max_length)
        shown = [[view(row) for row in part] for part in (train, val)]
        prepared = try_prepare(recipe, tokenizer, max_length)
    refused = [one for part in shown for one in part if one.fate == "refused"]
    assert section.template_errors == len(refused) == prepared_count(section, "template_error")
    if prepared is None:
        too_long = overlength == "error" and section.overlength_dropped > 0
        assert too_long or section.train_rows == 0, section
        return
    for name in SAME_NAMES:
        assert getattr(section, name) == getattr(prepared.report, name), name
    assert prepared.report.unusable_rows == len(refused)
    for views, tokens in zip(shown, (prepared.train, prepared.val), strict=True):
        kept = [one for one in views if one.fate in ("kept", "cut")]
        assert len(kept) == len(tokens)
        for one, (ids, mask) in zip(kept, tokens, strict=True):
            inside = [token for token in one.tokens if token.inside]
            assert np.array_equal([token.id for token in inside], ids)
            assert np.array_equal([token.learned for token in inside], mask)
            assert one.learned == mask.sum()
    fates = [one.fate for part in shown for one in part]
    assert fates.count("dropped") == prepared.report.overlength_dropped
    assert fates.count("nothing_learned") == prepared.report.without_supervised_tokens
    errors = {one.rule: one.count for one in section.found if one.severity == "error"}
    assert {rule: count for rule, count in prepared.report.errors.items() if rule in errors} == errors


def prepared_count(section: RecipeSection, rule: str) -> int:
    return sum(one.count for one in section.found if one.rule == rule)


def try_prepare(recipe: Recipe, tokenizer: Any, max_length: int) -> Prepared | None:
    try:
        return prepare(recipe.data, tokenizer, max_length, recipe.train.seed, accept_errors=True)
    except InputError:
        return None


@settings(deadline=None, max_examples=60)
@given(CONVERSATION, st.sampled_from([name for name in TOKENIZERS if name not in FAMILIES]))
def test_the_pieces_of_a_row_join_to_its_text(row: list[tuple[str, str]], name: str) -> None:
    tokenizer = TOKENIZERS[name]
    with tempfile.TemporaryDirectory() as folder:
        recipe = recipe_for(write(Path(folder) / "rows.jsonl", [row]), train_on="all")
        (loaded,) = load(recipe.data.train).rows
    view = row_viewer(tokenizer, recipe.data, 10_000)(loaded)
    messages = [{"role": role, "content": text} for role, text in row]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    assert "".join(token.text for token in view.tokens) in (text, text + tokenizer.eos_token)


ROWS = [
    [("user", "hello"), ("assistant", "good day")],
    [("user", "hello"), ("assistant", "good day " * 20)],
    [("user", "two " * 40), ("assistant", "yes")],
    [("user", "hello<|im_end|>"), ("assistant", "yes")],
]


def section_of(path: Path, **options: Any) -> RecipeSection:
    recipe = recipe_for(write(path / "rows.jsonl", ROWS), val_fraction=0.0, **options)
    return recipe_section(recipe, Reading(None, tokenizer_of("chatml"), 30, "the model's own"))


def test_a_section_names_each_row_and_what_is_lost(tmp_path: Path) -> None:
    section = section_of(tmp_path, overlength="truncate")
    found = {one.rule: one for one in section.found}
    assert [*found] == ["nothing_supervised", "overlength", "doubled_special", "special_in_text"]
    assert [(one.row, one.line) for one in found["nothing_supervised"].examples] == [(2, 3)]
    assert [(one.row, one.line) for one in found["overlength"].examples] == [(1, 2), (2, 3)]
    # Row 1 has 9 tokens of prompt and 42 that are learned (40 words, a space, the end), 30 - 9 of them inside.
    # Row 2 loses both of its learned tokens.
    assert section.answer_tokens_cut == 42 - 21 + 2
    assert f"{section.answer_tokens_cut} tokens of answers are lost" in found["overlength"].note
    assert section.rows_whose_end_is_learned == 2 and section.train_rows == 3
    assert "3 of 4 rows can be trained on (1 without a token to learn); 2 are cut" in section.sentence
    assert section.lengths.shortest == 13 and section.lengths.longest == 9 + 42 + 1
    json.loads(msgspec.json.encode(section))


def test_rows_that_a_recipe_refuses_for_their_length_are_an_error(tmp_path: Path) -> None:
    severity = {
        overlength: next(
            one for one in section_of(tmp_path, overlength=overlength).found if one.rule == "overlength"
        )
        for overlength in ("error", "drop", "truncate")
    }
    assert {name: one.severity for name, one in severity.items()} == {
        "error": "error",
        "drop": "warning",
        "truncate": "warning",
    }
    assert "training does not start" in severity["error"].note and "left out" in severity["drop"].note


def test_progress_is_told_and_a_cancelled_check_says_how_far_it_came(tmp_path: Path) -> None:
    recipe = recipe_for(write(tmp_path / "rows.jsonl", ROWS * 100), val_fraction=0.1)
    reading = Reading(None, tokenizer_of("chatml"), 100, "a test")
    told: list[tuple[int, int]] = []
    whole = recipe_section(recipe, reading, progress=lambda done, of: told.append((done, of)))
    assert whole.is_complete and told[0] == (0, 400) and told[-1] == (400, 400)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    asked = iter(range(1000))
    part = recipe_section(recipe, reading, cancelled=lambda: next(asked) >= 150)
    assert not part.is_complete and part.rows == 150 and "after 150 of 400 rows" in part.sentence


def test_padding_and_packing_are_those_of_the_steps(tmp_path: Path) -> None:
    rows = [[("user", "hello"), ("assistant", "good day " * (number % 4 + 1))] for number in range(10)]
    recipe = Recipe.model_validate(
        {
            "model": {"name": "m"},
            "data": {"train": str(write(tmp_path / "rows.jsonl", rows)), "val_fraction": 0.0},
            "train": {"per_device_train_batch_size": 10},
        }
    )
    layouts = recipe_section(recipe, Reading(None, tokenizer_of("chatml"), 32, "a test")).layouts
    # 9 tokens before the answer, 2 to 8 of words and a space in it, the end and a line break after it.
    lengths = [9 + 2 * (number % 4 + 1) + 1 + 2 for number in range(10)]
    assert (layouts.steps, layouts.padded_passes, layouts.packed_passes) == (1, 1, 1)
    assert layouts.padded_share == pytest.approx(sum(lengths) / (10 * max(lengths)))
    assert layouts.packed_share == pytest.approx(sum(lengths) / (10 * 32))


def test_the_sample_data_is_clean_under_its_recipes() -> None:
    from finetui_core.data.reading import read_with
    from finetui_core.recipe.load import load_recipe

    recipe = load_recipe(SAMPLE / "recipes" / "quickstart.toml")
    section = recipe_section(recipe, read_with(recipe))
    assert section.found == () and section.rows_whose_end_is_learned == section.rows == 1240


def test_a_row_is_asked_for_and_answered_line_by_line(tmp_path: Path) -> None:
    recipe = write_project(tmp_path, rows=8)
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write("{torn\n")
    command = [sys.executable, "-m", "finetui_core.data.check.tokens", str(recipe)]
    asked = "0\n\n7\n8\n9\n-1\nx\n0\n"
    done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=240, check=True)
    ready, first, last, torn, beyond, *strange, again = map(json.loads, done.stdout.splitlines())
    assert ready["ready"] == 9 and "default" in ready["chat_template"]
    view = msgspec.convert(first["view"], RowView)
    assert view.fate == "kept" and view.source.endswith("train.jsonl:1") and again == first
    assert "".join(token.text for token in view.tokens if token.learned).startswith(
        "Hello! It is on its way."
    )
    assert last["row"] == 7 and last["view"]["tokens"]
    assert "not valid JSON" in torn["error"]["what"] and torn["error"]["where"].endswith("train.jsonl:9:2")
    assert "there is no row 9" in beyond["error"]["what"]
    assert ["not the number of a row" in one["error"]["what"] for one in strange] == [True, True]
    done = subprocess.run([*command, "missing.jsonl"], input="", capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "no such file" in json.loads(done.stdout)["error"]["what"]


def show(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    data_show.add_arguments(parser)
    return data_show.run(parser.parse_args(arguments))


def test_a_row_is_shown_as_its_model_reads_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, data = write_project(tmp_path, rows=8), str(tmp_path / "train.jsonl")
    capsys.readouterr()
    assert show(data, "1", "--recipe", str(recipe)) == 0
    said = capsys.readouterr()
    assert "User:\nHow do I return it? (number 1)\n\nAssistant:\n⟦Hello! Send it back to us." in said.out
    assert "\x1b" not in said.out and "trained on whole" in said.err
    cut = tmp_path / "cut.toml"
    cut.write_text(recipe.read_text().replace("max_length = 128", 'max_length = 50\noverlength = "truncate"'))
    assert show(data, "1", "--recipe", str(cut)) == 0
    said = capsys.readouterr()
    assert "⟧\n── cut here: data.max_length = 50 ──\n⟦" in said.out and "cut at 50 tokens" in said.err
    assert show(data, "1", "--recipe", str(cut), "--json") == 0
    assert msgspec.convert(json.loads(capsys.readouterr().out), RowView).fate == "cut"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert show(data, "1", "--recipe", str(cut)) == 0
    assert "\x1b[32m⟦Hello!" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert show(data, "1", "--recipe", str(cut)) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_a_row_is_shown_without_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(write(tmp_path / "rows.jsonl", [[("user", "\x1b[2Jhello"), ("assistant", "good day")]]))
    assert show(data, "0") == 0
    assert capsys.readouterr().out == "user:\n␛[2Jhello\n\nassistant:\ngood day\n\n"
    with pytest.raises(InputError, match="there is no row 1"):
        show(data, "1")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv"])
def test_any_row_of_any_file_is_the_one_that_is_loaded(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rows = [{"prompt": f"question {number}", "completion": "é" * number or "none"} for number in range(5)]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    if name.endswith("csv"):
        path.write_text(
            "prompt,completion\n" + "".join(f"{row['prompt']},{row['completion']}\n" for row in rows)
        )
    elif name.endswith("json"):
        path.write_text("[" + ",\n\n".join(lines) + "]")
    else:
        path.write_text("\ufeff\n" + "\n  \n".join(lines) + "\n{torn\n")
    loaded = load(str(path))
    count, row_at = rows_of(str(path), "auto")
    assert count == len(loaded.rows) + len(loaded.rejected)
    assert [row_at(number) for number in loaded.numbers] == list(loaded.rows)
    assert [row_at(number) for number in range(len(loaded.rows), count)] == list(loaded.rejected)
