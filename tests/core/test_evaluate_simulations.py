"""What the statistics of a comparison promise, held in simulation; docs/compare.md has the figures."""

import math

import pytest

from benchmarks.compare_statistics import COVERAGES, SITUATIONS, coverage, power, verdicts


def margin(share: float, sets: int) -> float:
    """Three standard errors of a share that was counted over so many simulated comparisons."""
    return 3 * math.sqrt(share * (1 - share) / sets)


@pytest.mark.parametrize("name", ["0 or 1, 25 % differ, gain 10 points", "graded, in groups of 4"])
def test_intervals_cover(name):
    draw, truth, group = COVERAGES[name]
    found = coverage(draw, truth, 100, 400, group=group)
    assert 0.93 - margin(0.93, 400) <= found <= 0.97 + margin(0.97, 400)


@pytest.mark.parametrize("situation", [SITUATIONS[0], SITUATIONS[3]], ids=lambda one: one.says)
def test_verdicts_are_seldom_false(situation):
    found = verdicts(situation, 100, 100, is_binary=True)
    assert found.preferred <= 0.05 + margin(0.05, 100)
    assert found.claimed <= 0.05 + margin(0.05, 100)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("rows", [50, 200])
@pytest.mark.parametrize("name", COVERAGES)
def test_every_interval_covers(name, rows):
    draw, truth, group = COVERAGES[name]
    found = coverage(draw, truth, rows, 2000, group=group)
    assert 0.93 - margin(0.93, 2000) <= found <= 0.97 + margin(0.97, 2000)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("is_binary", [True, False])
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.says)
def test_every_verdict_is_seldom_false(situation, is_binary):
    found = verdicts(situation, 200, 1000, is_binary=is_binary)
    assert found.preferred <= 0.05 + margin(0.05, 1000)
    assert found.claimed <= 0.05 + margin(0.05, 1000)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("discordant", [0.15, 0.25, 0.40, None])
def test_the_gain_that_is_called_detectable_is_shown_in_about_four_of_five_cases(discordant):
    for rows in (100, 300, 1000):
        _, shown = power(rows, 600, discordant=discordant)
        assert 0.72 - margin(0.72, 600) <= shown <= 0.85 + margin(0.85, 600)
