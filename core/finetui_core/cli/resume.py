"""`ftui resume RUN`: continue from the newest checkpoint that verifies, exactly as if nothing had happened.

What would not continue exactly is refused with each difference; `--inexact` goes on all the same, and marks the run.
"""

import argparse
import time
from pathlib import Path

from finetui_core.cli.consenting import add_consent, consent_to
from finetui_core.cli.hosting import follow_run
from finetui_core.cli.launching import start
from finetui_core.cli.say import talk
from finetui_core.data.model_source import check_model
from finetui_core.errors import InputError, Problem
from finetui_core.hosted.ends import job_is_over
from finetui_core.hosted.record import place_of, read_record
from finetui_core.recipe.options import Recipe
from finetui_core.runs.checkpoints import newest_valid
from finetui_core.runs.ownership import require_own
from finetui_core.runs.paths import RunPaths, find_run, runs_root
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import Queued, content_of, read_small
from finetui_core.runs.supervisor import is_locked

_LETS_GO_WITHIN = 5.0
"""Seconds that a supervisor may take to end after it has recorded how its trainer ended."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="the run's id, a part of it that only it has, a path, or: latest")
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")
    parser.add_argument(
        "--inexact",
        action="store_true",
        help="go on even where libraries, data or processes are not those of the checkpoint; the run is marked",
    )
    parser.add_argument("--detach", action="store_true", help="return as soon as the run trains")
    add_consent(parser)
    parser.add_argument("--json", action="store_true", help="print the run's summary as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    paths = find_run(options.runs or runs_root(), options.run)
    view = RunView(paths)
    view.refresh()
    if is_locked(paths) and (view.state.live or not _is_let_go(paths)):
        raise InputError(
            Problem(
                f"{paths.id} is running, so it cannot be resumed",
                hint=f"Watch it with: ftui watch {paths.id}",
            )
        )
    queued = read_small(paths.queued, Queued)
    if view.state.state == "queued" and queued is not None and queued.job is not None:
        hint = f"To train here instead, first type: ftui ctl {paths.id} stop"
        raise InputError(Problem(f"{paths.id} is not to be started here: it {view.state.reason}", hint=hint))
    if view.state.state == "finished":
        raise InputError(
            Problem(
                f"{paths.id} is finished: {view.state.reason}",
                hint="To train longer, start a new run with more epochs.",
            )
        )
    if view.hosted:
        if job_is_over(view.events):
            hint = "Start a new one with: ftui hosted start"
            raise InputError(Problem(f"the job of {paths.id} is over: {view.state.reason}", hint=hint))
        if (record := read_record(paths)) is not None:
            place_of(record)  # says at once that the key is missing
        return follow_run(paths, detach=options.detach, as_json=options.json)
    require_own(paths)
    _check_model(paths, options.consent_remote_code)
    checkpoint, skipped = newest_valid(paths.checkpoints)
    for one in skipped:
        talk(f"{one.path.name} is passed over: {one.reason}")
    if checkpoint is None:
        talk(f"{paths.id} has no checkpoint that verifies, so it starts from its first step.")
    resumed_from = f"checkpoints/{checkpoint.path.name}" if checkpoint else None
    return start(
        paths,
        resumed_from=resumed_from,
        detach=options.detach,
        as_json=options.json,
        inexact=options.inexact,
    )


def _check_model(paths: RunPaths, consent: str | None) -> None:
    """Raise InputError where the run's model must not be read, or brings code that this user does not agree to."""
    try:
        recipe = Recipe.model_validate_json(content_of(paths.resolved_recipe))
    except (OSError, ValueError) as error:
        hint = f"Start a new run from the recipe that it was made of: ftui train {paths.recipe}"
        raise InputError(
            Problem("the run has no recipe that can be read", str(paths.resolved_recipe), hint)
        ) from error
    consent_to(recipe, consent)
    check_model(recipe)


def _is_let_go(paths: RunPaths) -> bool:
    """Whether the lock of a run that has ended is dropped soon: its supervisor records the end, then ends itself."""
    deadline = time.monotonic() + _LETS_GO_WITHIN
    while is_locked(paths):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
