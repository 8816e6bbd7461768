"""`ftui preflight RECIPE`: does it fit, how long, how much, and what to change; before any GPU time is spent."""

import argparse
import datetime
from pathlib import Path
from typing import Any

import msgspec

from finetui_core.cli.onward import after_preflight
from finetui_core.cli.preflight_tables import device_lines, history_lines, price_lines, volume_lines
from finetui_core.cli.preflight_text import report_lines
from finetui_core.cli.say import data, data_json, talk
from finetui_core.errors import InputError, Problem
from finetui_core.preflight.break_even import Assumed, ways
from finetui_core.preflight.cost import Row, is_open, read_prices
from finetui_core.preflight.devices import find_device, listed_devices, this_machine
from finetui_core.preflight.figures import Device, Report
from finetui_core.preflight.history import compared
from finetui_core.preflight.report import NOTHING, Found, full, quick
from finetui_core.recipe.document import read_text
from finetui_core.recipe.facts import Facts, look
from finetui_core.recipe.load import check_recipe
from finetui_core.recipe.options import Recipe
from finetui_core.runs.paths import runs_root

DONE, NOT_ENOUGH = 0, 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, nargs="?", metavar="RECIPE", help="the TOML file of the run")
    parser.add_argument(
        "--on", metavar="DEVICE", help="a GPU such as 4090 or a100, or a size such as 24GB (this machine)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="as `ftui train` takes it"
    )
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")
    stage = parser.add_mutually_exclusive_group()
    stage.add_argument("--quick", action="store_true", help="the closed formula alone, without a trace")
    stage.add_argument(
        "--probe", action="store_true", help="train three true steps on this machine and measure"
    )
    parser.add_argument("--volume", type=_volume, metavar="N", help="break-even at N requests a month")
    parser.add_argument("--devices", action="store_true", help="list the devices that can be asked about")
    parser.add_argument("--prices", action="store_true", help="list the prices with their dates and sources")
    parser.add_argument("--history", action="store_true", help="list predictions beside what the runs took")
    parser.add_argument("--json", action="store_true", help="print it as JSON on stdout")
    parser.epilog = (
        "Exit codes: 0 it fits or is tight, 2 bad input, 3 it does not fit or the disk is too small."
    )


def run(options: argparse.Namespace) -> int:
    root = (options.runs or runs_root()).absolute()
    today = datetime.date.today()
    if options.devices:
        return _devices(options.json)
    if options.prices:
        return _prices(options.json, today)
    if options.history:
        return _history(root, options.json)
    if options.recipe is None:
        if options.volume is not None:
            return _volume_alone(options, today)
        hint = (
            "name a recipe: ftui preflight recipe.toml; or ask for --devices, --prices, --history or --volume"
        )
        raise InputError(Problem("no recipe is named", hint=hint))
    return _recipe(options, root, today)


def _recipe(options: argparse.Namespace, root: Path, today: datetime.date) -> int:
    recipe, notes = _checked(options.recipe, options.set)
    device = find_device(options.on) if options.on else this_machine()
    if options.probe and options.on and device != this_machine():
        hint = "leave --on out, or leave --probe out"
        raise InputError(Problem("a probe runs on this machine, not on another device", "--on", hint))
    facts = look(recipe)
    report = _report(options, recipe, facts, device, root, today)
    report = msgspec.structs.replace(report, notes=(*notes, *report.notes))
    break_even = _ways(options.volume, report, device, today)
    if options.json:
        answer = {"ok": _enough(report), **msgspec.to_builtins(report)}
        data_json(answer if break_even is None else {**answer, "break_even": break_even})
    else:
        for line in report_lines(report):
            data(line)
        if break_even is not None:
            for line in volume_lines(break_even):
                data(line)
        talk(after_preflight(options.recipe, options.set, enough=_enough(report)))
    return DONE if _enough(report) else NOT_ENOUGH


def _checked(file: Path, overrides: list[str]) -> tuple[Recipe, list[str]]:
    """The recipe, and what is said of files that are not there. Raises InputError for every other fault."""
    checked = check_recipe(read_text(file), str(file), file.parent, overrides)
    serious = [problem for problem in checked.problems if problem not in checked.absent]
    if serious:
        raise InputError(serious)
    return checked.recipe, [f"{problem.where}: {problem.what}" for problem in checked.problems]


