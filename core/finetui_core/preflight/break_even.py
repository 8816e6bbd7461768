"""From which monthly volume on a tuned model pays: own GPU, hosted tuning, caching and retrieval side by side."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HOURS = 730
"""Hours of a month."""


@dataclass(frozen=True, slots=True)
class Assumed:
    """What one request is taken to be, in tokens, and what a month holds beside requests, in dollars.

    `fixed` is the part of the prompt that is always the same, of which `hits` is read from the cache; tuning
    leaves `short` of it. `retrieved` are the passages that retrieval adds. `retrains` is how often a year the model
    is tuned anew, at `training` each, labelling included. `index` is what an index costs. A GPU writes
    `written_per_second` tokens for all requests together.
    """

    fixed: int = 2000
    short: int = 100
    variable: int = 300
    output: int = 150
    retrieved: int = 1500
    hits: float = 1.0
    retrains: float = 4
    training: float = 0.0
    index: float = 5.0
    gpu_hour: float = 0.40
    written_per_second: float = 500.0


@dataclass(frozen=True, slots=True)
class Way:
    """One way to serve: dollars for a month that stand, for a request, and for a month of the asked volume.

    `pays_from` is the monthly volume from which it is cheaper than prompting with caching, None for "never".
    """

    name: str
    standing: float
    request: float
    month: float
    pays_from: float | None
    note: str


def ways(prices: Mapping[str, Any], assumed: Assumed, volume: float) -> list[Way]:
    """Every way with its cost at `volume` requests a month. `prices` is a row of [[requests]], for a million tokens.

    request: fixed * (1 - hits * discount) + variable [+ retrieved], and what is written; a tuned model is paid by
    its own prices with the short prompt. Own GPU: every hour of the month, and as many GPUs as the volume asks for.
    """
    one, out = prices["input"] / 1e6, prices["output"] / 1e6
    cached = prices.get("cached_input", prices["input"]) / 1e6
    fixed = assumed.fixed * (assumed.hits * cached + (1 - assumed.hits) * one)
    written = assumed.output * out
    prompting = fixed + assumed.variable * one + written
    retrieval = prompting + assumed.retrieved * one
    amortised = assumed.training * assumed.retrains / 12
    capacity = HOURS * 3600 * assumed.written_per_second / max(1, assumed.output)
    gpus = max(1, math.ceil(volume / capacity))
    hosting = HOURS * assumed.gpu_hour
    found = [
        Way(
            "prompting with caching",
            0.0,
            prompting,
            volume * prompting,
            0.0,
            "what the others are compared with",
        ),
        _way(
            "retrieval",
            assumed.index,
            retrieval,
            volume,
            prompting,
            "for facts that the model lacks; it saves nothing",
        ),
    ]
    if prices.get("tuned_input") is not None and prices.get("tuned_output") is not None:
        short = assumed.short + assumed.variable
        tuned = (short * prices["tuned_input"] + assumed.output * prices["tuned_output"]) / 1e6
        found.append(
            _way("hosted tuning", amortised, tuned, volume, prompting, "the short prompt at tuned prices")
        )
    pays = break_even(hosting + amortised, 0.0, prompting)
    if pays is not None and pays > capacity:
        pays = break_even(amortised, hosting / capacity, prompting)
    note = f"{gpus} GPU{'s' if gpus > 1 else ''}, each for up to {capacity:,.0f} requests a month"
    standing = gpus * hosting + amortised
    found.append(Way("own GPU", standing, 0.0, standing, pays, note))
    return found


def break_even(standing: float, tuned: float, prompting: float) -> float | None:
    """Monthly requests from which `standing` + R * `tuned` is below R * `prompting`; None where that never is."""
    return None if tuned >= prompting else standing / (prompting - tuned)


def _way(name: str, standing: float, request: float, volume: float, prompting: float, note: str) -> Way:
    month = standing + volume * request
    return Way(name, standing, request, month, break_even(standing, request, prompting), note)
