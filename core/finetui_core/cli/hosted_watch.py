"""`ftui hosted watch JOB|RUN`: follow a job until it ends; leaving touches neither it nor the run."""

import argparse
import datetime

from finetui_core.cli.hosting import add_place, add_runs, follow_run, provider_faults, root_of, subject_of
from finetui_core.cli.say import talk
from finetui_core.errors import InputError, Problem
from finetui_core.hosted import calls
from finetui_core.hosted.client import connect
from finetui_core.hosted.persisting import Clock, persist
from finetui_core.hosted.prices import price_of
from finetui_core.hosted.record import HostedJob
from finetui_core.hosted.run_folder import make_hosted_run
from finetui_core.runs.ownership import require_own, require_safe_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "job", metavar="JOB|RUN", nargs="?", default="latest", help="the job's id, or a run that follows it"
    )
    add_place(parser)
    add_runs(parser)
    parser.add_argument("--price", type=float, metavar="USD", help="the price of a million trained tokens")
    parser.add_argument("--detach", action="store_true", help="return as soon as the job is followed")
    parser.add_argument("--json", action="store_true", help="print the run's summary as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    subject, root = subject_of(options), root_of(options)
    paths = subject.run
    if paths is None:
        require_safe_folder(root)
        with provider_faults():
            client = connect(subject.place)
            job = persist(lambda: calls.get_job(client, subject.job), talk, Clock())
        price = price_of(subject.place.host, job.model, options.price, datetime.date.today())
        record = HostedJob(
            job=job.id,
            base_url=subject.place.base_url,
            key_variable=subject.place.key_variable,
            model=job.model,
            price=price.dollars if price else None,
            price_source=price.source if price else "",
        )
        try:
            paths = make_hosted_run(root, job.id, record, job, "", None)
        except OSError as error:
            what = f"the run's folder cannot be made: {error.strerror}"
            raise InputError(Problem(what, str(root), "Name another folder with --runs.")) from error
    require_own(paths)
    return follow_run(paths, detach=options.detach, as_json=options.json)
