"""`ftui demo`: fine-tune the sample model on the sample chats and show what changed."""

import argparse
import textwrap
from itertools import zip_longest
from pathlib import Path

from finetui_core.cli.say import data, data_json
from finetui_core.cli.train import make_run, start_new
from finetui_core.errors import InputError, Problem
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView, read_records
from finetui_core.text import visible
from finetui_core.wording import loss, perplexity

SHOWN = 3
COLUMN = 38  # two columns fit a terminal of 80


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")
    parser.add_argument("--json", action="store_true", help="print what changed as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    paths = make_run(sample_data() / "recipes" / "quickstart.toml", (), "quickstart", options.runs)
    code = start_new(paths, detach=False, as_json=False)
    if code == 0:
        show_change(paths, as_json=options.json)
    return code


def sample_data() -> Path:
    """The folder of sample data: inside the installed package, or beside core/ in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "sample_data", package.parents[1] / "sample_data"):
        if (folder / "recipes").is_dir():
            return folder
    raise InputError(Problem("the sample data is not installed", hint="Install finetui again."))


def show_change(paths: RunPaths, *, as_json: bool) -> None:
    """Print loss and perplexity before and after, and a few answers of both models side by side."""
    view = RunView(paths)
    view.refresh()
    before = next(event for event in view.evaluations if event["step"] == 0)
    best = min(view.evaluations[1:], key=lambda event: float(event["eval_loss"]))
    untuned = read_records(paths.sample_file(0))
    tuned = read_records(paths.sample_file(best["step"]))
    pairs = list(zip(untuned, tuned, strict=True))[:SHOWN]
    if as_json:
        answers = [
            {"prompt": one["prompt"], "before": one["answer"], "after": other["answer"]}
            for one, other in pairs
        ]
        data_json({"run": paths.id, "before": before, "after": best, "answers": answers})
        return
    data(f"\n{'':<{COLUMN}}  before     after")
    for name, key, shown in (
        ("validation loss", "eval_loss", loss),
        ("perplexity", "eval_loss", perplexity),
        ("loss on general text", "probe_loss", loss),
    ):
        data(f"{name:<{COLUMN}}  {shown(before.get(key)):<9}  {shown(best.get(key))}")
    for one, other in pairs:
        data("")
        for line in _wrapped(one["prompt"], 2 * COLUMN):
            data(f"> {line}")
        data(f"{'before':<{COLUMN}}  after")
        for left, right in zip_longest(
            _wrapped(one["answer"], COLUMN), _wrapped(other["answer"], COLUMN), fillvalue=""
        ):
            data(f"{left:<{COLUMN}}  {right}".rstrip())


def _wrapped(text: str, width: int) -> list[str]:
    return [part for line in text.strip().splitlines() for part in textwrap.wrap(visible(line), width)]
