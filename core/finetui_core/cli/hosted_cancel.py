"""`ftui hosted cancel JOB|RUN`: cancel a job at the platform, whoever has started it."""

import argparse

from finetui_core.cli.hosting import add_place, add_runs, provider_faults, subject_of
from finetui_core.cli.say import data_json, talk
from finetui_core.hosted import calls
from finetui_core.hosted.client import connect
from finetui_core.hosted.persisting import Clock, persist


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB|RUN", help="the job's id, or a run that follows it")
    add_place(parser)
    add_runs(parser)
    parser.add_argument("--json", action="store_true", help="print the job as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    subject = subject_of(options)
    with provider_faults():
        client = connect(subject.place)
        job = persist(lambda: calls.cancel_job(client, subject.job), talk, Clock())
    if options.json:
        data_json({"schema": 1, "job": job.id, "status": job.status})
    else:
        talk(f"{job.id}: {job.status}. What it has trained until now may be billed.")
    return 0
