"""`ftui sweep RECIPE --set OPTION=V1,V2`: plan the runs, queue them, follow them, compare them."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from finetui_core.cli.queueing import Planned, queue_runs, start_queue
from finetui_core.cli.say import data_json, talk
from finetui_core.cli.sweep_follow import follow_sweep
from finetui_core.cli.sweep_plan import plan_json, predict, show_plan
from finetui_core.cli.sweep_report import report
from finetui_core.cli.train import make_run, require_training_libraries
from finetui_core.data.check.gate import ACCEPT
from finetui_core.errors import InputError, Problem
from finetui_core.preflight.gate import IGNORE, before_run
from finetui_core.preflight.history import Prediction
from finetui_core.recipe.combinations import Combination, checked_combinations
from finetui_core.runs.labels import MOST_TAG, Labels
from finetui_core.runs.listing import list_runs
from finetui_core.runs.paths import LABELS, RATE_RANGE, RunPaths, find_run, runs_root, slug
from finetui_core.runs.rate_range import read_range

TAG = "sweep:"
FEWEST_STEPS, MOST_STEPS = 20, 2000
DEFAULT_RANGE, DEFAULT_STEPS = "1e-6,1e-2", 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run every combination of the values given for some options, one run on each GPU (on a processor one "
        "after the other), and compare them. Ctrl-C leaves the runs to the queue."
    )
    parser.add_argument("recipe", type=Path, nargs="?", help="the TOML file that says what a run is")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="TABLE.KEY=V1,V2,…",
        help="an option and its values; several options are combined",
    )
    parser.add_argument("--name", help="a name for the sweep (the recipe's file name if left out)")
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")
    parser.add_argument("--plan", action="store_true", help="only show the runs that there would be")
    parser.add_argument("--detach", action="store_true", help="return as soon as the runs are queued")
    parser.add_argument(
        "--lr-range",
        nargs="?",
        const=DEFAULT_RANGE,
        metavar="LOW,HIGH",
        help=f"a range test in place of a sweep: one short run whose learning rate rises ({DEFAULT_RANGE})",
    )
    parser.add_argument(
        "--steps", type=int, default=DEFAULT_STEPS, help=f"with --lr-range: its steps ({DEFAULT_STEPS})"
    )
    parser.add_argument(
        "--compare",
        nargs="+",
        metavar="NAME|RUN",
        help="compare the runs of a sweep, or any runs, as they now are; tells what a range test found",
    )
    parser.add_argument(
        ACCEPT, action="store_true", help="train on rows in which the data check finds errors"
    )
    parser.add_argument(
        IGNORE, action="store_true", help="train although preflight says that memory or disk are too small"
    )
    parser.add_argument("--json", action="store_true", help="print plan or comparison as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    root = (options.runs or runs_root()).absolute()
    if options.compare:
        report(runs_to_compare(root, options.compare), as_json=options.json)
        return 0
    if options.recipe is None:
        raise InputError(
            Problem("no recipe is named", hint="ftui sweep RECIPE --set train.learning_rate=1e-5,2e-5")
        )
    combinations, files = _planned(options)
    name = _free_name(root, options.name, options.recipe)
    if options.plan or not options.json:
        reports = predict(combinations, root)
        if options.json:
            data_json(plan_json(name, combinations, reports))
        else:
            show_plan(name, combinations, reports)
    if options.plan:
        return 0
    require_training_libraries()
    labels = msgspec.json.encode(Labels(tags=(f"{TAG}{name}",))) + b"\n"
    predictions = _predictions(combinations, root, ignore=options.ignore_preflight)
    plans = [
        Planned(options.recipe, one.overrides, _run_name(name, one), {**files, LABELS: labels}, prediction)
        for one, prediction in zip(combinations, predictions, strict=True)
    ]
    runs = queue_runs(root, plans, partial(make_run, accept_data_errors=options.accept_data_errors))
    start_queue(root)
    if options.detach:
        talk(
            f"{len(runs)} {'run waits' if len(runs) == 1 else 'runs wait'} in the queue.\n{_how_to_return(name)}"
        )
        if options.json:
            data_json({"name": name, "tag": f"{TAG}{name}", "runs": [paths.id for paths in runs]})
        return 0
    return _follow(root, name, runs, combinations, as_json=options.json)


def _predictions(combinations: Sequence[Combination], root: Path, *, ignore: bool) -> list[Prediction]:
    """What preflight says of each run. Raises InputError with all that cannot fit, before anything is made."""
    predictions: list[Prediction] = []
    problems: dict[Problem, None] = {}
    for one in combinations:
        try:
            predictions.append(before_run(one.recipe, root, ignore=ignore))
        except InputError as error:
            problems |= {
                Problem(problem.what, one.label or problem.where, problem.hint): None
                for problem in error.problems
            }
    if problems:
        raise InputError(list(problems))
    return predictions


def _follow(
    root: Path, name: str, runs: Sequence[RunPaths], combinations: Sequence[Combination], *, as_json: bool
) -> int:
    """Follow to the end; Ctrl-C leaves the runs to the queue, which needs nobody to look."""
    talk(f"Closing this terminal or pressing Ctrl-C leaves the runs to the queue.\n{_how_to_return(name)}")
    try:
        failed = follow_sweep(root, runs, [one.label for one in combinations])
    except KeyboardInterrupt:
        talk(f"\nThe queue goes on.\n{_how_to_return(name)}")
        raise
    report(runs, as_json=as_json)
    return 1 if failed else 0


def _how_to_return(name: str) -> str:
    return f"compare:   ftui sweep --compare {name}\nsee it:    ftui queue\nstop it:   ftui queue stop"


def _planned(options: argparse.Namespace) -> tuple[list[Combination], dict[str, bytes]]:
    """The checked combinations, and the files that make each a range test where one was asked for."""
    if options.lr_range is None:
        return checked_combinations(options.recipe, options.set), {}
    rates, problems = read_range(options.lr_range)
    if not FEWEST_STEPS <= options.steps <= MOST_STEPS:
        hint = f"from {FEWEST_STEPS} to {MOST_STEPS}; some hundred are enough"
        problems.append(Problem(f"--steps {options.steps} cannot be", hint=hint))
    fixed = (f"train.max_steps={options.steps}",)
    try:
        combinations = checked_combinations(options.recipe, options.set, fixed, least=1)
    except InputError as error:
        raise InputError([*problems, *error.problems]) from error
    if problems:
        raise InputError(problems)
    return combinations, {RATE_RANGE: msgspec.json.encode(rates) + b"\n"}


def _run_name(name: str, one: Combination) -> str:
    return f"{name}: {one.label}" if one.label else f"{name}: range of learning rates"


def _free_name(root: Path, wanted: str | None, recipe: Path) -> str:
    """The name of the sweep, which no other one has. Raises InputError where the wanted one is taken."""
    taken = {tag.removeprefix(TAG) for one in list_runs(root) for tag in one.tags if tag.startswith(TAG)}
    name = slug(wanted if wanted is not None else recipe.stem)[: MOST_TAG - len(TAG) - 4]
    if wanted is not None and name in taken:
        raise InputError(
            Problem(f"there is a sweep named {name} already", "--name", "give this one another name")
        )
    names = (name, *(f"{name}-{number}" for number in range(2, 1000)))
    return next(one for one in names if one not in taken)


def runs_to_compare(root: Path, wanted: Sequence[str]) -> list[RunPaths]:
    """The runs of a sweep by its name or tag, or single runs. Raises InputError with all that fit none."""
    listed = list_runs(root)
    found: dict[Path, RunPaths] = {}
    problems: list[Problem] = []
    for one in wanted:
        tag = TAG + one.removeprefix(TAG)
        runs = [RunPaths(Path(run.path)) for run in listed if tag in run.tags]
        if not runs:
            try:
                runs = [find_run(root, one)]
            except InputError as error:
                names = sorted({t.removeprefix(TAG) for run in listed for t in run.tags if t.startswith(TAG)})
                hint = f"the sweeps are: {', '.join(names)}" if names else "there are no sweeps here yet"
                problems += [
                    Problem(f"no sweep is named {one!r}, and {problem.what}", problem.where, hint)
                    for problem in error.problems
                ]
        found |= {paths.root: paths for paths in runs}
    if problems:
        raise InputError(problems)
    return list(found.values())
