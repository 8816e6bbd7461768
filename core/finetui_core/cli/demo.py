"""`ftui demo`: fine-tune the sample model on the sample chats and show what changed."""

import argparse
import textwrap
from pathlib import Path
from typing import Any

from finetui_core.cli.say import data, number
from finetui_core.cli.train import make_run, start_new
from finetui_core.errors import InputError, Problem
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView, read_records

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
    data(_row("validation loss", before, best, "eval_loss", 3))
    data(_row("perplexity", before, best, "eval_perplexity", 2))
    if "probe_loss" in before:
        data(_row("loss on general text", before, best, "probe_loss", 3))
    untuned = read_records(paths.sample_file(0))
    tuned = read_records(paths.sample_file(best["step"]))
    for one, other in list(zip(untuned, tuned, strict=False))[:SHOWN]:
        data("")
        _block("question", _last_question(one["prompt"]))
        _block("before", one["answer"])
        _block("after", other["answer"])


def _row(name: str, before: dict[str, Any], after: dict[str, Any], key: str, digits: int) -> str:
    return f"{name:<22}{number(before[key], digits):>10}{number(after[key], digits):>10}"


def _last_question(prompt: str) -> str:
    return prompt.strip()


def _block(label: str, text: str) -> None:
    for index, line in enumerate(text.strip().splitlines() or [""]):
        for part in textwrap.wrap(line, WIDTH - 10) or [""]:
            data(f"{label if index == 0 else '':<10}{part}")
            label = ""
