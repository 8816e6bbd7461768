"""Validation loss against the number of training rows, and what twice as many would bring."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Worth = Literal["worth collecting", "small gain", "no gain shown"]

SHOWN, WORTH = 0.005, 0.02
"""Relative fall of the loss: below the first it is not counted as shown, from the second on it is worth rows.

A loss that rises by 1 % is where the overfitting alarm begins to look; twice that is a change that people notice.
"""
BAND = 0.90
_EXPONENTS = np.geomspace(0.05, 2.0, 50)
"""Of published curves nearly all lie between 0.07 and 1 (Hestness et al. 2017; Zhang et al. 2024)."""
_DRAWS = 1000
_LEAST_NOISE = 0.003
"""Relative. With one run of each size nothing tells how far two such runs differ."""

Array = NDArray[np.float64]


class Point(msgspec.Struct, frozen=True):
    """A run on `rows` training rows; `loss` is its lowest validation loss in nats per supervised token."""

    share: float
    rows: int
    seed: int
    loss: float
    run: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """loss = floor + scale * (rows / most)^-exponent, all of them 0 or more (Hestness et al. 2017)."""

    floor: float
    scale: float
    exponent: float
    most: int

    def at(self, rows: float) -> float:
        return float(self.floor + self.scale * (rows / self.most) ** -self.exponent)


class Band(msgspec.Struct, frozen=True):
    """An estimate and the limits that hold in nine of ten cases."""

    low: float
    middle: float
    high: float


class Value(msgspec.Struct, frozen=True):
    """What the curve says. `gain` is the share by which the loss falls when the rows are doubled."""

    rows: int
    loss: float
    doubled_loss: Band
    gain: Band
    verdict: Worth
    floor: float
    scale: float
    exponent: float


def value_of_doubling(points: Sequence[Point], seed: int = 0) -> Value:
    """Fit the curve and take it to twice the rows, with a band from how far runs of one size differ.

    The noise of a run is estimated from runs of the same size, or, where each size has one, from the distance to the
    curve; new runs are drawn with it (its own uncertainty included), and each draw is fitted anew. Needs three sizes.
    """
    rows = np.array([point.rows for point in points], dtype=np.float64)
    losses = np.array([point.loss for point in points], dtype=np.float64)
    floor, scale, exponent = (part[0] for part in _fits(rows, losses[None, :]))
    curve = Curve(float(floor), float(scale), float(exponent), int(rows.max()))
    fitted = np.array([curve.at(one) for one in rows])
    noise, freedom = _noise(rows, losses, fitted)
    generator = np.random.default_rng([seed, len(points)])
    spread = noise * np.sqrt(freedom / generator.chisquare(freedom, (_DRAWS, 1)))
    drawn = fitted * np.exp(np.minimum(spread, 1.0) * generator.standard_normal((_DRAWS, len(rows))))
    floors, scales, exponents = _fits(rows, drawn)
    now, doubled = floors + scales, floors + scales * 2.0**-exponents
    loss, doubled_loss = curve.at(curve.most), curve.at(2 * curve.most)
    gain = _band(1 - doubled / now, 1 - doubled_loss / loss)
    return Value(
        rows=curve.most,
        loss=loss,
        doubled_loss=_band(doubled, doubled_loss),
        gain=gain,
        verdict=_verdict(gain),
        floor=curve.floor,
        scale=curve.scale,
        exponent=curve.exponent,
    )


def _verdict(gain: Band) -> Worth:
    if gain.low < SHOWN:
        return "no gain shown"
    return "worth collecting" if gain.middle >= WORTH else "small gain"


def _band(drawn: Array, middle: float) -> Band:
    low, high = np.quantile(drawn, [(1 - BAND) / 2, (1 + BAND) / 2])
    return Band(min(float(low), middle), middle, max(float(high), middle))


def _noise(rows: Array, losses: Array, fitted: Array) -> tuple[float, int]:
    """The standard deviation of the logarithm of one run's loss, and how many differences it rests on."""
    logs = np.log(losses)
    sizes = np.unique(rows)
    freedom = len(rows) - len(sizes)
    if freedom:
        squares = sum(float(((logs[rows == size] - logs[rows == size].mean()) ** 2).sum()) for size in sizes)
    else:
        freedom = max(1, len(rows) - 3)
        squares = float(((logs - np.log(fitted)) ** 2).sum())
    return max(_LEAST_NOISE, float(np.sqrt(squares / freedom))), freedom


def _fits(rows: Array, losses: Array) -> tuple[Array, Array, Array]:
    """Floor, scale and exponent for each line of `losses` [draws, runs] with the least relative error.

    For a given exponent the curve is a straight line in rows^-exponent, whose two coefficients are known in closed
    form; where one of them would be negative it is 0. The exponent is the best of a grid, then of a finer one.
    """
    step = np.log(_EXPONENTS[1] / _EXPONENTS[0])
    exponents = np.broadcast_to(_EXPONENTS, (len(losses), len(_EXPONENTS)))
    lines = np.arange(len(losses))
    for finer in (np.exp(step * np.linspace(-1, 1, 21)), np.exp(step * np.linspace(-0.1, 0.1, 21)), None):
        floor, scale, error = _lines((rows / rows.max()) ** -exponents[:, :, None], losses)
        best = np.argmin(error, axis=1)
        found = exponents[lines, best]
        if finer is not None:
            exponents = np.clip(found[:, None] * finer, _EXPONENTS[0], _EXPONENTS[-1])
    return floor[lines, best], scale[lines, best], found


def _lines(x: Array, losses: Array) -> tuple[Array, Array, Array]:
    """Floor, scale and squared relative error [draws, exponents] of the lines in `x` [draws, exponents, runs]."""
    weights = losses**-2.0
    total, sum_y = weights.sum(1)[:, None], (1 / losses).sum(1)[:, None]
    sum_x = np.einsum("dr,der->de", weights, x)
    sum_xx = np.einsum("dr,der->de", weights, x**2)
    sum_xy = np.einsum("dr,der->de", 1 / losses, x)
    determinant = np.maximum(total * sum_xx - sum_x**2, 1e-300)
    scale = (total * sum_xy - sum_x * sum_y) / determinant
    floor = (sum_y - scale * sum_x) / total
    flat = scale <= 0
    scale = np.where(flat, 0.0, np.where(floor < 0, sum_xy / sum_xx, scale))
    floor = np.where(flat, sum_y / total, np.maximum(floor, 0.0))
    relative = (floor[:, :, None] + scale[:, :, None] * x) / losses[:, None, :] - 1
    return floor, scale, (relative**2).sum(2)
