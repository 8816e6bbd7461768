"""`ftui hosted list`: the account's newest jobs, and the runs here that follow them."""

import argparse
import time

import msgspec

from finetui_core.cli.hosting import add_place, add_runs, provider_faults, root_of
from finetui_core.cli.say import data, data_json, table, talk
from finetui_core.hosted import calls
from finetui_core.hosted.client import connect
from finetui_core.hosted.persisting import Clock, persist
from finetui_core.hosted.place import place_at
from finetui_core.hosted.record import read_record
from finetui_core.runs.paths import RunPaths, run_ids
from finetui_core.wording import NOTHING, count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_place(parser)
    add_runs(parser)
    parser.add_argument("--most", type=int, default=20, metavar="N", help="how many (20)")
    parser.add_argument("--json", action="store_true", help="print the jobs as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    place, root = place_at(options.base_url, options.key_env), root_of(options)
    with provider_faults():
        client = connect(place)
        jobs = persist(lambda: calls.newest_jobs(client, max(1, min(options.most, 100))), talk, Clock())
    records = [(run_id, read_record(RunPaths(root / run_id))) for run_id in run_ids(root)]
    runs = {one.job: run_id for run_id, one in records if one is not None and one.base_url == place.base_url}
    if options.json:
        found = [{**msgspec.to_builtins(job), "run": runs.get(job.id)} for job in jobs]
        data_json({"schema": 1, "base_url": place.base_url, "jobs": found})
        return 0
    rows = [
        [
            job.id,
            job.status,
            job.model,
            time.strftime("%Y-%m-%d %H:%M", time.gmtime(job.created_at))
            if 0 < job.created_at < 2**40
            else NOTHING,
            count(job.trained_tokens),
            job.fine_tuned_model or "",
            runs.get(job.id, ""),
        ]
        for job in jobs
    ]
    for line in table(["job", "state", "model", "made (UTC)", "tokens", "new model", "run here"], rows):
        data(line)
    return 0
