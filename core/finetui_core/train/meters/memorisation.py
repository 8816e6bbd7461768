"""Memorisation: the model continues answers that it was trained on word for word, and new ones not.

Overlap of word sequences runs ahead of verbatim recall and of the validation loss (evidence in docs/meters.md). New
rows tell how much of it the task itself gives away, so only the difference counts.
"""

from collections.abc import Sequence

import numpy as np

from finetui_core.train.meters.figures import Alarm, Measured, Overlaps, Severity

WATCH, ACT = 0.25, 0.5
"""Difference of the mean overlaps."""
_RESAMPLES = 2000


def findings(history: Sequence[Measured]) -> list[Alarm | None]:
    """What is to be said at each evaluation. Where nothing is measured, what was said before stands."""
    found: list[Alarm | None] = []
    good: int | None = None
    for now in history:
        if now.overlaps is None or not len(now.overlaps.train) or not len(now.overlaps.val):
            found.append(found[-1] if found else None)
            continue
        difference = float(now.overlaps.train.mean() - now.overlaps.val.mean())
        low, high = interval(now.overlaps) if difference >= WATCH else (0.0, 0.0)
        found.append(_alarm(now, now.overlaps, difference, low, high, good) if low > 0 else None)
        if found[-1] is None:
            good = now.step or None
    return found


def interval(overlaps: Overlaps) -> tuple[float, float]:
    """95 % of the differences of means when both sets of rows are drawn again; the same for the same rows."""
    generator = np.random.default_rng(0)
    means = []
    for rows in (overlaps.train, overlaps.val):
        means.append(rows[generator.integers(0, len(rows), (_RESAMPLES, len(rows)))].mean(axis=1))
    low, high = np.quantile(means[0] - means[1], [0.025, 0.975])
    return float(low), float(high)


def _alarm(
    now: Measured, overlaps: Overlaps, difference: float, low: float, high: float, good: int | None
) -> Alarm:
    severity: Severity = "act" if difference >= ACT else "watch"
    train, val = overlaps.train, overlaps.val
    return Alarm(
        "memorisation",
        severity,
        now.step,
        f"it recites {100 * train.mean():.0f} % of trained answers, {100 * val.mean():.0f} % of new ones "
        f"(overlap of 6 words, {len(train)} and {len(val)} rows, difference {low:.2f} to {high:.2f})",
        good,
        "Train fewer epochs, remove repeated rows, or add rows; harmless if these texts are meant to be recited.",
    )
