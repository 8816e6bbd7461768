"""`ftui recipe import FILE`: a recipe from a config of TRL, axolotl or LLaMA-Factory."""

import argparse
from pathlib import Path

from finetui_core.cli.exchange_report import refuse_existing, report, write_new
from finetui_core.cli.say import data, data_json, talk
from finetui_core.recipe.exchange.importing import NAMES, TRAINERS, import_config, lists


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="the config, YAML or JSON; it is never changed"
    )
    parser.add_argument(
        "--from", dest="trainer", choices=TRAINERS, help="whose config it is; guessed if left out"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="NEW", help="the new recipe; without it, it goes to stdout"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the recipe and the three lists as JSON on stdout"
    )


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
    if options.output:
        talk(f"\nWritten to {options.output}.")
    else:
        talk()
        data(done.text.rstrip("\n"))
    return 0
