"""How often the statistics of a comparison are right, where the truth is known.

    python tests/benchmarks/compare_statistics.py --sets 2000

Answers of several arms to the same rows are drawn from populations whose means are set. Printed are the coverage of
the intervals, the share of false verdicts (an arm preferred to one that is as good and cheaper, or called better or
worse than an equal one), and the power at the gain that is called detectable. `--sets` says how many comparisons
are drawn for each figure.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from comparisons import ARMS
from finetui_core.evaluate.choice import choose
from finetui_core.evaluate.statistics import (
    Interval,
    bootstrap_means,
    compare,
    detectable_gain,
    percentile_interval,
    unit_count,
    wilson,
)

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
"""Row differences of one comparison from (generator, rows)."""


def binary(discordant: float, gain: float = 0.0) -> Draw:
    """-1, 0 or 1: on `discordant` of the rows only one arm is right."""
    chances = [(discordant - gain) / 2, 1 - discordant, (discordant + gain) / 2]
    return lambda generator, rows: generator.choice([-1.0, 0.0, 1.0], rows, p=chances)


def graded(spread: float, gain: float = 0.0) -> Draw:
    return lambda generator, rows: generator.normal(gain, spread, rows)


def lumpy(gain: float) -> Draw:
    """As fields of JSON come: mostly no difference, sometimes some fields, seldom all."""
    values, chances = np.array([-1.0, -0.25, 0.0, 0.25, 1.0]), np.array([0.03, 0.1, 0.64, 0.15, 0.08])
    mean = float(values @ chances)
    return lambda generator, rows: generator.choice(values - mean + gain, rows, p=chances)


def clustered(spread: float, size: int) -> Draw:
    """Half of the variance is shared by the rows of a group."""
    half = spread / 2**0.5

    def draw(generator: np.random.Generator, rows: int) -> NDArray[np.float64]:
        shared = generator.normal(0, half, -(-rows // size)).repeat(size)[:rows]
        return shared + generator.normal(0, half, rows)

    return draw


def coverage(
    draw: Draw, truth: float, rows: int, sets: int, seed: int = 1, *, group: int | None = None
) -> float:
    """The share of comparisons whose interval holds the truth; with `group`, of so many rows drawn as one."""
    generator = np.random.default_rng(seed)
    groups = None if group is None else [str(row // group) for row in range(rows)]
    held = 0
    for number in range(sets):
        means = bootstrap_means(draw(generator, rows).tolist(), number, groups, resamples=2000)
        interval = percentile_interval(means, units=unit_count(rows, groups))
        held += interval.low <= truth <= interval.high
    return held / sets


def wilson_coverage(share: float, rows: int, sets: int, seed: int = 1) -> float:
    drawn = np.random.default_rng(seed).binomial(rows, share, sets)
    intervals: Mapping[int, Interval] = {right: wilson(right, rows) for right in set(drawn.tolist())}
    return float(np.mean([intervals[right].low <= share <= intervals[right].high for right in drawn]))


def power(rows: int, sets: int, *, discordant: float | None, seed: int = 1) -> tuple[float, float] | None:
    """(the gain that is called detectable, how often it is shown); None where none is called so."""
    is_binary = discordant is not None
    gain = detectable_gain(rows, binary=is_binary, spread=discordant)
    if gain is None:
        return None
    draw = binary(discordant, gain) if discordant is not None else graded(0.2, gain)
    generator = np.random.default_rng(seed)
    shown = 0
    for number in range(sets):
        difference = draw(generator, rows)
        base = (difference < 0).astype(float) if is_binary else np.zeros(rows)
        (one,) = compare([(base + difference).tolist()], base.tolist(), seed=number)
        shown += one.judgement == "better"
    return gain, shown / sets


@dataclass(frozen=True)
class Situation:
    """True means of the arms in the order of their cost, the first being the base."""

    says: str
    means: tuple[float, ...]


SITUATIONS = (
    Situation("all as good as the base", (0.5, 0.5, 0.5, 0.5, 0.5)),
    Situation("the cheapest of four better", (0.5, 0.7, 0.5, 0.5, 0.5)),
    Situation("two better, as good as each other", (0.5, 0.5, 0.7, 0.7, 0.5)),
    Situation("four better, as good as each other", (0.5, 0.7, 0.7, 0.7, 0.7)),
    Situation("two steps, the higher one twice", (0.5, 0.62, 0.62, 0.8, 0.8)),
    Situation("a cheap one better, the dearer ones worse than it", (0.5, 0.75, 0.65, 0.65, 0.5)),
)
_NAMES = ("zero_shot", "tuned", "few_shot", "retrieved", "documents")
ORDER = tuple(ARMS[name] for name in _NAMES)


def answers_of(
    generator: np.random.Generator, means: Sequence[float], rows: int, *, is_binary: bool
) -> dict[str, list[float]]:
    """Scores of each arm on the same rows: half of what decides an answer is the row, which all arms share."""
    row, own = generator.normal(size=rows), generator.normal(size=(len(means), rows))
    latent = (row + own) / 2**0.5
    if is_binary:
        limits = np.array([NormalDist().inv_cdf(mean) for mean in means])[:, None]
        scores = (latent < limits).astype(float)
    else:
        scores = np.asarray(means)[:, None] + 0.2 * latent
    return {name: one.tolist() for name, one in zip(_NAMES, scores, strict=True)}


@dataclass(frozen=True)
class Verdicts:
    """Shares of comparisons.

    `preferred`: an arm was taken before one that is as good and cheaper; `named`: so it was, and the verdict says
    that the rows cannot tell them apart; `claimed`: an arm as good as the base was called better or worse; `best`:
    the cheapest of the best arms was taken.
    """

    preferred: float
    named: float
    claimed: float
    best: float


def verdicts(situation: Situation, rows: int, sets: int, seed: int = 1, *, is_binary: bool) -> Verdicts:
    generator = np.random.default_rng(seed)
    means = dict(zip(_NAMES, situation.means, strict=True))
    best = max(_NAMES, key=lambda name: means[name])  # of equal ones the first, which is the cheapest
    preferred = named = claimed = found = 0
    for number in range(sets):
        scores = answers_of(generator, situation.means, rows, is_binary=is_binary)
        choice = choose(ORDER, scores, seed=number)
        cheaper = _NAMES[: _NAMES.index(choice.arm)]
        as_good = [name for name in cheaper if means[name] >= means[choice.arm]]
        preferred += any(name not in choice.undecided for name in as_good)
        named += bool(as_good) and all(name in choice.undecided for name in as_good)
        claimed += any(
            one.judgement in ("better", "worse")
            for name, one in choice.against_base.items()
            if means[name] == means["zero_shot"]
        )
        found += choice.arm == best
    return Verdicts(preferred / sets, named / sets, claimed / sets, found / sets)


def false_equivalence(rows: int, sets: int, seed: int = 1) -> float:
    """How often arms that are two points apart, the least that counts as a difference, are called equivalent."""
    generator = np.random.default_rng(seed)
    draw = graded(0.15, 0.02)
    found = 0
    for number in range(sets):
        (one,) = compare([(0.5 + draw(generator, rows)).tolist()], [0.5] * rows, seed=number)
        found += one.judgement == "equivalent"
    return found / sets


COVERAGES: Mapping[str, tuple[Draw, float, int | None]] = {
    "0 or 1, 15 % of rows differ": (binary(0.15), 0.0, None),
    "0 or 1, 25 % differ, gain 10 points": (binary(0.25, 0.1), 0.1, None),
    "0 or 1, 40 % differ": (binary(0.40), 0.0, None),
    "graded, spread 0.20": (graded(0.2), 0.0, None),
    "graded, lumpy": (lumpy(0.05), 0.05, None),
    "graded, in groups of 4": (clustered(0.2, 4), 0.0, 4),
}


def lines(sets: int) -> Iterator[str]:
    sizes = (30, 50, 100, 200, 500)
    yield f"Coverage of the 95 % interval of a gain, {sets} comparisons each"
    yield f"{'rows':<38}" + "".join(f"{rows:>8}" for rows in sizes)
    for name, (draw, truth, group) in COVERAGES.items():
        found = [coverage(draw, truth, rows, sets, group=group) for rows in sizes]
        yield f"{name:<38}" + "".join(f"{one:>8.1%}" for one in found)
    for share in (0.1, 0.5, 0.9):
        found = [wilson_coverage(share, rows, 100_000) for rows in sizes]
        yield f"{f'one arm (Wilson), {share:.0%} right':<38}" + "".join(f"{one:>8.1%}" for one in found)
    yield ""
    yield f"Verdicts over four arms and the base, {sets} comparisons each"
    yield f"{'':<58}{'rows':>6}{'false choice':>14}{'named':>9}{'false claim':>13}{'best':>8}"
    for is_binary in (True, False):
        for situation in SITUATIONS:
            for rows in (50, 200):
                one = verdicts(situation, rows, sets, is_binary=is_binary)
                says = f"{'0 or 1' if is_binary else 'graded'}: {situation.says}"
                found = f"{one.preferred:>14.1%}{one.named:>9.1%}{one.claimed:>13.1%}{one.best:>8.1%}"
                yield f"{says:<58}{rows:>6}{found}"
    yield f"equivalent though two points apart, 500 rows: {false_equivalence(500, sets):.1%}"
    yield ""
    yield f"Smallest gain called detectable, in points, and how often it is shown, {sets} comparisons each"
    sizes = (30, 50, 100, 200, 300, 500, 1000)
    yield f"{'rows':<28}" + "".join(f"{rows:>12}" for rows in sizes)
    for name, discordant in (
        ("0 or 1, 15 % differ", 0.15),
        ("0 or 1, 25 % differ", 0.25),
        ("0 or 1, 40 % differ", 0.40),
        ("graded, spread 0.20", None),
    ):
        found = [power(rows, sets, discordant=discordant) for rows in sizes]
        yield f"{name:<28}" + "".join(
            f"{'–' if one is None else f'{100 * one[0]:.1f}: {one[1]:.0%}':>12}" for one in found
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=2000)
    for line in lines(parser.parse_args().sets):
        print(line, flush=True)


if __name__ == "__main__":
    main()
