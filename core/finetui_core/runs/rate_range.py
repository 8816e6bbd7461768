"""The learning-rate range test: which rates, when the loss has diverged, and what its curve says.

The rate rises by equal factors from step to step. Two rules read the curve: a tenth of the rate at which the loss
diverges, and the rate at which it falls fastest (L. N. Smith, "Cyclical learning rates for training neural networks",
2017, and the practice that followed). Neither knows the best rate; where they agree is a good place to begin.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

import msgspec

from finetui_core.errors import Problem
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import read_small

_MOST_BINS = 200
_WIDTH = 40  # the kernel's standard deviation is this part of the curve
_EDGE_RISE = 0.1  # of the whole fall
_NOISE, _EDGE_NOISE = (
    6.0,
    8.0,
)  # standard deviations that a fall, and a rise above the lowest, do not reach by chance
_DRAWS, _BLOCK = 100, 5
_SHOWN = 16
_KEEP = 0.8  # of the running mean, at each step


class RateRange(msgspec.Struct, frozen=True):
    """rate_range.json: a run that has one is a range test, from the lowest learning rate to the highest."""

    low: float
    high: float


class Finding(msgspec.Struct, frozen=True):
    """What a range test says. Rates are None where the curve does not show them; spans are 95 % intervals of the
    noise within this test. `curve` holds some (rate, smoothed loss), `reached` the highest rate that was tried."""

    id: str
    path: str
    state: str
    steps: int
    low: float
    high: float
    reached: float | None
    says: str
    curve: tuple[tuple[float, float], ...] = ()
    edge: float | None = None
    edge_span: tuple[float, float] | None = None
    steepest: float | None = None
    suggested: float | None = None
    suggested_span: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()


def read_range(text: str) -> tuple[RateRange, list[Problem]]:
    """The range written as "low,high", and what is wrong with it."""
    where, hint = f"--lr-range {text}", "for example --lr-range 1e-6,1e-2; the recipe comes before it"
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        return RateRange(1e-6, 1e-2), [Problem("a range is two numbers with a comma between", where, hint)]
    if not 0 < low < high <= 1 or high / low < 10:
        what = "a range goes from above 0 up to 1 at most, by a factor of at least 10"
        return RateRange(1e-6, 1e-2), [Problem(what, where, hint)]
    return RateRange(low, high), []


def is_range_test(paths: RunPaths) -> bool:
    return read_small(paths.rate_range, RateRange) is not None


class Divergence:
    """Sees, while the test runs, that the loss has diverged for good: there is nothing more to learn then."""

    def __init__(self) -> None:
        self._mean = self._before = 0.0
        self._count = 0
        self._moves = 0.0
        self._first: float | None = None
        self._lowest = math.inf

    def seen(self, loss: float) -> bool:
        """Add the loss of a step. True once the running mean is far above its lowest: by half of what was
        gained, by half a nat at least, and by more than the noise of single steps explains."""
        if not math.isfinite(loss):
            return True
        self._moves += abs(loss - self._before) if self._count else 0.0
        self._before = loss
        self._count += 1
        self._mean = _KEEP * self._mean + (1 - _KEEP) * loss
        mean = self._mean / (1 - _KEEP**self._count)
        if self._count < 2 * _BLOCK:
            self._first = mean
            return False
        self._lowest = min(self._lowest, mean)
        step_noise = self._moves / (self._count - 1) / 1.128  # mean |difference| of two normal values
        noise = step_noise * math.sqrt((1 - _KEEP) / (1 + _KEEP))
        gained = max(0.0, (self._first or 0.0) - self._lowest)
        return mean > self._lowest + max(0.5, gained / 2, 2 * _NOISE * noise)  # noise has two sides


@dataclass(frozen=True, slots=True)
class Curve:
    """Log10 of the rate at equal distances, and the loss there; `diverged` where the test ended on that."""

    xs: Sequence[float]
    ys: Sequence[float]
    diverged: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What the two rules find on a curve, in log10 of the rate."""

    edge: float | None
    steepest: float | None

    @property
    def estimates(self) -> list[float]:
        return [
            *([self.edge - 1] if self.edge is not None else []),
            *([self.steepest] if self.steepest else []),
        ]


