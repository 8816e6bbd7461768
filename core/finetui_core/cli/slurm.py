"""`ftui train RECIPE --launch slurm`: the run as a job of a cluster."""

import argparse
import tomllib
from collections.abc import Callable, Sequence

from finetui_core.cli.launching import discard
from finetui_core.cli.say import data, data_json, talk
from finetui_core.errors import InputError, Problem, RunFailed
from finetui_core.files import write_atomically
from finetui_core.recipe.document import read_text
from finetui_core.recipe.load import load_recipe
from finetui_core.recipe.options import Recipe
from finetui_core.recipe.overrides import apply_overrides
from finetui_core.runs.command import FIRST_NODE
from finetui_core.runs.paths import RunPaths, runs_root, slug
from finetui_core.runs.reader import RunView
from finetui_core.runs.slurm import job_script, submit
from finetui_core.runs.slurm_options import parse_options
from finetui_core.settings import settings_file
from finetui_core.toml_file import read_toml


def add_slurm(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--launch",
        choices=("here", "slurm"),
        default="here",
        help="where to train; slurm writes job.sbatch into the run and submits it",
    )
    parser.add_argument(
        "--slurm",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of the job, such as partition=gpu or time=12:00:00; may be given several times",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="with --launch slurm: print the job's script and do nothing else",
    )


def refuse_without_slurm(options: argparse.Namespace) -> None:
    """Raise InputError for options that belong to a job where none was asked for, and for a job in two queues."""
    problems = []
    if options.launch != "slurm":
        for name, given in (("--slurm", options.slurm), ("--dry-run", options.dry_run)):
            if given:
                problems.append(Problem(f"{name} goes with --launch slurm", hint="add --launch slurm"))
    elif options.queue:
        problems.append(Problem("--queue and --launch slurm are two queues", hint="leave one of them out"))
    if problems:
        raise InputError(problems)


def in_slurm(options: argparse.Namespace, make_run: Callable[..., RunPaths]) -> int:
    """Make the run with its job, and submit it or print it."""
    overrides = _with_a_meeting_place(options)
    recipe = load_recipe(options.recipe, overrides)
    job = parse_options(options.slurm, _of_settings())
    root = (options.runs or runs_root()).absolute()
    if options.dry_run:
        data(_script(RunPaths(root / slug(options.name or options.recipe.stem)), recipe, job).rstrip("\n"))
        return 0
    _script(RunPaths(root / "run"), recipe, job)  # raises before there is a run
    paths = make_run(
        options.recipe,
        overrides,
        options.name,
        options.runs,
        accept_data_errors=options.accept_data_errors,
        ignore_preflight=True,  # which asks this machine, and not the one that trains
        consent=options.consent_remote_code,
    )
    write_atomically(paths.job, _script(paths, recipe, job).encode())
    try:
        number = submit(paths)
    except RunFailed:
        discard(paths)
        raise
    if options.json:
        view = RunView(paths)
        view.refresh()
        data_json(view.summary())
        return 0
    talk(f"{paths.id} is queued in Slurm as job {number}.")
    talk(
        f"see it:    squeue -j {number}\nwatch it:  ftui watch {paths.id}\nend it:    ftui ctl {paths.id} stop"
    )
    return 0


def _script(paths: RunPaths, recipe: Recipe, job: dict[str, str]) -> str:
    return job_script(paths.root, recipe.launch, job)


def _with_a_meeting_place(options: argparse.Namespace) -> Sequence[str]:
    """The overrides, with the job's first node where several nodes are to meet and the recipe names no place."""
    text = apply_overrides(read_text(options.recipe), options.set)
    try:
        launch = tomllib.loads(text).get("launch", {})
    except tomllib.TOMLDecodeError:
        return list(options.set)  # told when the recipe is loaded
    nodes = launch.get("nnodes", 1) if isinstance(launch, dict) else 1
    if not isinstance(nodes, int) or nodes < 2 or "rdzv_endpoint" in launch:
        return list(options.set)
    return [*options.set, f"launch.rdzv_endpoint='{FIRST_NODE}'"]


def _of_settings() -> dict[str, object]:
    """The table `slurm` of the settings file; {} without one."""
    path = settings_file()
    table = read_toml(path).values.get("slurm", {}) if path.exists() else {}
    if not isinstance(table, dict):
        raise InputError(
            Problem("slurm must be a table of options", str(path), 'write [slurm] and partition = "gpu"')
        )
    return table
