"""Courses of runs made of numbers, with a truth that is known: for the meters' tests and benchmark."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetui_core.train.meters import overfitting
from finetui_core.train.meters.figures import Measured, Overlaps, RowLosses, StepLoss

EVALUATIONS, EVERY = 25, 10
LEVEL = 1.5
"""Nats per token at rest."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Standard deviations, as shares of a loss: of all rows together from evaluation to evaluation (the weights'
    wobble), of each row alone, and of each row's own walk."""

    wobble: float = 0.008
    row: float = 0.0
    walk: float = 0.0


def falling(evaluations: int = EVALUATIONS) -> NDArray[np.float64]:
    """A healthy course: it falls to its level."""
    return LEVEL * (1 + np.exp(-np.arange(evaluations) / 3))


def resting(evaluations: int = EVALUATIONS) -> NDArray[np.float64]:
    """A course at rest from the first evaluation on, where chance is all that moves it."""
    return np.full(evaluations, LEVEL)


def turning(slope: float, at: int = 10, evaluations: int = EVALUATIONS) -> NDArray[np.float64]:
    """A course that falls until evaluation `at`, counted from 0, and then rises by `slope` nats at each."""
    after = np.arange(1, evaluations - at)
    return np.concatenate([falling(at + 1), falling(at + 1)[-1] + slope * after])


def history(
    rng: np.random.Generator,
    course: Sequence[float] | NDArray[np.float64],
    rows: int,
    noise: Noise | None = None,
) -> list[Measured]:
    """Evaluations whose expected losses are those of `course`; rows differ as lognormal numbers do."""
    noise = noise or Noise()
    tokens = rng.integers(20, 200, rows)
    easy = rng.lognormal(0, 0.5, rows)
    easy /= (easy * tokens).sum() / tokens.sum()
    walk = np.zeros(rows)
    measured = []
    for number, level in enumerate(course):
        walk += noise.walk * rng.standard_normal(rows)
        together = 1 + noise.wobble * rng.standard_normal()
        alone = 1 + noise.row * rng.standard_normal(rows) + walk
        measured.append(
            Measured(EVERY * number, number / 4, RowLosses(easy * level * together * alone * tokens, tokens))
        )
    return measured


def first_alarm(course: Sequence[Measured]) -> int | None:
    """The evaluation at which overfitting is told first."""
    found = overfitting.findings(course)
    return next((at for at, alarm in enumerate(found) if alarm is not None), None)


def false_alarms(runs: int, rows: int, *, seed: int, noise: Noise | None = None, rest: bool = True) -> float:
    """The share of runs without overfitting in which it is told."""
    rng = np.random.default_rng([seed, rows])
    course = resting() if rest else falling()
    return sum(first_alarm(history(rng, course, rows, noise)) is not None for _ in range(runs)) / runs


def delays(runs: int, rows: int, slope: float, *, seed: int, noise: Noise | None = None) -> list[float]:
    """Evaluations from the turn to the alarm in each run; infinite where it is missed, negative where it is false."""
    rng = np.random.default_rng([seed, rows, 1])
    found = (first_alarm(history(rng, turning(slope), rows, noise)) for _ in range(runs))
    return [math.inf if at is None else at - 10 for at in found]


def patience(course: Sequence[Measured], most: int = 3) -> bool:
    """Whether early stopping with so much patience would stop."""
    means = [one.val.mean for one in course if one.val is not None]
    best = 0
    for at, mean in enumerate(means):
        best = at if mean < means[best] else best
        if at - best >= most:
            return True
    return False


def with_texts(rng: np.random.Generator, rises: Sequence[float], documents: int = 32) -> Iterator[Measured]:
    """Evaluations at which a general text costs so much more than at the first, whose documents differ."""
    tokens = rng.integers(40, 64, documents)
    base = rng.lognormal(1, 0.3, documents)
    for number, rise in enumerate(rises):
        more = 0.0 if number == 0 else rise * rng.lognormal(0, 0.5, documents) / math.exp(0.125)
        yield Measured(EVERY * number, number / 4, probe=RowLosses((base + more) * tokens, tokens))


def with_overlaps(
    rng: np.random.Generator, shares: Sequence[tuple[float, float]], rows: int = 32
) -> Iterator[Measured]:
    """Evaluations at which so large a part of trained and of new answers is recited."""
    for number, (train, val) in enumerate(shares):
        known = [(rng.random(rows) < share) * rng.uniform(0.7, 1, rows) for share in (train, val)]
        yield Measured(EVERY * number, number / 4, overlaps=Overlaps(*known))


def steps(
    losses: Sequence[float] | NDArray[np.float64], norms: Sequence[float] | None = None
) -> list[StepLoss]:
    """Optimizer steps with these losses, and gradients of length 1 unless told otherwise."""
    return [
        StepLoss(step, float(loss), 1.0 if norms is None else norms[step - 1])
        for step, loss in enumerate(losses, 1)
    ]