def read_curve(smooth: Sequence[float], curve: Curve, noise: float) -> Reading:
    """Apply both rules to a smoothed curve; `noise` is the standard deviation of its values."""
    edge = _edge(smooth, curve, noise)
    until = len(smooth) if edge is None else sum(x <= edge for x in curve.xs)
    lowest = min(range(until), key=lambda at: smooth[at], default=0)
    if lowest < 2 or max(smooth[: lowest + 1]) - smooth[lowest] < _NOISE * noise:
        return Reading(edge, None)
    span = max(1, len(smooth) // _WIDTH)
    slopes = {
        at: smooth[min(at + span, len(smooth) - 1)] - smooth[max(at - span, 0)]
        for at in range(span, lowest + 1)
    }
    at = min(slopes, key=lambda one: slopes[one], default=None)
    return Reading(edge, None if at is None else curve.xs[at])


def _edge(smooth: Sequence[float], curve: Curve, noise: float) -> float | None:
    """Where the loss, once it rises beyond noise and a tenth of what was gained, crosses that line."""
    highest = lowest = smooth[0]
    for at, value in enumerate(smooth):
        line = lowest + max(_EDGE_RISE * (highest - lowest), _EDGE_NOISE * noise)
        if value > line and at:
            before = smooth[at - 1]
            share = 1.0 if value <= before else min(1.0, max(0.0, (line - before) / (value - before)))
            return curve.xs[at - 1] + share * (curve.xs[at] - curve.xs[at - 1])
        if value < lowest:
            highest, lowest = max(highest, smooth[0]), value
    return curve.xs[-1] if curve.diverged else None


def smoothed(ys: Sequence[float]) -> list[float]:
    """Means under a bell of a fortieth of the curve on each side; the bell is cut at the ends."""
    width = max(1.0, len(ys) / _WIDTH)
    reach = math.ceil(3 * width)
    weights = [math.exp(-0.5 * (offset / width) ** 2) for offset in range(-reach, reach + 1)]
    found = []
    for at in range(len(ys)):
        first, last = max(0, at - reach), min(len(ys), at + reach + 1)
        own = weights[first - at + reach : last - at + reach]
        found.append(sum(w * y for w, y in zip(own, ys[first:last], strict=True)) / sum(own))
    return found


def find_range(paths: RunPaths) -> Finding:
    """What the range test in this run says so far. Raises InputError where the run cannot be read."""
    rates = read_small(paths.rate_range, RateRange) or RateRange(1e-6, 1e-2)
    view = RunView(paths)
    view.refresh()
    columns = view.columns
    pairs = list(zip(columns.column("learning_rate"), columns.column("loss"), strict=False))
    finite = [(rate, loss) for rate, loss in pairs if rate > 0 and math.isfinite(loss)]
    epochs = max((epoch for epoch in columns.column("epoch") if math.isfinite(epoch)), default=0.0)
    nothing = Finding(
        id=view.id,
        path=str(paths.root),
        state=view.state.state,
        steps=len(pairs),
        low=rates.low,
        high=rates.high,
        reached=pairs[-1][0] if pairs else None,
        says=f"There is too little to read yet: {view.state.reason}",
    )
    if len(finite) < 2 * _BLOCK:
        return nothing
    diverged = any(event.get("type") == "finished" and event.get("reason") == "edge" for event in view.events)
    curve = _binned(finite, diverged=diverged)
    smooth = smoothed(curve.ys)
    noise = _noise(curve.ys, smooth)
    found = read_curve(smooth, curve, noise)
    drawn = _drawn(curve, smooth, noise)
    estimates = [one for reading in drawn for one in reading.estimates]
    suggested = 10 ** fmean(found.estimates) if found.estimates else None
    edges = [reading.edge for reading in drawn if reading.edge is not None]
    step = max(1, len(smooth) // _SHOWN)
    result = msgspec.structs.replace(
        nothing,
        curve=tuple((10 ** curve.xs[at], smooth[at]) for at in range(0, len(smooth), step)),
        edge=None if found.edge is None else 10**found.edge,
        edge_span=_span(edges, [found.edge] * 2) if found.edge is not None else None,
        steepest=None if found.steepest is None else 10**found.steepest,
        suggested=suggested,
        suggested_span=_span(estimates, [*found.estimates] * 2) if suggested is not None else None,
    )
    return msgspec.structs.replace(result, says=_says(result), notes=tuple(_notes(result, epochs)))


def _binned(points: Sequence[tuple[float, float]], *, diverged: bool) -> Curve:
    size = -(-len(points) // _MOST_BINS)
    parts = [points[at : at + size] for at in range(0, len(points), size)]
    xs = [fmean(math.log10(rate) for rate, _ in part) for part in parts]
    return Curve(xs, [fmean(loss for _, loss in part) for part in parts], diverged)


def _noise(ys: Sequence[float], smooth: Sequence[float]) -> float:
    """The standard deviation of a smoothed value, from the median distance of single losses from the curve."""
    one = 1.4826 * median(abs(y - mean) for y, mean in zip(ys, smooth, strict=True))
    return one / math.sqrt(2 * math.sqrt(math.pi) * max(1.0, len(ys) / _WIDTH))


def _drawn(curve: Curve, smooth: Sequence[float], noise: float) -> list[Reading]:
    """Readings of curves on which the sign of the noise is drawn anew, block by block of neighbours: a wild
    bootstrap, which leaves strong noise where it is strong (near the edge)."""
    chance = random.Random(0)  # the same answer each time
    residuals = [y - mean for y, mean in zip(curve.ys, smooth, strict=True)]
    readings = []
    for _ in range(_DRAWS):
        signs = [chance.choice((-1.0, 1.0)) for _ in range(-(-len(smooth) // _BLOCK))]
        ys = [mean + signs[at // _BLOCK] * residuals[at] for at, mean in enumerate(smooth)]
        readings.append(read_curve(smoothed(ys), curve, noise))
    return readings


def _span(drawn: Sequence[float], found: Sequence[float]) -> tuple[float, float] | None:
    """The middle 95 % of what was drawn, and what was found on the curve itself; both given as log10."""
    if not drawn:
        return None
    ordered, last = sorted(drawn), len(drawn) - 1
    low, high = ordered[round(0.025 * last)], ordered[round(0.975 * last)]
    return 10 ** min(low, *found), 10 ** max(high, *found)


def _says(found: Finding) -> str:
    if found.suggested is None:
        return (
            f"The loss neither falls clearly nor diverges from {found.low:.2g} to {found.reached or found.high:.2g}, "
            "so no rate can be suggested. Test a wider range or more steps."
        )
    low, high = found.suggested_span or (found.suggested, found.suggested)
    suggested = f"Suggested learning rate: {found.suggested:.1e}, from {low:.1e} to {high:.1e}."
    if found.edge is None:
        return f"The loss does not diverge up to {found.reached or found.high:.2g}. {suggested}"
    edge_low, edge_high = found.edge_span or (found.edge, found.edge)
    return f"The loss diverges at about {found.edge:.1e} ({edge_low:.1e} to {edge_high:.1e}). {suggested}"


def _notes(found: Finding, epochs: float) -> list[str]:
    notes = []
    if found.suggested is not None:
        if found.edge is None:
            notes.append(
                "Without an edge the upper end is unknown: test up to a higher rate with --lr-range."
            )
        notes.append(
            "A range test finds the edge well and the best rate only roughly. The interval is the noise of this one "
            "test and the distance between two rules; repeat it with --set train.seed=1,2,3 to see more."
        )
    if epochs > 1:
        notes.append(
            f"The rows were seen {epochs:.1f} times during the test, so part of the fall is learning them by heart."
        )
    if found.suggested is not None:
        values = ",".join(f"{found.suggested * factor:.1e}" for factor in (1 / 3, 1, 3))
        notes.append(f"Settle it by validation loss: ftui sweep RECIPE --set train.learning_rate={values}")
    return notes
