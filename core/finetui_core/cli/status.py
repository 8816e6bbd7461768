"""`ftui status RUN`: how a run is doing, once."""

import argparse
from pathlib import Path

from finetui_core.cli.say import data, data_json
from finetui_core.runs.alarms import kind_in_words, severity_in_words
from finetui_core.runs.foreign import open_view
from finetui_core.runs.inexact import headline
from finetui_core.runs.paths import find_run, runs_root
from finetui_core.wording import count, duration, loss


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", default="latest", help="the run (the latest if left out)")
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")
    parser.add_argument("--json", action="store_true", help="print it as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    view = open_view(find_run(options.runs or runs_root(), options.run).root)
    view.refresh()
    facts = view.summary()
    if options.json:
        data_json(facts)
        return 0
    lines = {
        "run": facts["id"],
        "state": f"{facts['state'].replace('_', ' ')}: {facts['reason']}",
        **({"way out": facts["way_out"]} if facts.get("way_out") else {}),
        "model": f"{facts['model']} ({facts['method']})" if facts["model"] else facts["method"],
        "step": f"{count(facts['step'])}/{count(facts['total_steps'])}, epoch {facts['epoch'] or 0:.2f}",
        "loss": loss(facts["loss"]),
        "val loss": f"{loss(facts['eval_loss'])}, best {loss(facts['best_eval_loss'])} "
        f"at step {count(facts['best_step'])}",
        "speed": f"{count(facts['tokens_per_second'])} tokens/s, {duration(facts['eta_seconds'])} left",
        "checkpoint": facts["last_checkpoint"] or "none yet",
        "folder": facts["path"],
    }
    if facts.get("inexact_from") is not None:
        lines["exactness"] = headline(facts["inexact_from"])
    for name, value in lines.items():
        data(f"{name:<11}{value}")
    for alarm in facts.get("alarms", ()):
        head = f"{severity_in_words(alarm)}: {kind_in_words(alarm)} at step {count(alarm['step'])}"
        data(f"{'alarm':<11}{head}: {alarm['message']}")
        if alarm["remedy"]:
            data(f"{'':<11}{alarm['remedy']}")
    return 0
