"""What training costs at a provider, before and after, and when providers close: dated facts from tables."""

import datetime
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetui_core.preflight.cost import money, read_prices
from finetui_core.preflight.dated_table import Field, is_stale, read_table

CLOSING = Path(__file__).with_name("closing.toml")
_TEXT = Field("text", required=True)
_FIELDS = {
    "closing": {
        "service": _TEXT,
        "day": Field("date", required=True),
        "what": _TEXT,
        "models": Field("texts"),
        "source": _TEXT,
        "as_of": Field("date"),
    }
}
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million trained tokens, and where that is from."""

    dollars: float
    source: str
    stale: bool = False


@functools.cache
def closings() -> tuple[Row, ...]:
    """What closes, by day. Each row has "as_of"."""
    table = read_table(CLOSING, _FIELDS)
    rows = ({"as_of": table.as_of, **row} for row in table.rows["closing"])
    return tuple(sorted(rows, key=lambda row: row["day"]))


def training_prices() -> tuple[Row, ...]:
    """The rows of training at services, the user's own first. Raises InputError for a faulty file of the user's."""
    return read_prices().training


def price_of(host: str, model: str, own: float | None, today: datetime.date) -> Price | None:
    """The price that is counted with: the one given, else that of the table for this provider and model."""
    if own is not None:
        return Price(own, "the price that you gave")
    for row in training_prices():
        if _is_at(row, host) and _is_model(row["model"], model):
            return Price(
                row["price"], f"{row['source']}; as of {row['as_of']}", is_stale(row["as_of"], today)
            )
    return None


def closings_of(host: str, model: str) -> list[Row]:
    """What closes at this provider and concerns this model, or every model."""
    return [
        row
        for row in closings()
        if _is_at(row, host)
        and ("models" not in row or any(model.startswith(name) for name in _longest(row, model)))
    ]


def _longest(row: Row, model: str) -> Sequence[str]:
    """The names of a row that fit, unless another row names the model more exactly (gpt-4.1-nano, gpt-4.1)."""
    fitting = [name for one in closings() for name in one.get("models", ()) if model.startswith(name)]
    best = max(fitting, key=len, default="")
    return [name for name in row["models"] if name == best]


def warning_of(row: Row, today: datetime.date) -> str:
    """A closing in a sentence."""
    passed = "since" if row["day"] <= today else "on"
    models = f" ({', '.join(row['models'])})" if "models" in row else ""
    return f"{row['service']}, {passed} {row['day']}: {row['what']}{models} ({row['source']}, read {row['as_of']})"


def cost_before(tokens: tuple[int, int, int], epochs: int | None, price: Price | None) -> str:
    """What the job will cost, in a sentence; `tokens` are those of an epoch: few, probably, many."""
    times = epochs or 1
    few, usual, many = (one * times for one in tokens)
    whole = (
        f"{epochs} epoch{'' if epochs == 1 else 's'}"
        if epochs
        else "each epoch (the provider chooses how many)"
    )
    counted = f"about {usual:,} tokens in {whole}, {few:,} to {many:,}"
    if price is None:
        return f"{counted}. The price is not known: name it with --price, in US dollars for a million tokens."
    low, middle, high = (money(one / 1e6 * price.dollars) for one in (few, usual, many))
    old = "; older than 90 days, so look it up" if price.stale else ""
    cost = f"{low} to {high} USD, probably {middle}"
    return f"{counted}: {cost}, at {price.dollars:g} USD for a million ({price.source}{old})."


def _is_at(row: Row, host: str) -> bool:
    return str(row["service"]).casefold() in host.casefold()


def _is_model(named: str, model: str) -> bool:
    """Whether a model is the one of a price: itself, or a dated version of it."""
    return model == named or (model.startswith(f"{named}-") and model.removeprefix(f"{named}-")[:2] == "20")
