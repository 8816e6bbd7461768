"""`ftui train RECIPE`: check the recipe, make a run, start it, and follow it or leave it."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from finetui_core import __version__
from finetui_core.cli.consenting import add_consent, consent_to
from finetui_core.cli.launching import discard, start
from finetui_core.cli.queueing import Planned, queue_runs, start_queue, summary_in_queue
from finetui_core.cli.say import data_json, talk
from finetui_core.cli.slurm import add_slurm, in_slurm, refuse_without_slurm
from finetui_core.data.check.gate import ACCEPT
from finetui_core.data.model_source import check_model
from finetui_core.errors import InputError, Problem
from finetui_core.preflight.gate import IGNORE, before_run, in_a_line
from finetui_core.preflight.history import Prediction, keep, prediction_file
from finetui_core.recipe.document import read_text
from finetui_core.recipe.load import load_recipe, recipe_json
from finetui_core.recipe.overrides import apply_overrides
from finetui_core.runs.ownership import require_safe_folder
from finetui_core.runs.paths import RunPaths, create_run, runs_root
from finetui_core.secrets import redacted_arguments, secrets_in

NEEDED = ("torch", "transformers", "peft", "accelerate")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, help="the TOML file that says what the run is")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="TABLE.KEY=VALUE",
        help="change one option of the recipe for this run; may be given several times",
    )
    parser.add_argument("--name", help="a name for the run (the recipe's file name if left out)")
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")
    parser.add_argument("--detach", action="store_true", help="return as soon as the run trains")
    parser.add_argument(
        "--queue",
        action="store_true",
        help="put the run into the queue, which starts it when a device is free",
    )
    parser.add_argument(
        ACCEPT,
        action="store_true",
        help="train on rows in which the data check finds errors; the run records it",
    )
    parser.add_argument(
        IGNORE,
        action="store_true",
        help="train although preflight says that memory or disk are too small; the run records it",
    )
    add_slurm(parser)
    add_consent(parser)
    parser.add_argument("--json", action="store_true", help="print the run's summary as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    refuse_without_slurm(options)
    if options.launch == "slurm":
        return in_slurm(options, make_run)
    if options.queue:
        return _queue(options)
    paths = make_run(
        options.recipe,
        options.set,
        options.name,
        options.runs,
        accept_data_errors=options.accept_data_errors,
        ignore_preflight=options.ignore_preflight,
        consent=options.consent_remote_code,
    )
    return start_new(paths, detach=options.detach, as_json=options.json)


def _queue(options: argparse.Namespace) -> int:
    plan = Planned(options.recipe, tuple(options.set), options.name or options.recipe.stem)
    root = (options.runs or runs_root()).absolute()
    make = partial(
        make_run,
        accept_data_errors=options.accept_data_errors,
        ignore_preflight=options.ignore_preflight,
        consent=options.consent_remote_code,
    )
    (paths,) = queue_runs(root, [plan], make)
    start_queue(root)
    if options.json:
        data_json(summary_in_queue(root, paths))
    else:
        talk(f"{paths.id} waits in the queue.\nsee it:    ftui queue\nwatch it:  ftui watch {paths.id}")
    return 0


def start_new(paths: RunPaths, *, detach: bool, as_json: bool) -> int:
    """Start a run's first attempt; bad input removes the run again, so that nothing is half-written."""
    try:
        return start(paths, resumed_from=None, detach=detach, as_json=as_json)
    except InputError:
        discard(paths)
        raise


def make_run(
    recipe_file: Path,
    overrides: Sequence[str],
    name: str | None,
    root: Path | None,
    *,
    accept_data_errors: bool = False,
    ignore_preflight: bool = False,
    consent: str | None = None,
    prediction: Prediction | None = None,
    files: Mapping[str, bytes] = MappingProxyType({}),
) -> RunPaths:
    """The directory of a new run; `accept_data_errors` is recorded in run.json, where the trainer reads it.

    What preflight predicts is kept in the directory; it is asked and said here where no `prediction` is given.
    `consent` names the version of the model's own code that may run, where the recipe wants it to.
    `files` are further ones that the run has from the start, such as queued.json. Raises InputError for a bad
    recipe, for one that cannot fit on this machine unless `ignore_preflight`, and where no directory can be made.
    """
    _refuse_secret_name(name or recipe_file.stem)
    recipe = load_recipe(recipe_file, overrides)
    agreed = consent_to(recipe, consent)
    check_model(recipe)
    require_training_libraries()
    text = apply_overrides(read_text(recipe_file), overrides)
    folder = (root or runs_root()).absolute()
    require_safe_folder(folder)
    if prediction is None:
        prediction = before_run(recipe, folder, ignore=ignore_preflight)
        talk(in_a_line(prediction))
    identity: dict[str, Any] = {
        "versions": _versions(),
        "argv": redacted_arguments(sys.argv),
        "model": Path(recipe.model.name).name if Path(recipe.model.name).exists() else recipe.model.name,
        "method": recipe.train.method,
        "accept_data_errors": accept_data_errors,
    }
    if agreed is not None:
        identity["remote_code"] = msgspec.to_builtins(agreed)
    try:
        paths = create_run(folder, name or recipe_file.stem, text, recipe_json(recipe), identity, files)
        keep(prediction_file(paths), prediction)
        return paths
    except OSError as error:
        raise InputError(
            Problem(
                f"the run's folder cannot be made: {error.strerror}",
                where=str(error.filename or folder),
                hint="Name another folder with --runs, or in the variable FTUI_RUNS.",
            )
        ) from error


def require_training_libraries() -> None:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise InputError(
            Problem(
                f"this installation can show runs but not train: {', '.join(missing)} is not installed",
                hint="Install the trainer with: pip install 'finetui[train]'",
            )
        )


def _refuse_secret_name(name: str) -> None:
    for _, kind in secrets_in(name):
        raise InputError(Problem(f"the run's name holds a secret ({kind})", "--name", "give it another name"))


def _versions() -> dict[str, str]:
    versions = {"finetui": __version__, "python": sys.version.split()[0]}
    for name in NEEDED:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