def _report(
    options: argparse.Namespace,
    recipe: Recipe,
    facts: Facts,
    device: Device,
    root: Path,
    today: datetime.date,
) -> Report:
    if options.probe:
        talk("probing: the model is loaded and three steps are trained; nothing of it is kept")
        return quick(recipe, facts, device, found=probed(recipe, root), root=root, today=today)
    if options.quick:
        return quick(recipe, facts, device, found=NOTHING, root=root, today=today)
    return full(recipe, facts, device, root=root, today=today)


def probed(recipe: Recipe, root: Path) -> Found:
    """What true steps on this machine took. Raises InputError and RunFailed."""
    from finetui_core.preflight.probe import probe

    found = probe(recipe, folder=root)
    return Found(
        memory=found.memory, tokens_per_second=found.tokens_per_second, out_of_memory=found.out_of_memory
    )


def _enough(report: Report) -> bool:
    fits = report.verdict is None or report.verdict.fit != "does_not_fit"
    return fits and (report.disk is None or report.disk.enough)


def _devices(as_json: bool) -> int:
    listed = listed_devices()
    here = this_machine()
    if as_json:
        devices = [
            {**msgspec.to_builtins(one.device), "aliases": list(one.aliases), "as_of": str(one.as_of or "")}
            for one in listed
        ]
        data_json({"this_machine": msgspec.to_builtins(here), "devices": devices})
        return DONE
    for line in device_lines(here, listed):
        data(line)
    return DONE


def _prices(as_json: bool, today: datetime.date) -> int:
    prices = read_prices()
    if as_json:
        kinds = {"gpu_hour": prices.gpu_hour, "training": prices.training, "requests": prices.requests}
        data_json({kind: [_plain(row, today) for row in rows] for kind, rows in kinds.items()})
        return DONE
    lines, warned = price_lines(prices, today)
    for line in lines:
        data(line)
    for warning in warned:
        talk(warning)
    return DONE


def _plain(row: Row, today: datetime.date) -> dict[str, Any]:
    """A row of prices, ready for JSON."""
    dates = {name: str(row[name]) for name in ("as_of", "closed") if row.get(name)}
    return {**row, **dates, "open": is_open(row, today)}


def _history(root: Path, as_json: bool) -> int:
    runs = compared(root) if root.exists() else []
    if as_json:
        data_json(
            {
                "runs": [
                    {
                        **msgspec.to_builtins(one),
                        "memory_error": one.memory_error,
                        "within": one.within,
                        "time_error": one.time_error,
                    }
                    for one in runs
                ]
            }
        )
        return DONE
    if not runs:
        talk(f"no run in {root} has both a prediction and what it took: they come with runs that end")
    for line in history_lines(runs):
        data(line)
    return DONE


def _volume(text: str) -> float:
    try:
        number = float(text.replace(",", "").replace("_", ""))
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1e12:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of requests a month, such as 100000")
    return number


def _volume_alone(options: argparse.Namespace, today: datetime.date) -> int:
    device = find_device(options.on) if options.on else None
    found = _ways(options.volume, None, device, today)
    if options.json:
        data_json(found)
    else:
        for line in volume_lines(found or {}):
            data(line)
    return DONE


def _ways(
    volume: float | None, report: Report | None, device: Device | None, today: datetime.date
) -> dict[str, Any] | None:
    """The ways to serve with what they are reckoned by, ready for JSON; None where no volume was asked for."""
    if volume is None:
        return None
    prices = read_prices()
    row = next((one for one in prices.requests if is_open(one, today)), prices.requests[0])
    cost = report.cost if report is not None else None
    hours = [one["price"] for one in prices.gpu_hour if device and one["gpu"] == device.name]
    hour = cost.gpu_hour_price if cost is not None and cost.gpu_hour_price is not None else None
    if hour is None:
        hour = sorted(hours)[len(hours) // 2] if hours else Assumed().gpu_hour
    training = cost.price.middle if cost is not None and cost.price is not None else 0.0
    assumed = Assumed(gpu_hour=hour, training=training)
    found = ways(row, assumed, volume)
    return {
        "volume": volume,
        "prices": _plain(row, today),
        "assumed": {name: getattr(assumed, name) for name in assumed.__dataclass_fields__},
        "ways": [{name: getattr(way, name) for name in way.__dataclass_fields__} for way in found],
    }
