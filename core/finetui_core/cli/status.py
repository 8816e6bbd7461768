"""`ftui status RUN`: how a run is doing, once."""

import argparse
from pathlib import Path

from finetui_core.cli.say import data, data_json, duration, number
from finetui_core.runs.paths import find_run, runs_root
from finetui_core.runs.reader import RunView


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", default="latest", help="the run (the latest if left out)")
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")
    parser.add_argument("--json", action="store_true", help="print it as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    view = RunView(find_run(options.runs or runs_root(), options.run))
    view.refresh()
    facts = view.summary()
    if options.json:
        data_json(facts)
        return 0
    lines = {
        "run": facts["id"],
        "state": f"{facts['state']}: {facts['reason']}",
        "model": f"{facts['model']} ({facts['method']})",
        "step": f"{facts['step']}/{facts['total_steps'] or '?'}, epoch {number(facts['epoch'], 2)}",
        "loss": number(facts["loss"], 4),
        "val loss": f"{number(facts['eval_loss'], 4)}, best {number(facts['best_eval_loss'], 4)} "
        f"at step {facts['best_step'] if facts['best_step'] is not None else '-'}",
        "speed": f"{number(facts['tokens_per_second'], 0)} tokens/s, ETA {duration(facts['eta_seconds'])}",
        "checkpoint": facts["last_checkpoint"] or "none yet",
        "folder": facts["path"],
    }
    for name, value in lines.items():
        data(f"{name:<11}{value}")
    return 0
