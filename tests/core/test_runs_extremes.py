"""Extremes and means of any stretch are those of the values themselves, while the column grows."""

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.runs.extremes import Extremes
from finetui_core.runs.machine import machine_point

numbers = st.floats(-1e6, 1e6) | st.just(math.nan)
columns = st.lists(numbers, min_size=1, max_size=40).flatmap(
    lambda few: st.integers(1, 60).map(lambda times: few * times)
)


@given(columns, st.integers(0, 2400), st.integers(0, 2400))
def test_any_stretch_has_its_own_extremes_and_mean(values: list[float], one: int, other: int) -> None:
    start, end = sorted((one % (len(values) + 1), other % (len(values) + 1)))
    known = [value for value in values[start:end] if not math.isnan(value)]
    column = array("d", values[: len(values) // 2])
    extremes = Extremes(column)
    extremes.between(0, len(column))
    column.extend(values[len(values) // 2 :])
    assert extremes.between(start, end) == ((min(known), max(known)) if known else None)
    mean = extremes.mean(start, end)
    assert (mean is None) == (not known)
    assert mean is None or mean == pytest.approx(sum(known) / len(known), abs=1e-6)


def test_a_sample_of_the_machine_becomes_shares() -> None:
    gpu = {"index": 1, "utilization": 0.5, "memory_used": 20, "memory_total": 80}
    sample = {
        "t": 5.0,
        "cpu": 0.25,
        "memory_used": 1,
        "memory_total": 4,
        "trainer_rss": 7,
        "gpus": [gpu, "?"],
    }
    assert machine_point(sample) == {
        "step": 5.0,
        "cpu": 0.25,
        "memory": 0.25,
        "trainer": 7,
        "gpu 1 use": 0.5,
        "gpu 1 memory": 0.25,
    }
    assert machine_point({"gpus": 3, "memory_total": 0, "memory_used": "x"})["memory"] is None
