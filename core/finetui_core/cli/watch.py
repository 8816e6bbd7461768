"""`ftui watch RUN`: follow a run until it ends; leaving does not touch it."""

import argparse
from pathlib import Path

from finetui_core.cli.follow import follow, look
from finetui_core.cli.launching import exit_code, finish
from finetui_core.cli.plain import EVERY, print_plainly
from finetui_core.runs.foreign import open_view
from finetui_core.runs.paths import find_run, runs_root


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", default="latest", help="the run (the latest if left out)")
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")
    parser.add_argument("--json", action="store_true", help="print each record as a line of JSON on stdout")
    parser.add_argument(
        "--plain",
        action="store_true",
        help="print whole lines on stdout, none of them written over: for pipes and screen readers",
    )
    parser.add_argument(
        "--every",
        type=_seconds,
        default=EVERY,
        metavar="SECONDS",
        help=f"with --plain: seconds between two lines about the steps ({EVERY:g})",
    )


def _seconds(written: str) -> float:
    seconds = float(written)
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError("must be 0 or more")
    return seconds


def run(options: argparse.Namespace) -> int:
    view = open_view(find_run(options.runs or runs_root(), options.run).root)
    if options.plain and not options.json:
        print_plainly(look(view), options.every)
        return exit_code(view)
    follow(view, as_json=options.json)
    return finish(view, as_json=options.json)
