"""The interval of a share, without more than the standard library."""

import math
from dataclasses import dataclass
from statistics import NormalDist

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float


def wilson(successes: float, rows: int, level: float = LEVEL) -> Interval:
    """The interval of a share after Wilson (1927). No rows: all of 0 to 1."""
    if rows == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf(1 - level / 2)
    share, square = successes / rows, z * z
    middle = (share + square / (2 * rows)) / (1 + square / rows)
    half = z * math.sqrt(share * (1 - share) / rows + square / (4 * rows * rows)) / (1 + square / rows)
    return Interval(max(0.0, middle - half), min(1.0, middle + half))
