"""The runs of `ftui data value` one after the other, and what the curve through them says."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from finetui_core.cli.say import data, data_json, table, talk
from finetui_core.cli.train import make_run, require_training_libraries, start_new
from finetui_core.errors import RunFailed
from finetui_core.evaluate.learning_curve import Point, Value, value_of_doubling
from finetui_core.evaluate.value_runs import (
    TAG,
    Measured,
    ValuePlan,
    ValueRun,
    discard_unfinished,
    finished_runs,
    plan_value,
    write_recipe,
    write_rows,
)
from finetui_core.preflight.gate import before_run, in_a_line
from finetui_core.preflight.history import Prediction
from finetui_core.recipe.document import read_text
from finetui_core.recipe.load import load_recipe
from finetui_core.recipe.overrides import apply_overrides
from finetui_core.runs.labels import Labels
from finetui_core.runs.paths import LABELS, RunPaths, runs_root
from finetui_core.wording import loss

INTERRUPTED = 130
_FEW_VAL = 40


def value(options: argparse.Namespace) -> int:
    """Train what is left to train, print the curve, and return the exit code."""
    recipe = load_recipe(options.recipe, options.set)
    require_training_libraries()
    root = (options.runs or runs_root()).absolute()
    plan = plan_value(recipe, options.recipe.stem, root, steps=options.steps, seeds=options.seeds)
    done = dict(finished_runs(plan))
    left = [one for one in plan.runs if one.name not in done]
    talk(
        f"{len(plan.runs)} runs of {plan.steps:,} steps each on parts of {plan.rows:,} rows, measured on "
        f"{plan.val_rows:,} validation rows; {len(left)} are left to do. They are kept in {plan.folder}"
    )
    if left:
        discard_unfinished(plan, done)
        prediction = before_run(
            load_recipe(options.recipe, [*options.set, *_fixed(left[-1])]),
            root,
            ignore=options.ignore_preflight,
        )
        talk(f"each of them: {in_a_line(prediction)}")
        text = apply_overrides(read_text(options.recipe), options.set)
        file = write_recipe(plan, text, recipe)
    for number, one in enumerate(left, 1):
        talk(f"[{number}/{len(left)}] {one.name}")
        write_rows(plan, one)
        _train(plan, one, file, prediction, accept_data_errors=options.accept_data_errors)
        done[one.name] = _measured(plan, one)
    points = [
        Point(one.share, one.rows, one.seed, done[one.name].loss, done[one.name].id) for one in plan.runs
    ]
    found = value_of_doubling(points, recipe.train.seed)
    notes = _notes(plan, done, options.seeds)
    if options.json:
        data_json(_json(plan, points, found, notes))
    else:
        _show(points, found, notes)
    return 0


def _fixed(one: ValueRun) -> list[str]:
    """The overrides of a run whose files are not there yet."""
    return [text for text in one.overrides if not text.startswith("data.")]


def _train(
    plan: ValuePlan, one: ValueRun, file: Path, prediction: Prediction, *, accept_data_errors: bool
) -> None:
    labels = msgspec.json.encode(Labels(tags=(f"{TAG}{one.share:.0%}",))) + b"\n"
    paths: RunPaths = make_run(
        file,
        one.overrides,
        one.name,
        plan.folder,
        accept_data_errors=accept_data_errors,
        prediction=prediction,
        files={LABELS: labels},
    )
    code = start_new(paths, detach=False, as_json=False)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code:
        raise RunFailed(f"the run {paths.root} failed, so that there is no curve; its log says why")


def _measured(plan: ValuePlan, one: ValueRun) -> Measured:
    found = finished_runs(plan).get(one.name)
    if found is None:
        raise RunFailed(f"the run on {one.name} measured no validation loss, so that there is no curve")
    return found


def _notes(plan: ValuePlan, done: Mapping[str, Measured], seeds: int) -> list[str]:
    notes = []
    if seeds == 1:
        notes.append(
            "With one run of each size the band rests on how far the losses lie from the curve: try --seeds 2."
        )
    if plan.passes < 1:
        notes.append(
            f"The steps pass over {plan.passes:.0%} of the rows only, so that more rows could not help."
        )
    if plan.val_rows < _FEW_VAL:
        notes.append(f"{plan.val_rows} validation rows are few: the curve is that of these rows.")
    if any(done[one.name].at_end for one in plan.runs if one.share == 1):
        notes.append(
            "On all rows the loss still fell at the end of a run: with more --steps the curve may change."
        )
    return notes


def _json(plan: ValuePlan, points: Sequence[Point], value: Value, notes: Sequence[str]) -> dict[str, Any]:
    return {
        "schema": 1,
        **msgspec.to_builtins(value),
        "says": says(value),
        "steps": plan.steps,
        "val_rows": plan.val_rows,
        "folder": str(plan.folder),
        "points": msgspec.to_builtins(points),
        "notes": list(notes),
    }


def _show(points: Sequence[Point], value: Value, notes: Sequence[str]) -> None:
    rows = [[f"{one.share:.0%}", f"{one.rows:,}", str(one.seed), loss(one.loss), one.run] for one in points]
    for line in table(["share", "rows", "seed", "val loss", "run"], rows):
        data(line)
    data(says(value))
    for note in notes:
        data(note)


def says(value: Value) -> str:
    """The verdict in two sentences."""
    gain, doubled = value.gain, value.doubled_loss
    reach = (
        f"Twice the rows ({2 * value.rows:,}) would bring the validation loss from {loss(value.loss)} to about "
        f"{loss(doubled.middle)}: {gain.middle:.1%} less ({gain.low:.1%} to {gain.high:.1%} in nine of ten cases)."
    )
    verdict = {
        "worth collecting": "More rows are worth collecting.",
        "small gain": "The gain of more rows would be small.",
        "no gain shown": "These runs do not show that more rows would help.",
    }[value.verdict]
    return f"{verdict} {reach}"
