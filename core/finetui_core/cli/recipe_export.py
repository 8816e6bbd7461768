"""`ftui recipe export FILE --to trl|axolotl`: a config of another trainer from a recipe."""

import argparse
from pathlib import Path

from finetui_core.cli.exchange_report import add_output, refuse_existing, report, tell_result, write_new
from finetui_core.cli.say import data_json
from finetui_core.recipe.exchange.exporting import TARGETS, export_recipe
from finetui_core.recipe.load import load_recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the recipe; it is never changed")
    parser.add_argument("--to", choices=TARGETS, required=True, help="the trainer whose config is made")
    add_output(parser, "config")


def run(options: argparse.Namespace) -> int:
    refuse_existing(options.output)
    done = export_recipe(load_recipe(options.file), options.to)
    if options.output:
        write_new(options.output, done.text)
    if options.json:
        data_json(
            {
                "schema": 1,
                "to": options.to,
                "result": str(options.output) if options.output else None,
                "config": done.text,
                "carried_over": [{"option": o.key, "key": o.option, "value": o.value} for o in done.carried],
                "not_carried_over": [{"option": o.key, "why": o.why} for o in done.left],
                "defaults_that_differ": [
                    {"option": o.option, "theirs": o.theirs, "ours": o.ours} for o in done.differs
                ],
            }
        )
        return 0
    report(done.carried, done.left, done.differs)
    tell_result(options.output, done.text)
    return 0
