"""The tables of `ftui preflight`: devices, prices, predictions beside what runs took, and break-even."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from finetui_core.cli.preflight_text import wrapped
from finetui_core.cli.say import table
from finetui_core.preflight import cost, devices
from finetui_core.preflight.cost import Prices, is_open, money, warnings
from finetui_core.preflight.devices import Listed
from finetui_core.preflight.figures import Device
from finetui_core.preflight.history import Compared
from finetui_core.wording import NOTHING, duration, size

_LONGEST_NAME = 32


def device_lines(here: Device, listed: Sequence[Listed]) -> Iterator[str]:
    yield from wrapped(f"this machine: {here.name}, {size(here.memory)}, {size(here.used)} in use")
    yield ""
    rows = [
        [
            one.device.name[:_LONGEST_NAME],
            size(one.device.memory),
            _number(one.device.tflops),
            _number(None if one.device.bandwidth is None else one.device.bandwidth / 1e9),
            _number(one.device.watts),
            one.aliases[0] if one.aliases else "",
        ]
        for one in listed
    ]
    yield from table(["device", "memory", "TFLOPS", "GB/s", "W", "as"], rows)
    dates = sorted(one.as_of for one in listed if one.as_of)
    yield from wrapped(
        f"Dense bfloat16 (float16 on Turing and Volta); looked up on {dates[-1] if dates else 'no date'}. "
        f"--json has the sources. Rows of your own go into {devices.user_file()}."
    )


def price_lines(prices: Prices, today: datetime.date) -> tuple[list[str], list[str]]:
    """The lines, and the warnings about old rows."""
    lines = table(
        ["an hour on", "at", "USD", "as of"],
        [
            [row["gpu"], row["provider"], money(row["price"]), str(row["as_of"] or NOTHING)]
            for row in prices.gpu_hour
        ],
    )
    lines += ["", *table(["training at", "model", "USD for 1M tokens", "as of", ""], [
        [
            row["service"], row["model"], money(row["price"]), str(row["as_of"] or NOTHING),
            "" if is_open(row, today) else "history",
        ]
        for row in prices.training
    ])]  # fmt: skip
    lines += ["", *table(["requests at", "model", "in", "cached", "out", "tuned in", "out", "as of"], [
        [
            row["service"], row["model"], money(row["input"]), _money(row.get("cached_input")),
            money(row["output"]), _money(row.get("tuned_input")), _money(row.get("tuned_output")),
            str(row["as_of"] or NOTHING),
        ]
        for row in prices.requests
    ])]  # fmt: skip
    lines += wrapped(f"Sources are in --json. Rows of your own go into {cost.user_file()}.")
    return lines, warnings([*prices.gpu_hour, *prices.training, *prices.requests], today)


def history_lines(runs: Sequence[Compared]) -> Iterator[str]:
    if not runs:
        return
    rows = []
    for one in runs:
        report, actual = one.prediction.report, one.actual
        verdict, foretold = report.verdict, report.duration
        rows.append(
            [
                one.run[:28],
                f"{size(verdict.low)}–{size(verdict.high)}" if verdict else NOTHING,
                size(actual.shown),
                duration(foretold.seconds.middle) if foretold else NOTHING,
                duration(actual.seconds) if one.is_whole else NOTHING,
            ]
        )
    yield from table(["run", "memory foretold", "took", "time", "took"], rows)
    inside = [one.within for one in runs if one.within is not None]
    if inside:
        yield f"memory: {sum(inside)} of {len(inside)} runs within what was foretold"
    yield from _errors("memory, by the middle of the range", [one.memory_error for one in runs])
    yield from _errors("time, by the likely value", [one.time_error for one in runs])


def _errors(what: str, errors: Sequence[float | None]) -> Iterator[str]:
    known = [error for error in errors if error is not None]
    if known:
        sizes = [abs(error) for error in known]
        yield from wrapped(
            f"{what}: off by {median(sizes):.0%} in the middle, {max(sizes):.0%} at worst, "
            f"{median(known):+.0%} on the whole ({len(known)} runs)"
        )


def volume_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Break-even by volume, with what was assumed."""
    prices, assumed = found["prices"], found["assumed"]
    yield ""
    yield f"At {found['volume']:,.0f} requests a month, in USD:"
    rows = [
        [way["name"], money(way["month"]), money(way["standing"]), money(way["request"] * 1000), _pays(way)]
        for way in found["ways"]
    ]
    yield from table(["way", "a month", "of it standing", "1,000 requests", "pays from"], rows)
    for way in found["ways"]:
        yield from wrapped(f"{way['name']}: {way['note']}.", 2)
    yield from wrapped(
        f"Assumed: prompts of {assumed['fixed']:,} fixed and {assumed['variable']:,} other tokens, "
        f"{assumed['output']:,} written; tuning leaves {assumed['short']:,} of the fixed ones; retrieval adds "
        f"{assumed['retrieved']:,} and {assumed['index']:g} USD a month for its index; "
        f"{assumed['hits']:.0%} of fixed tokens read from the cache; tuned anew {assumed['retrains']:g} times a year "
        f"at {money(assumed['training'])} USD; own GPU at {assumed['gpu_hour']:g} USD an hour all month, "
        f"{assumed['written_per_second']:g} tokens a second for all requests together."
    )
    closing = f", ends {prices['closed']}" if prices.get("closed") else ""
    yield from wrapped(
        f"Prices: {prices['service']} {prices['model']}, as of {prices['as_of'] or NOTHING}{closing} "
        f"({prices['source']}). Rows of your own in {cost.user_file()} come first."
    )


def _pays(way: Mapping[str, Any]) -> str:
    if way["name"] == "prompting with caching":
        return ""
    return "never" if way["pays_from"] is None else f"{way['pays_from']:,.0f}"


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:g}"


def _money(value: float | None) -> str:
    return NOTHING if value is None else money(value)
