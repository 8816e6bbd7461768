"""Paired statistics over rows that every arm has answered: tests, intervals, and what so many rows can show.

Rows are paired, so differences are taken row by row: that removes how hard a row is from the comparison
(Miller 2024, Adding Error Bars to Evals).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from finetui_core.data.check.size import smallest_difference
from finetui_core.evaluate.intervals import LEVEL as LEVEL
from finetui_core.evaluate.intervals import Interval as Interval
from finetui_core.evaluate.intervals import wilson as wilson

Judgement = Literal["better", "worse", "no_difference_shown", "equivalent"]

POWER = 0.8
RESAMPLES = 10_000
EQUIVALENT = 0.02
"""Half the width of the band within which two arms count as equal: two points of a score from 0 to 1."""
_ALL_EQUAL = 150
"""Rows without any difference that bound one by two points (rule of three: 3 / rows)."""
_FEWEST_ONE_WAY = 6
"""Discordant rows, all on one side, from which McNemar's exact test reaches 5 %."""
_MANY_TIMES = 4
"""Where values come so often on average, drawing counts of them is faster than drawing rows."""
_USUAL_SPREAD = 0.20
"""Standard deviation of row differences of ROUGE-L and the like, where none is measured yet."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One arm against another on the same rows. `gain` is the mean row difference, `p` that of no difference.

    `adjusted_p` is `p` after Holm's correction over the arms that were compared; `detectable` the smallest gain
    that so many rows show in four of five cases.
    """

    rows: int
    gain: float
    interval: Interval
    p: float
    adjusted_p: float
    detectable: float | None
    judgement: Judgement


def mcnemar(gained: int, lost: int) -> float:
    """The exact two-sided probability of a split at least as uneven if both arms were equally good.

    `gained` and `lost` are the rows that only the one or only the other arm has right (McNemar 1947, exact
    binomial form). Without any such row it is 1.
    """
    rows, fewer = gained + lost, min(gained, lost)
    if rows == 0:
        return 1.0
    logs = [math.lgamma(rows + 1) - math.lgamma(k + 1) - math.lgamma(rows - k + 1) for k in range(fewer + 1)]
    tail = math.fsum(math.exp(log - rows * math.log(2)) for log in logs)
    return min(1.0, 2 * tail)


def bootstrap_means(
    differences: Sequence[float], seed: int, groups: Sequence[str] | None = None, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """Means of row differences drawn again, sorted; with `groups` whole groups are drawn (clustered bootstrap)."""
    values = np.asarray(differences, dtype=np.float64)
    generator = np.random.default_rng([seed, len(values)])
    if groups is None:
        distinct, counts = np.unique(values, return_counts=True)
        if len(distinct) * _MANY_TIMES <= len(values):  # how often each value is drawn is all that matters
            drawn = generator.multinomial(len(values), counts / len(values), resamples)
            return np.sort(drawn @ distinct / len(values))
    members = _members(groups, len(values))
    sums, sizes = np.bincount(members, values), np.bincount(members)
    means = np.empty(resamples)
    step = max(1, 2_000_000 // max(1, len(sums)))
    for start in range(0, resamples, step):
        drawn = generator.integers(0, len(sums), (min(step, resamples - start), len(sums)))
        count = len(values) if groups is None else sizes[drawn].sum(1)
        means[start : start + len(drawn)] = sums[drawn].sum(1) / count
    return np.sort(means)


def _members(groups: Sequence[str] | None, rows: int) -> NDArray[np.intp]:
    """The number of each row's group; without groups each row is its own."""
    return np.arange(rows) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]


def percentile_interval(
    means: NDArray[np.float64], level: float = LEVEL, units: int | None = None
) -> Interval:
    """The interval between two percentiles of drawn means.

    With `units`, how many rows or groups each mean was drawn from, the percentiles lie further out, since few units
    understate how much means vary: the expanded interval of Hesterberg (2015), which uses Student's t.
    """
    tail = level / 2
    if units is not None:
        if units < 2:
            return Interval(float(means[0]), float(means[-1]))
        tail = NormalDist().cdf(_student_t(tail, units - 1) * math.sqrt(units / (units - 1)))
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _student_t(tail: float, freedom: int) -> float:
    """The quantile of Student's t by its series (Abramowitz and Stegun 1964, 26.7.5), to 2 % from 3 degrees on."""
    z = NormalDist().inv_cdf(tail)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))


def unit_count(rows: int, groups: Sequence[str] | None) -> int:
    """How many rows, or groups of them, are drawn at a time."""
    return rows if groups is None else len(set(groups))


