"""`ftui watch RUN`: follow a run until it ends; leaving does not touch it."""

import argparse
from pathlib import Path

from finetui_core.cli.follow import follow
from finetui_core.cli.launching import finish
from finetui_core.runs.paths import find_run, runs_root
from finetui_core.runs.reader import RunView


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", default="latest", help="the run (the latest if left out)")
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")
    parser.add_argument("--json", action="store_true", help="print each record as a line of JSON on stdout")


def run(options: argparse.Namespace) -> int:
    view = RunView(find_run(options.runs or runs_root(), options.run))
    follow(view, as_json=options.json)
    return finish(view, as_json=options.json)
