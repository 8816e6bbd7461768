"""`ftui data value RECIPE`: is more data worth collecting? Small parts of the rows are trained on, and compared."""

import argparse
from pathlib import Path

from finetui_core.data.check.gate import ACCEPT
from finetui_core.preflight.gate import IGNORE

MOST_SEEDS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Train on 10, 25, 50 and 100 per cent of the training rows, and say from the validation losses what twice as "
        "many rows would bring. Runs that are finished are kept; after Ctrl-C the same command goes on."
    )
    parser.add_argument("recipe", type=Path, help="the TOML file that says what a run is")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="TABLE.KEY=VALUE",
        help="change one option of the recipe",
    )
    parser.add_argument(
        "--seeds", type=_seeds, default=2, metavar="N", help="runs of each size, with other rows (default: 2)"
    )
    parser.add_argument(
        "--steps", type=_steps, metavar="N", help="optimizer steps of each run (default: those of the recipe)"
    )
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")
    parser.add_argument(
        ACCEPT, action="store_true", help="train on rows in which the data check finds errors"
    )
    parser.add_argument(
        IGNORE, action="store_true", help="train although preflight says that memory or disk are too small"
    )
    parser.add_argument("--json", action="store_true", help="print the curve as JSON on stdout")


def _seeds(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MOST_SEEDS:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to {MOST_SEEDS}")
    return number


def _steps(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def run(options: argparse.Namespace) -> int:
    from finetui_core.cli.value_follow import value  # needs numpy, which the viewer alone does not have

    return value(options)
