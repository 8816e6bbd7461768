"""What the size guide says of a set, in numbers that can be checked by hand."""

import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.data.check.size import SizeGuide, size_guide, smallest_difference


def words(guide: SizeGuide) -> str:
    return "\n".join(said.text for said in guide.sentences)


@pytest.mark.parametrize(
    ("rows", "tier", "says"),
    [
        (12, "too_few", "collect 38 more"),
        (60, "trial", "whether tuning changes anything"),
        (320, "small", "narrow task"),
        (1_000, "usual", "usual size for one task"),
        (52_000, "large", "hard or broad task"),
    ],
)
def test_each_size_is_told_what_it_can_teach(rows: int, tier: str, says: str) -> None:
    guide = size_guide(rows, rows, rows, 100, None, "lora")
    assert guide.tier == tier and f"{rows:,} different rows" in words(guide) and says in words(guide)
    assert all(said.source for said in guide.sentences)
    json.loads(msgspec.json.encode(guide))


def test_rows_that_repeat_and_prompts_that_return_are_not_counted_twice() -> None:
    guide = size_guide(1_000, 60, 40, 100, None, "lora")
    assert guide.tier == "trial"
    assert "940 of 1,000 rows repeat another" in words(guide) and "40 different prompts for 60" in words(
        guide
    )
    clean = words(size_guide(1_000, 1_000, 990, 100, None, "lora"))
    assert "repeat" not in clean and "different prompts" not in clean


def test_what_a_validation_set_can_show_is_said_in_points() -> None:
    none = size_guide(500, 500, 500, 0, None, "lora")
    assert none.interval is None and "no validation rows" in words(none)
    few = size_guide(500, 500, 500, 20, None, "lora")
    assert few.smallest_difference is None and "too few to show" in words(few)
    assert "200 validation rows would show 10 %" in words(few)
    many = words(size_guide(500, 500, 500, 1_000, None, "lora"))
    assert "50 ± 3 %" in many and "gain of 4 % or more" in many and "would show" not in many


def test_capacity_is_a_matter_of_adapters_only() -> None:
    assert "raise lora.r" in words(size_guide(10**6, 10**6, 10**6, 500, 10**8, "qlora"))
    assert "lora.r" not in words(size_guide(10**6, 10**6, 10**6, 500, 10**8, "full"))
    assert "37,770 tokens an epoch" in words(size_guide(1_000, 1_000, 1_000, 500, 37_770, "lora"))


@pytest.mark.parametrize(
    ("rows", "discordant", "points"),
    [(30, 0.25, 25), (50, 0.25, 19), (100, 0.15, 11), (100, 0.4, 18), (200, 0.25, 10), (1_000, 0.25, 4)],
)
def test_the_smallest_difference_agrees_with_the_published_table(
    rows: int, discordant: float, points: int
) -> None:
    gain = smallest_difference(rows, discordant)
    assert gain is not None and round(100 * gain) == points


def interval_of(rows: int) -> float | None:
    return size_guide(500, 500, 500, rows, None, "lora").interval


def test_the_interval_is_that_of_wilson() -> None:
    # 50 of 100: (0.5 + 1.96²/200 ± 1.96 sqrt(0.25/100 + 1.96²/40000)) / (1 + 1.96²/100) = 0.4038 … 0.5962
    interval = interval_of(100)
    assert interval is not None and math.isclose(interval, 0.0962, abs_tol=1e-4)


@given(st.integers(1, 10**6), st.floats(0.05, 1.0))
def test_more_rows_show_smaller_differences(rows: int, discordant: float) -> None:
    fewer, more = smallest_difference(rows, discordant), smallest_difference(rows + 1, discordant)
    assert fewer is None or (more is not None and more <= fewer + 1e-9)
    interval, narrower = interval_of(rows), interval_of(rows + 1)
    assert interval is not None and narrower is not None and 0 < narrower < interval <= 0.5