def sign_flip_p(differences: Sequence[float], seed: int, groups: Sequence[str] | None = None) -> float:
    """The two-sided probability of a mean at least as far from 0 if each row's difference could have either sign.

    The randomisation test of paired differences (Fisher 1935; Dror et al. 2018 for language tasks), over groups
    where rows come in such; the observed signs count as one of the draws, so it is never 0.
    """
    values = np.asarray(differences, dtype=np.float64)
    sums = np.bincount(_members(groups, len(values)), values)
    observed = abs(sums.sum())
    if observed == 0:
        return 1.0
    generator = np.random.default_rng([seed, len(values), 1])
    beyond, step = 0, max(1, 2_000_000 // len(sums))
    for start in range(0, RESAMPLES, step):
        ones = generator.integers(0, 2, (min(step, RESAMPLES - start), len(sums)), dtype=np.int8)
        drawn = 2 * (ones.astype(np.float64) @ sums) - sums.sum()
        beyond += int((np.abs(drawn) >= observed * (1 - 1e-12)).sum())
    return (beyond + 1) / (RESAMPLES + 1)


def holm(probabilities: Sequence[float]) -> list[float]:
    """Holm's (1979) adjusted probabilities, in the order given."""
    count = len(probabilities)
    adjusted = [0.0] * count
    highest = 0.0
    for rank, index in enumerate(sorted(range(count), key=lambda one: probabilities[one])):
        highest = max(highest, min(1.0, (count - rank) * probabilities[index]))
        adjusted[index] = highest
    return adjusted


def detectable_gain(rows: int, *, binary: bool, spread: float | None = None) -> float | None:
    """The smallest gain that `rows` paired rows show at 5 % in four of five cases; None where none can be shown.

    `spread` is the share of discordant rows of a `binary` score, else the standard deviation of row differences;
    left out, the usual ones (25 % and 0.20). Of a binary score it is McNemar's usual approximation.
    """
    if binary:
        return smallest_difference(rows) if spread is None else smallest_difference(rows, spread)
    z, power = NormalDist().inv_cdf(1 - LEVEL / 2), NormalDist().inv_cdf(POWER)
    return (z + power) * (_USUAL_SPREAD if spread is None else spread) / math.sqrt(rows) if rows > 0 else None


def one_way_gain(rows: int) -> float | None:
    """The smallest gain of a binary score that `rows` show in four of five cases where no row gets worse.

    McNemar's usual approximation with as many discordant rows as gained ones; None below 6 rows, which even if all
    are gained show nothing.
    """
    if rows < _FEWEST_ONE_WAY:
        return None
    z, power = NormalDist().inv_cdf(1 - LEVEL / 2), NormalDist().inv_cdf(POWER)
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        shown = math.sqrt(rows * middle) >= z + power * math.sqrt(1 - middle)
        low, high = (low, middle) if shown else (middle, high)
    return high


def compare(
    arms: Sequence[Sequence[float]],
    against: Sequence[float],
    *,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> list[Comparison]:
    """Each of `arms` against one other: scores per row, larger is better, all over the same rows.

    Scores of 0 and 1 are tested by McNemar (unless rows come in groups), others by sign flips; the interval is the
    paired bootstrap's. An arm is better or worse where both the interval and the adjusted test say so, equivalent
    where the interval lies within two points, which only scores between 0 and 1 have.
    """
    differences = [[one - other for one, other in zip(arm, against, strict=True)] for arm in arms]
    binary = all(score in (0, 1) for arm in (*arms, against) for score in arm)
    in_points = all(0 <= score <= 1 for arm in (*arms, against) for score in arm)
    tested = [_p(row, seed, groups, binary=binary) for row in differences]
    return [
        _comparison(row, p, adjusted, seed, groups, binary=binary, in_points=in_points)
        for row, p, adjusted in zip(differences, tested, holm(tested), strict=True)
    ]


def _p(differences: Sequence[float], seed: int, groups: Sequence[str] | None, *, binary: bool) -> float:
    if binary and groups is None:
        return mcnemar(sum(one > 0 for one in differences), sum(one < 0 for one in differences))
    return sign_flip_p(differences, seed, groups) if differences else 1.0


def _comparison(
    differences: Sequence[float],
    p: float,
    adjusted: float,
    seed: int,
    groups: Sequence[str] | None,
    *,
    binary: bool,
    in_points: bool,
) -> Comparison:
    rows = len(differences)
    if rows < 2:
        gain = sum(differences) / rows if rows else 0.0
        return Comparison(rows, gain, Interval(-1.0, 1.0), 1.0, 1.0, None, "no_difference_shown")
    gain = math.fsum(differences) / rows
    means = bootstrap_means(differences, seed, groups)
    interval = percentile_interval(means, units=unit_count(rows, groups))
    spread = sum(one != 0 for one in differences) / rows if binary else float(np.std(differences, ddof=1))
    judgement: Judgement = "no_difference_shown"
    if adjusted <= LEVEL and (interval.low > 0 or interval.high < 0):
        judgement = "better" if gain > 0 else "worse"
    elif in_points and _within_band(interval) and (spread > 0 or rows >= _ALL_EQUAL):
        judgement = "equivalent"
    return Comparison(
        rows,
        gain,
        interval,
        p,
        adjusted,
        detectable_gain(rows, binary=binary, spread=spread or None),
        judgement,
    )


def _within_band(interval: Interval) -> bool:
    return interval.low >= -EQUIVALENT and interval.high <= EQUIVALENT
