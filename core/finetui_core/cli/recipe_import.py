"""`ftui recipe import FILE`: a recipe from a config of TRL, axolotl or LLaMA-Factory."""

import argparse
from pathlib import Path

from finetui_core.cli.exchange_report import add_output, refuse_existing, report, tell_result, write_new
from finetui_core.cli.say import data_json, talk
from finetui_core.recipe.exchange.importing import NAMES, TRAINERS, import_config, lists


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="the config, YAML or JSON; it is never changed"
    )
    parser.add_argument(
        "--from", dest="trainer", choices=TRAINERS, help="whose config it is; guessed if left out"
    )
    add_output(parser, "recipe")


def run(options: argparse.Namespace) -> int:
    refuse_existing(options.output)
    folder = options.output.absolute().parent if options.output else Path.cwd()
    done = import_config(options.file, options.trainer, folder)
    if options.output:
        write_new(options.output, done.text)
    if options.json:
        result = str(options.output) if options.output else None
        facts = {
            "schema": 1,
            "from": done.trainer,
            "guessed": done.guessed,
            "result": result,
            "recipe": done.text,
        }
        data_json({**facts, **lists(done)})
        return 0
    guessed = ", guessed from its keys; --from says it otherwise" if done.guessed else ""
    talk(f"{options.file}: a config of {NAMES[done.trainer]}{guessed}.")
    report(done.carried, done.left, done.differs)
    tell_result(options.output, done.text)
    return 0
