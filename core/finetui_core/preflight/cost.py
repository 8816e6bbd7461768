"""What a run costs: money by the hour, energy, and the same tokens at hosted services."""

import datetime
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from finetui_core.folders import config_folder
from finetui_core.preflight.dated_table import DatedTable, Field, is_stale, read_table
from finetui_core.preflight.figures import Cost, Device, Duration, HostedPrice, Span
from finetui_core.recipe.options import CostOptions

SHIPPED = Path(__file__).with_name("prices.toml")
_DATED = {"as_of": Field("date"), "source": Field("text"), "closed": Field("date")}
_NUMBER, _TEXT = Field("number", required=True), Field("text", required=True)
_FIELDS = {
    "gpu_hour": {"gpu": _TEXT, "provider": _TEXT, "price": _NUMBER, **_DATED},
    "training": {"service": _TEXT, "model": _TEXT, "price": _NUMBER, **_DATED},
    "requests": {
        "service": _TEXT,
        "model": _TEXT,
        "input": _NUMBER,
        "cached_input": Field("number"),
        "output": _NUMBER,
        "tuned_input": Field("number"),
        "tuned_output": Field("number"),
        **_DATED,
    },
}
_SAME = {"gpu_hour": ("gpu",), "training": ("service", "model"), "requests": ("service", "model")}
"""What makes a row of the user's take the place of those that ship."""

LOAD = Span(0.55, 0.8, 1.0)
"""Share of a board's power limit that training draws."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prices:
    """Rows by kind, the user's first. Every row has "as_of" and "source"."""

    gpu_hour: tuple[Row, ...]
    training: tuple[Row, ...]
    requests: tuple[Row, ...]


def user_file() -> Path:
    return config_folder() / "prices.toml"


def read_prices() -> Prices:
    """The user's rows, and those that ship and are not replaced. Raises InputError for a faulty file."""
    own = read_table(user_file(), _FIELDS) if user_file().exists() else None
    return Prices(**{kind: _merged(kind, own, _shipped()) for kind in _FIELDS})


@functools.cache
def _shipped() -> DatedTable:
    return read_table(SHIPPED, _FIELDS)


def _merged(kind: str, own: DatedTable | None, shipped: DatedTable) -> tuple[Row, ...]:
    mine = [_dated(row, own) for row in own.rows[kind]] if own else []
    taken = {_same(kind, row) for row in mine}
    return (*mine, *(_dated(row, shipped) for row in shipped.rows[kind] if _same(kind, row) not in taken))


def _same(kind: str, row: Row) -> tuple[str, ...]:
    return tuple(str(row[name]).casefold() for name in _SAME[kind])


def _dated(row: Row, table: DatedTable) -> Row:
    return {"as_of": table.as_of, "source": str(table.path), **row}


def is_open(row: Row, today: datetime.date) -> bool:
    """Whether a service still takes new work."""
    return "closed" not in row or today < row["closed"]


def warnings(rows: Sequence[Row], today: datetime.date) -> list[str]:
    """A sentence where rows of services that are open are older than 90 days."""
    old = [row for row in rows if is_open(row, today) and is_stale(row["as_of"], today)]
    if not old:
        return []
    oldest = min(row["as_of"] for row in old)
    rows_are = "1 price is" if len(old) == 1 else f"{len(old)} prices are"
    return [f"{rows_are} older than 90 days, the oldest of {oldest}: write today's into {user_file()}"]


def estimate_cost(
    options: CostOptions, device: Device, duration: Duration, prices: Prices, today: datetime.date
) -> tuple[Cost, list[str]]:
    """The cost of a run of this duration, and warnings about old prices.

    The price for an hour is the user's own where the recipe has one, else the range of the table for this GPU.
    """
    seconds, own = duration.seconds, options.gpu_hour_price
    rows = [row for row in prices.gpu_hour if row["gpu"].casefold() == device.name.casefold()]
    hour, basis, currency = _hour(own, rows), "", options.currency
    if own is not None:
        basis = f"your price of {own:g} {currency} an hour"
        rows = []
    elif hour is not None:
        currency = "USD"
        basis = f"{money(hour.low)} to {money(hour.high)} USD an hour, {_dates(rows)}"
    price = None
    if hour is not None:
        price = Span(
            seconds.low / 3600 * hour.low,
            seconds.middle / 3600 * hour.middle,
            seconds.high / 3600 * hour.high,
        )
    energy = None
    if device.watts is not None:
        kilowatts = device.watts / 1000
        energy = Span(
            *(
                length / 3600 * kilowatts * load
                for length, load in zip(_values(seconds), _values(LOAD), strict=True)
            )
        )
    tokens = duration.tokens_per_epoch * duration.total_steps / max(1, duration.steps_per_epoch)
    hosted = tuple(_hosted(row, tokens, today) for row in prices.training)
    says = _says(price, currency, basis, energy, device)
    return Cost(currency, own, price, energy, hosted, says), warnings([*rows, *prices.training], today)


def _hour(own: float | None, rows: Sequence[Row]) -> Span | None:
    if own is not None:
        return Span(own, own, own)
    found = [row["price"] for row in rows]
    return Span(min(found), median(found), max(found)) if found else None


def _hosted(row: Row, tokens: float, today: datetime.date) -> HostedPrice:
    return HostedPrice(
        service=row["service"],
        model=row["model"],
        price=tokens / 1e6 * row["price"],
        as_of=str(row["as_of"] or ""),
        open=is_open(row, today),
        source=row["source"],
    )


def _values(span: Span) -> tuple[float, float, float]:
    return span.low, span.middle, span.high


def _dates(rows: Sequence[Row]) -> str:
    dates = sorted(row["as_of"] for row in rows if row["as_of"])
    if not dates:
        return "undated"
    return f"as of {dates[0]}" if dates[0] == dates[-1] else f"as of {dates[0]} to {dates[-1]}"


def money(amount: float) -> str:
    """Two places from a tenth on, and two digits that mean something below it."""
    if amount >= 0.095 or amount == 0:
        return f"{amount:,.2f}"
    return f"{amount:.2g}" if amount >= 1e-4 else "< 0.0001"


def _says(price: Span | None, currency: str, basis: str, energy: Span | None, device: Device) -> str:
    if price is not None:
        says = f"{money(price.low)} to {money(price.high)} {currency}, probably {money(price.middle)}, by {basis}"
    else:
        says = "No price: give your own as cost.gpu_hour_price"
    if energy is None:
        return f"{says}."
    return f"{says}; {energy.low:.2g} to {energy.high:.2g} kWh of a board that may draw {device.watts:g} W."
