"""`ftui hosted start FILE --model NAME`: cost, consent, upload, job, and a run that follows it."""

import argparse
import datetime
import sys
import tempfile
from pathlib import Path
from typing import Any

from finetui_core.cli.data_export import add_max_tokens, said
from finetui_core.cli.follow import clear_line, show_line
from finetui_core.cli.hosting import add_place, add_runs, follow_run, provider_faults, root_of
from finetui_core.cli.say import talk, typed
from finetui_core.data.chat_limits import ChatFile, check_chat_file, unlisted
from finetui_core.errors import InputError, Problem, RunFailed
from finetui_core.hosted.client import Client, connect
from finetui_core.hosted.persisting import Clock
from finetui_core.hosted.place import Place, place_at
from finetui_core.hosted.prices import Price, closings_of, cost_before, price_of, warning_of
from finetui_core.hosted.record import HostedJob
from finetui_core.hosted.run_folder import make_hosted_run
from finetui_core.hosted.shapes import Job
from finetui_core.hosted.starting import Prepared, create_job, job_settings, prepare, send_file
from finetui_core.runs.ownership import require_safe_folder
from finetui_core.runs.paths import RunPaths
from finetui_core.secrets import secrets_in
from finetui_core.wording import size

_LONGEST_SUFFIX = 64  # characters; the package openai 3.57, resources/fine_tuning/jobs/jobs.py


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the training rows, in any chat layout; never changed")
    parser.add_argument("--model", required=True, help="the platform's model to train")
    parser.add_argument("--val", metavar="FILE", help="validation rows, which are sent too")
    parser.add_argument("--epochs", type=_positive, help="how often each row is seen (the platform chooses)")
    parser.add_argument("--batch-size", type=_positive, help="rows of a step (the platform chooses)")
    parser.add_argument(
        "--learning-rate-multiplier", type=_price, help="times the platform's rate (it chooses)"
    )
    parser.add_argument("--seed", type=int, help="the seed of the job")
    parser.add_argument("--suffix", help="a part of the new model's name")
    parser.add_argument("--price", type=_price, metavar="USD", help="the price of a million trained tokens")
    add_max_tokens(parser)
    add_place(parser)
    parser.add_argument("--yes", action="store_true", help="agree to the cost without being asked")
    parser.add_argument("--name", help="a name for the run (the file's name if left out)")
    add_runs(parser)
    parser.add_argument("--detach", action="store_true", help="return as soon as the job is followed")
    parser.add_argument("--json", action="store_true", help="print the run's summary as JSON on stdout")


def _positive(written: str) -> int:
    number = int(written)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _price(written: str) -> float:
    number = float(written)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError("must be 0 or more")
    return number


def run(options: argparse.Namespace) -> int:
    place, root, today = place_at(options.base_url, options.key_env), root_of(options), datetime.date.today()
    name = options.name or Path(options.file).stem
    _refuse_secret(name, "--name")
    _refuse_secret(options.suffix or "", "--suffix")
    if len(options.suffix or "") > _LONGEST_SUFFIX:
        raise InputError(
            Problem(f"the suffix has more than {_LONGEST_SUFFIX} characters", "--suffix", "Shorten it.")
        )
    found = _checked(options)
    require_safe_folder(root)
    client = connect(place)
    price = price_of(place.host, options.model, options.price, today)
    _say_what_follows(options, place, found, price, today)
    _agree(yes=options.yes)
    with tempfile.TemporaryDirectory(prefix="ftui-") as folder, provider_faults():
        job, prepared = _job(client, options, Path(folder))
    talk(f"The job {job.id} is made.")
    paths = _run_folder(options, place, job, prepared, price, root, name)
    return follow_run(paths, detach=options.detach, as_json=options.json)


def _checked(options: argparse.Namespace) -> ChatFile:
    """The training file, once neither it nor the validation file has a fault."""
    looked = [
        (file, check_chat_file(file, options.max_tokens)) for file in (options.file, options.val) if file
    ]
    problems = [problem for _, found in looked for problem in found.problems]
    more = [problem for file, found in looked for problem in unlisted(file, found)]
    if problems:
        raise InputError([*problems, *more])
    return looked[0][1]


def _say_what_follows(
    options: argparse.Namespace, place: Place, found: ChatFile, price: Price | None, today: datetime.date
) -> None:
    talk(f"{options.file}: {said(found)}")
    talk(f"It is sent to {place.host}, which trains {options.model} with it.")
    talk(f"Cost: {cost_before(found.tokens, options.epochs, price)}")
    for row in closings_of(place.host, options.model):
        talk(warning_of(row, today))


def _agree(*, yes: bool) -> None:
    """Raise InputError where nobody agrees."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError(Problem("nobody agreed to the cost", "--yes", "Agree at a terminal, or with --yes."))
    talk("Nothing was sent yet. Type yes to send the rows and to pay for the job; anything else stops here.")
    if typed().lower() != "yes":
        raise InputError(Problem("nobody agreed to the cost", "", "Nothing was sent."))


def _job(client: Client, options: argparse.Namespace, folder: Path) -> tuple[Job, Prepared]:
    clock = Clock()
    train = prepare(options.file, folder)
    train_id = _sent(client, train, clock)
    val_id = _sent(client, prepare(options.val, folder), clock) if options.val else None
    wanted = job_settings(
        model=options.model,
        training_file=train_id,
        validation_file=val_id,
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate_multiplier=options.learning_rate_multiplier,
        seed=options.seed,
        suffix=options.suffix,
    )
    return create_job(client, wanted, talk, clock), train


def _sent(client: Client, prepared: Prepared, clock: Clock) -> str:
    def show(sent: int) -> None:
        show_line(f"sending {prepared.name}: {size(sent)} of {size(prepared.size)}")

    file, was_there = send_file(client, prepared, talk, show, clock)
    clear_line()
    talk(f"{prepared.name} {'is there already' if was_there else 'is sent'}: {file.id}")
    return file.id


def _run_folder(
    options: argparse.Namespace,
    place: Place,
    job: Job,
    prepared: Prepared,
    price: Price | None,
    root: Path,
    name: str,
) -> RunPaths:
    record = HostedJob(
        job=job.id,
        base_url=place.base_url,
        key_variable=place.key_variable,
        model=job.model or options.model,
        price=price.dollars if price else None,
        price_source=price.source if price else "",
        file_sha256=prepared.sha256,
    )
    val: Any = str(Path(options.val).absolute()) if options.val else None
    try:
        return make_hosted_run(root, name, record, job, str(Path(options.file).absolute()), val)
    except OSError as error:
        what = f"the job {job.id} goes on, but the run's folder cannot be made: {error.strerror}"
        raise RunFailed(
            f"{what}\n    Follow it with: ftui hosted watch {job.id} --runs ANOTHER_FOLDER"
        ) from error


def _refuse_secret(text: str, where: str) -> None:
    for _, kind in secrets_in(text):
        raise InputError(Problem(f"this holds a secret ({kind})", where, "Give it another one."))
