"""`ftui hosted prices`: what training costs at platforms and when they close; no network, no key."""

import argparse
import datetime

from finetui_core.cli.say import data, data_json, table, talk
from finetui_core.hosted.prices import Row, closings, training_prices
from finetui_core.preflight.cost import is_open, money, user_file, warnings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print it as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    today = datetime.date.today()
    prices, closes = training_prices(), closings()
    if options.json:
        rows = [
            {**{key: _plain(value) for key, value in row.items()}, "open": is_open(row, today)}
            for row in prices
        ]
        dates = [{key: _plain(value) for key, value in row.items()} for row in closes]
        data_json({"schema": 1, "training": rows, "closing": dates})
        return 0
    shown = [
        [row["service"], row["model"], money(row["price"]), str(row["as_of"]), _state(row, today)]
        for row in prices
    ]
    for line in table(["training at", "model", "USD for 1M tokens", "as of", ""], shown):
        data(line)
    data("")
    dates_shown = [
        [str(row["day"]), "past" if row["day"] <= today else "", row["service"], _what(row)] for row in closes
    ]
    for line in table(["closes on", "", "service", "what"], dates_shown):
        data(line)
    data("")
    data("Read from:")
    for source in dict.fromkeys(f"{row['service']}: {row['source']}" for row in (*prices, *closes)):
        data(f"  {source}")
    data(f"Prices of your own go into {user_file()}, or are given with --price.")
    for warning in warnings(prices, today):
        talk(warning)
    return 0


def _state(row: Row, today: datetime.date) -> str:
    return "" if is_open(row, today) else f"closed {row['closed']}"


def _what(row: Row) -> str:
    models = row.get("models")
    return f"{row['what']}: {', '.join(models)}" if isinstance(models, list) else str(row["what"])


def _plain(value: object) -> object:
    return str(value) if isinstance(value, datetime.date) else value
