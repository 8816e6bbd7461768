"""`ftui demo`: fine-tune the sample model on the sample chats and show what changed."""

import argparse
import textwrap
from pathlib import Path

from finetui_core.cli.say import data
from finetui_core.cli.train import make_run, start_new
from finetui_core.errors import InputError, Problem
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView, read_records
from finetui_core.wording import loss, perplexity

SHOWN = 3
WIDTH = 96


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")


def run(options: argparse.Namespace) -> int:
    paths = make_run(sample_data() / "recipes" / "quickstart.toml", (), "quickstart", options.runs)
    code = start_new(paths, detach=False, as_json=False)
    if code == 0:
        show_change(paths)
    return code


def sample_data() -> Path:
    """The folder of sample data: inside the installed package, or beside core/ in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "sample_data", package.parents[1] / "sample_data"):
        if (folder / "recipes").is_dir():
            return folder
    raise InputError(Problem("the sample data is not installed", hint="Install finetui again."))


def show_change(paths: RunPaths) -> None:
    """Print loss and perplexity before and after, and a few answers of both models side by side."""
    view = RunView(paths)
    view.refresh()
    before = next(event for event in view.evaluations if event["step"] == 0)
    best = min(view.evaluations[1:], key=lambda event: float(event["eval_loss"]))
    data("")
    data(f"{'':<22}{'before':>10}{'after':>10}")
    for name, key, shown in (
        ("validation loss", "eval_loss", loss),
        ("perplexity", "eval_loss", perplexity),
        ("loss on general text", "probe_loss", loss),
    ):
        data(f"{name:<22}{shown(before.get(key)):>10}{shown(best.get(key)):>10}")
    untuned = read_records(paths.sample_file(0))
    tuned = read_records(paths.sample_file(best["step"]))
    for one, other in list(zip(untuned, tuned, strict=False))[:SHOWN]:
        data("")
        _block("question", one["prompt"])
        _block("before", one["answer"])
        _block("after", other["answer"])


def _block(label: str, text: str) -> None:
    for index, line in enumerate(text.strip().splitlines() or [""]):
        for part in textwrap.wrap(line, WIDTH - 10) or [""]:
            data(f"{label if index == 0 else '':<10}{part}")
            label = ""
