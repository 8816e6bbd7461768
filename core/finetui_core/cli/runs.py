"""`ftui runs`: a line about each run."""

import argparse
from pathlib import Path

import msgspec

from finetui_core.cli.say import data, data_json, now, table, talk
from finetui_core.runs.paths import runs_root
from finetui_core.runs.reader import list_runs
from finetui_core.wording import age, loss


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")
    parser.add_argument("--json", action="store_true", help="print the list as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    root = options.runs or runs_root()
    summaries = list_runs(root)
    if options.json:
        data_json([msgspec.to_builtins(summary) for summary in summaries])
        return 0
    if not summaries:
        talk(f"There are no runs in {root}. Start one with: ftui demo, or ftui train RECIPE")
        return 0
    rows = [
        [
            one.id,
            one.state,
            f"{one.step}/{one.total_steps or '?'}",
            loss(one.loss),
            loss(one.eval_loss),
            loss(one.best_eval_loss),
            age(now() - one.updated),
        ]
        for one in summaries
    ]
    for line in table(["run", "state", "step", "loss", "val loss", "best", "age"], rows):
        data(line)
    return 0
