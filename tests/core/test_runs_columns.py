"""Columns hold exactly what the records said, in order of steps, however they came."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.runs.columns import MOST_COLUMNS, Columns

values = st.one_of(
    st.floats(),
    st.integers(),
    st.none(),
    st.booleans(),
    st.text(max_size=2),
    st.just([1.0]),
    st.just(10**400),
)
hostile_records = st.dictionaries(st.sampled_from(["step", "loss", "grad_norm", "nonfinite", "t"]), values)
good_records = st.lists(
    st.fixed_dictionaries(
        {"step": st.integers(1, 50), "loss": st.floats(-5, 5), "tokens": st.integers(0, 9)}
    ),
    max_size=40,
)


def columns_of(records: list[dict[str, Any]]) -> Columns:
    columns = Columns()
    for record in records:
        columns.append(record)
    return columns


def content(columns: Columns) -> list[dict[str, Any]]:
    return [columns.record(place) for place in range(len(columns))]


@given(st.lists(hostile_records, max_size=30))
def test_any_records_leave_aligned_columns_in_order_of_finite_steps(records: list[dict[str, Any]]) -> None:
    columns = columns_of(records)
    steps = list(columns.column("step"))
    assert all(math.isfinite(step) for step in steps) and steps == sorted(set(steps))
    for name in columns.names():
        assert len(columns.column(name)) == len(columns)
        assert all(math.isfinite(value) or math.isnan(value) for value in columns.column(name))


@given(good_records, st.integers(1, 10))
def test_many_at_once_are_the_same_as_one_by_one(records: list[dict[str, Any]], size: int) -> None:
    ascending = sorted({record["step"]: record for record in records}.values(), key=lambda r: r["step"])
    at_once = Columns()
    for start in range(0, len(ascending), size):
        at_once.extend(ascending[start : start + size])
    assert content(at_once) == content(columns_of(ascending)) == ascending


@given(good_records)
def test_a_step_that_comes_again_replaces_what_was_there_from_it_on(records: list[dict[str, Any]]) -> None:
    expected: list[dict[str, Any]] = []
    for record in records:
        expected = [*(one for one in expected if one["step"] < record["step"]), record]
    at_once = Columns()
    at_once.extend(records)
    assert content(columns_of(records)) == content(at_once) == expected


def test_a_quantity_that_comes_late_is_nan_before() -> None:
    columns = columns_of([{"step": 1, "loss": 2.0}, {"step": 2, "grad_norm": 1.5}])
    assert columns.names() == ("step", "loss", "grad_norm")
    assert columns.record(0) == {"step": 1, "loss": 2.0, "grad_norm": None}
    assert columns.record(-1) == {"step": 2, "loss": None, "grad_norm": 1.5}
    assert len(columns.column("unknown")) == 2
    with pytest.raises(IndexError):
        columns.record(2)


def test_the_starts_of_stretches_that_are_not_finite_are_noted() -> None:
    columns = Columns()
    for step in range(1, 8):
        word = {3: "nan", 4: "nan", 6: "inf"}.get(step)
        columns.append(
            {"step": step, "loss": None if word else 1.0, **({"nonfinite": {"loss": word}} if word else {})}
        )
    assert columns.nonfinite == [(3.0, "loss", "nan"), (6.0, "loss", "inf")]
    columns.keep_until(5)
    assert columns.nonfinite == [(3.0, "loss", "nan")]


def test_columns_that_were_taken_are_never_cut() -> None:
    columns = columns_of([{"step": step, "loss": 1.0} for step in range(1, 11)])
    taken = columns.column("loss")
    columns.keep_until(4)
    assert (len(taken), len(columns), columns.cut) == (10, 4, 1)


def test_endless_new_names_do_not_fill_the_memory() -> None:
    columns = columns_of([{"step": step, f"name {step}": 1.0} for step in range(1, 1000)])
    assert len(columns.names()) == MOST_COLUMNS and len(columns) == 999
