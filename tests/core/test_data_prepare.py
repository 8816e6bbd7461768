"""From data options to token rows, and what is reported or refused on the way."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.data.prepare import Prepared, prepare
from finetui_core.data.render import Example, ensure_template
from finetui_core.data.token_rows import TokenRows
from finetui_core.errors import InputError
from finetui_core.recipe.options import DataOptions
from tiny_tokenizers import byte_level


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    built = byte_level()
    ensure_template(built, None)
    return built


def write(folder: Path, rows: list[dict[str, Any]], name: str = "train.jsonl") -> str:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def pair(prompt: str, completion: str = "yes") -> dict[str, Any]:
    return {"prompt": prompt, "completion": completion}


def refusal(options: DataOptions, tokenizer: Any, max_length: int = 100) -> InputError:
    with pytest.raises(InputError) as caught:
        prepare(options, tokenizer, max_length, 42)
    return caught.value


def test_rows_become_tokens_and_the_report_adds_up(tmp_path: Path, tokenizer: Any) -> None:
    source = write(tmp_path, [pair(f"question {number}") for number in range(40)])
    prepared = prepare(DataOptions(train=source, val_fraction=0.1), tokenizer, 100, 42)
    report = prepared.report
    assert (report.rows_read, report.train_rows, report.val_rows) == (40, 36, 4)
    assert (len(prepared.train), len(prepared.val)) == (36, 4)
    assert report.train_tokens == prepared.train.lengths.sum() == prepared.train.tokens
    assert report.longest_row_tokens == max(prepared.train.lengths.max(), prepared.val.lengths.max())
    ids, mask = prepared.train[0]
    assert tokenizer.decode(ids[mask]) == "yes</s>"
    assert (
        report.train_supervised_tokens == 36 * mask.sum() and report.val_supervised_tokens == 4 * mask.sum()
    )
    assert report.format == "prompt_completion" and report.val_format is None
    json.dumps(dataclasses.asdict(report))
    assert same(prepared, prepare(DataOptions(train=source, val_fraction=0.1), tokenizer, 100, 42))


def same(one: Prepared, other: Prepared) -> bool:
    return all(
        len(left) == len(right)
        and all(left.sources[row] == right.sources[row] for row in range(len(left)))
        and all(all(map(np.array_equal, left[row], right[row])) for row in range(len(left)))
        for left, right in ((one.train, other.train), (one.val, other.val))
    )


def test_a_validation_file_may_have_another_layout(tmp_path: Path, tokenizer: Any) -> None:
    train = write(tmp_path, [pair("q"), pair("r")])
    shared = {"instruction": "q", "input": "", "output": "yes"}
    val = write(tmp_path, [shared, {"instruction": "new", "output": "no"}], "val.jsonl")
    report = prepare(DataOptions(train=train, val=val, format="prompt_completion"), tokenizer, 100, 42).report
    assert (report.format, report.val_format) == ("prompt_completion", "alpaca")
    assert (report.train_rows, report.val_rows, report.val_rows_also_in_train) == (2, 2, 1)
    assert report.val_sha256 and report.val_sha256 != report.sha256


def test_any_faulty_row_is_refused_with_the_first_twenty_and_their_number(
    tmp_path: Path, tokenizer: Any
) -> None:
    train = write(tmp_path, [pair("q"), *({"prompt": "q"} for _ in range(30))])
    val = write(tmp_path, [pair("q"), {"prompt": 3, "completion": "a"}], "val.jsonl")
    problems = refusal(DataOptions(train=train, val=val), tokenizer).problems
    assert problems[0].what == "30 of 31 rows cannot be used (the first 20 follow)"
    assert [problem.where for problem in problems[1:21]] == [f"{train}:{line}" for line in range(2, 22)]
    assert problems[21].what == "1 of 2 rows cannot be used" and problems[22].where == f"{val}:2"


def test_rows_that_the_template_refuses_are_listed(tmp_path: Path) -> None:
    strict = byte_level()
    strict.chat_template = "{{ raise_exception('never') }}"
    error = refusal(DataOptions(train=write(tmp_path, [pair("q"), pair("r")])), strict)
    assert "2 rows" in error.problems[0].what and "never" in error.problems[1].what


def test_overlength_rows_are_refused_dropped_or_cut(tmp_path: Path, tokenizer: Any) -> None:
    source = write(tmp_path, [pair("short"), pair("q", "yes " * 100), pair("other", "no " * 200)])

    def options(overlength: str) -> DataOptions:
        return DataOptions.model_validate({"train": source, "val_fraction": 0.0, "overlength": overlength})

    problems = refusal(options("error"), tokenizer, 60).problems
    assert problems[0].what.startswith("2 of 3 rows are longer than data.max_length = 60")
    assert all(word in problems[0].hint for word in ("data.max_length", "truncate", "drop"))
    assert [problem.where for problem in problems[1:]] == [f"{source}:2", f"{source}:3"]
    assert all(problem.what.endswith(" tokens") for problem in problems[1:])
    dropped = prepare(options("drop"), tokenizer, 60, 42).report
    assert (dropped.train_rows, dropped.overlength_dropped, dropped.overlength_truncated) == (1, 2, 0)
    cut = prepare(options("truncate"), tokenizer, 60, 42)
    assert (cut.report.train_rows, cut.report.overlength_truncated) == (3, 2)
    assert cut.train.lengths.tolist()[1:] == [60, 60]


def test_rows_cut_before_their_answer_are_refused_and_left_out_where_that_is_accepted(
    tmp_path: Path, tokenizer: Any
) -> None:
    source = write(tmp_path, [pair("short"), pair("long question " * 50)])
    options = DataOptions(train=source, val_fraction=0.0, overlength="truncate")
    summary, problem = refusal(options, tokenizer, 40).problems
    assert "errors in 1 of 2 rows" in summary.what and "--accept-data-errors" in summary.hint
    assert problem.what.startswith("nothing_supervised") and problem.where == f"{source}:2"
    report = prepare(options, tokenizer, 40, 42, accept_errors=True).report
    assert (report.train_rows, report.without_supervised_tokens) == (1, 1)
    assert report.errors == {"nothing_supervised": 1} and "trained on all the same" in report.verdict


@pytest.mark.parametrize("overlength", ["drop", "truncate"])
def test_nothing_left_to_learn_is_refused(tmp_path: Path, tokenizer: Any, overlength: str) -> None:
    long = write(tmp_path, [pair("long question " * 50)])
    short = write(tmp_path, [pair("q")], "short.jsonl")
    for train, val, blamed in ((long, None, long), (short, long, long)):
        options = DataOptions.model_validate({"train": train, "val": val, "overlength": overlength})
        problem = refusal(options, tokenizer, 40).problems[0]
        assert "no row is left to learn from" in problem.what and problem.where == blamed


def test_a_row_of_one_token_has_nothing_to_learn(tmp_path: Path, tokenizer: Any) -> None:
    options = DataOptions(train=write(tmp_path, [{"text": "hello"}]), overlength="truncate")
    assert "no row is left" in refusal(options, tokenizer, 1).problems[0].what


EXAMPLES = st.lists(
    st.lists(st.tuples(st.integers(0, 2**31 - 1), st.booleans()), min_size=1, max_size=5).map(
        lambda tokens: Example(
            np.array([token for token, _ in tokens], np.int32),
            np.array([flag for _, flag in tokens], bool),
            "f:1",
        )
    ),
    max_size=6,
)


@given(EXAMPLES, EXAMPLES)
def test_rows_in_a_file_give_back_what_went_in(one: list[Example], other: list[Example]) -> None:
    for rows, examples in ((TokenRows.of(one), one), (TokenRows.of(one) + TokenRows.of(other), one + other)):
        assert len(rows) == len(rows.sources) == len(examples)
        assert rows.tokens == sum(len(example.ids) for example in examples)
        for index, example in enumerate(examples):
            for ids, mask in (rows[index], rows[index - len(examples)]):
                assert (ids.dtype, mask.dtype) == (np.int32, np.bool_)
                assert np.array_equal(ids, example.ids) and np.array_equal(mask, example.mask)
            assert rows.sources[index] == example.source
        assert len(list(rows)) == len(examples)
        with pytest.raises(IndexError):
            rows[len(examples)]
