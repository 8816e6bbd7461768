"""Statistics that decide between arms: known values, and what must hold in simulation."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.evaluate.statistics import (
    bootstrap_means,
    compare,
    detectable_gain,
    holm,
    mcnemar,
    percentile_interval,
    sign_flip_p,
    wilson,
)


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [(0, 0, 1.0), (6, 0, 2 / 64), (5, 0, 2 / 32), (10, 2, 2 * (1 + 12 + 66) / 4096), (7, 7, 1.0)],
)
def test_mcnemar_is_the_exact_binomial(gained, lost, p):
    assert mcnemar(gained, lost) == pytest.approx(p)
    assert mcnemar(lost, gained) == pytest.approx(p)


def test_mcnemar_of_many_rows_stays_finite():
    assert 0 < mcnemar(5_200, 4_800) < 1e-3
    assert mcnemar(100_000, 100_000) == 1.0


@pytest.mark.parametrize(
    ("right", "rows", "low", "high"), [(8, 10, 0.490, 0.943), (0, 20, 0.0, 0.161), (50, 100, 0.404, 0.596)]
)
def test_wilson_as_in_the_tables(right, rows, low, high):
    interval = wilson(right, rows)
    assert (round(interval.low, 3), round(interval.high, 3)) == (low, high)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_makes_anything_more_significant(probabilities):
    adjusted = holm(probabilities)
    assert all(after >= before for after, before in zip(adjusted, probabilities, strict=True))
    assert max(adjusted) <= 1
    order = sorted(range(len(adjusted)), key=lambda one: probabilities[one])
    assert [adjusted[one] for one in order] == sorted(adjusted)


@pytest.mark.parametrize(("rows", "points"), [(100, 14), (200, 10), (300, 8), (500, 6), (1000, 4)])
def test_detectable_gains_of_accuracy_are_those_of_the_table(rows, points):
    assert round(100 * detectable_gain(rows, binary=True)) == points


@pytest.mark.parametrize(("rows", "gain"), [(30, 0.10), (100, 0.056), (1000, 0.018)])
def test_detectable_gains_of_a_graded_score(rows, gain):
    assert detectable_gain(rows, binary=False) == pytest.approx(gain, abs=0.003)


def test_too_few_rows_can_show_nothing():
    assert detectable_gain(0, binary=True) is None
    assert detectable_gain(12, binary=True) is None


def test_signs_of_one_row_say_nothing():
    assert sign_flip_p([0.3], 0) == 1.0
    assert sign_flip_p([0.0, 0.0], 0) == 1.0
    assert sign_flip_p([0.1] * 20, 0) < 0.001


def test_a_large_gain_is_better_and_a_large_loss_is_worse():
    base = [0.0, 1.0] * 50
    (gain,) = compare([[1.0] * 100], base)
    (loss,) = compare([base], [1.0] * 100)
    assert (gain.judgement, loss.judgement) == ("better", "worse")
    assert gain.gain == 0.5
    assert gain.interval.low > 0.35


def test_equal_answers_are_equivalent_only_where_there_are_enough():
    (many,) = compare([[1.0] * 200], [1.0] * 200)
    (few,) = compare([[1.0] * 20], [1.0] * 20)
    (one,) = compare([[1.0]], [0.0])
    (none,) = compare([[]], [])
    assert (many.judgement, few.judgement) == ("equivalent", "no_difference_shown")
    assert one.judgement == none.judgement == "no_difference_shown"


def test_groups_of_rows_count_once():
    """Ten copies of five rows are five rows: what seems sure over fifty is not."""
    base, arm = [0.0] * 50, [1.0] * 50
    groups = [str(row // 10) for row in range(50)]
    (alone,), (grouped,) = compare([arm], base), compare([arm], base, groups=groups)
    assert alone.p < 1e-9
    assert grouped.p > 0.05
    assert grouped.judgement == "no_difference_shown"


def test_more_arms_ask_for_more_evidence():
    base = [0.0] * 40
    arm = [1.0] * 6 + [0.0] * 34
    (alone,) = compare([arm], base)
    among = compare([arm, *[[1.0] + [0.0] * 39] * 3], base)[0]
    assert alone.p == among.p < 0.05
    assert alone.judgement == "better"
    assert among.judgement == "no_difference_shown"


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=30), st.integers(0, 100))
def test_the_interval_is_the_same_for_the_same_seed_and_turns_round_with_the_arms(differences, seed):
    first = percentile_interval(bootstrap_means(differences, seed, resamples=200))
    again = percentile_interval(bootstrap_means(differences, seed, resamples=200))
    turned = percentile_interval(bootstrap_means([-one for one in differences], seed, resamples=200))
    assert first == again
    assert (turned.low, turned.high) == pytest.approx((-first.high, -first.low))
    assert min(differences) - 1e-9 <= first.low <= first.high <= max(differences) + 1e-9


def test_intervals_cover_the_truth_and_verdicts_seldom_lie():
    """400 sets of 100 rows: coverage within simulation error of 95 %, false verdicts at most 5 % and a margin."""
    generator = np.random.default_rng(7)
    covered = false = 0
    sets = 400
    for number in range(sets):
        base = generator.beta(2, 2, 100)
        arm = np.clip(base + generator.normal(0, 0.2, 100), -1, 2)
        differences = (arm - base).tolist()
        interval = percentile_interval(bootstrap_means(differences, number, resamples=1000))
        covered += interval.low <= 0 <= interval.high
        (one,) = compare([arm.tolist()], base.tolist(), seed=number)
        false += one.judgement in ("better", "worse")
    margin = 3 * math.sqrt(0.05 * 0.95 / sets)
    assert abs(covered / sets - 0.95) <= margin + 0.01
    assert false / sets <= 0.05 + margin


def test_the_detectable_gain_is_shown_in_four_of_five_cases():
    draw = random.Random(3)
    rows = 200
    gain = detectable_gain(rows, binary=True)
    shown = 0
    for _ in range(300):
        gained = lost = 0
        for _ in range(rows):
            chance = draw.random()
            gained += chance < (0.25 + gain) / 2
            lost += (0.25 + gain) / 2 <= chance < 0.25
        shown += mcnemar(gained, lost) <= 0.05
    assert 0.68 <= shown / 300 <= 0.90
