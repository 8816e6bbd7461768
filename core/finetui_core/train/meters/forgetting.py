"""Forgetting: general text, or text that the base itself wrote, has become less likely than it was to the base.

The rise of the loss on the base's own text needs no outside data and follows true forgetting as closely as a held-out
text does. Its expectation is the divergence of the base's predictions from the model's, which is measured beside it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetui_core.train.meters.figures import Alarm, Measured, Severity
from finetui_core.train.meters.overfitting import paired

WATCH, ACT = 0.05, 0.15
"""Nats per token: 5 and 16 % of perplexity. Plain adapters mostly stay at the first (PEFT's own comparison)."""
ERRORS = 2.0


@dataclass(frozen=True, slots=True)
class Rise:
    """How much more a text costs than it cost the base: nats per token, and the standard error over documents."""

    text: str
    nats: float
    error: float
    documents: int
    kl: float | None


def findings(history: Sequence[Measured]) -> list[Alarm | None]:
    """What is to be said at each evaluation. Where nothing is measured, what was said before stands."""
    found: list[Alarm | None] = []
    good: int | None = None
    for now in history:
        measured = list(rises(history[0], now)) if history[0].step == 0 else []
        if not measured:
            found.append(found[-1] if found else None)
            continue
        clear = [one for one in measured if one.nats >= WATCH and one.nats > ERRORS * one.error]
        if clear:
            found.append(_alarm(now, max(clear, key=lambda one: one.nats), good))
            continue
        found.append(None)
        good = now.step or None
    return found


def rises(base: Measured, now: Measured) -> Iterator[Rise]:
    """The rise on each text that was measured now and before training."""
    texts = (
        ("general text", base.probe, now.probe, now.probe_kl),
        ("the base's own text", base.own_text, now.own_text, now.own_text_kl),
    )
    for text, before, after, kl in texts:
        if before is not None and after is not None and len(before.sums) == len(after.sums):
            nats, error = paired(after, before.sums)
            yield Rise(text, nats, error, len(after.sums), _mean(kl))


def _mean(kl: NDArray[np.float64] | None) -> float | None:
    return None if kl is None or not len(kl) else float(kl.mean())


def _alarm(now: Measured, rise: Rise, good: int | None) -> Alarm:
    severity: Severity = "act" if rise.nats >= ACT else "watch"
    kl = "" if rise.kl is None else f", KL from the base {rise.kl:.3f}"
    return Alarm(
        "forgetting",
        severity,
        now.step,
        f"loss on {rise.text} rose by {rise.nats:.2f} nats "
        f"({_percent(rise.nats)} of perplexity, ± {rise.error:.2f} nats on {rise.documents} documents{kl})",
        good,
        "Lower train.learning_rate, train fewer epochs, or replay a share of general text.",
    )


def _percent(nats: float) -> str:
    return f"{100 * math.expm1(nats):+.0f} %" if nats < 5 else f"times {math.exp(min(nats, 700)):,.0f}"
