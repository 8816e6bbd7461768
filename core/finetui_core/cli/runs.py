"""`ftui runs`: a line about each run, and what can be done to whole runs."""

import argparse
from pathlib import Path

import msgspec

from finetui_core.cli import managing
from finetui_core.cli.say import data, data_json, now, table, talk
from finetui_core.runs.filter import DEFAULT_SORT, SORT_KEYS, run_filter, sort_runs
from finetui_core.runs.listing import list_runs
from finetui_core.runs.paths import ARCHIVE, TRASH, runs_root
from finetui_core.runs.queue import standstill
from finetui_core.runs.summary import RunSummary
from finetui_core.wording import age, loss

FILTER_HELP = (
    "only those that fit: words look at name, id, model and tags; state:running, tag:x, loss<0.5, val<1, "
    'best<1, step>100, age<2d, -word, "two words"'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")
    parser.add_argument("--json", action="store_true", help="print the list as JSON on stdout")
    parser.add_argument("--filter", default="", metavar="TEXT", help=FILTER_HELP)
    parser.add_argument(
        "--sort", default=DEFAULT_SORT, choices=SORT_KEYS, metavar="COLUMN", help=f"by {', '.join(SORT_KEYS)}"
    )
    parser.add_argument("--reverse", action="store_true", help="the other way round")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--archived", action="store_true", help="list the archived runs")
    where.add_argument("--deleted", action="store_true", help="list the runs in the trash")
    managing.add_actions(parser)


def run(options: argparse.Namespace) -> int:
    if options.action is not None:
        return managing.run(options)
    root = options.runs or runs_root()
    folder = root / ARCHIVE if options.archived else root / TRASH if options.deleted else root
    fits = run_filter(options.filter, now())
    summaries = list_runs(folder)
    chosen = sort_runs(filter(fits, summaries), options.sort, reverse=options.reverse)
    if options.json:
        data_json([msgspec.to_builtins(summary) for summary in chosen])
    elif not summaries:
        talk(f"There are no runs in {folder}. Start one with: ftui demo, or ftui train RECIPE")
    elif not chosen:
        talk(f"None of the {len(summaries):,} runs in {folder} fits: {options.filter}")
    else:
        headings = ["run", "state", "step", "loss", "val loss", "best", "age", "labels"]
        for line in table(headings, [_cells(one) for one in chosen]):
            data(line)
        if folder == root and (
            said := standstill(root, sum(one.queue_number is not None for one in summaries))
        ):
            talk(said)
    return 0


def _cells(one: RunSummary) -> list[str]:
    return [
        one.id,
        one.state,
        f"{one.step}/{one.total_steps or '?'}",
        loss(one.loss),
        loss(one.eval_loss),
        loss(one.best_eval_loss),
        age(now() - one.created),
        " ".join([*([one.label] if one.label else []), *(f"#{tag}" for tag in one.tags)]),
    ]
