"""The runs behind a learning curve: the same recipe on a part of its training rows, with other seeds.

Every run takes the same number of optimizer steps, those of the whole set, so that a small part is not measured
before it is learned; its lowest validation loss counts, so that it is not measured after it is overfitted either.
The parts of one seed lie in each other, and all runs are measured on the same validation rows.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import msgspec
import numpy as np

from finetui_core.data.conversation import Row, TextDocument
from finetui_core.data.export import exporter
from finetui_core.data.split import prompt_digest
from finetui_core.data.stages import Sets, read_sets
from finetui_core.errors import InputError, Problem
from finetui_core.files import private_folder, write_atomically
from finetui_core.recipe.defaults import default_epochs, total_steps
from finetui_core.recipe.edit import set_value, unset
from finetui_core.recipe.load import recipe_json
from finetui_core.recipe.options import Recipe
from finetui_core.recipe.paths import FILE_OPTIONS, MODEL_NAME
from finetui_core.runs.ownership import require_safe_folder
from finetui_core.runs.paths import RunPaths, run_ids, slug
from finetui_core.runs.reader import RunView

SHARES = (0.10, 0.25, 0.50, 1.0)
FEWEST_ROWS, FEWEST_VAL = 40, 2
EVALUATIONS = 10
"""In each run: the lowest of them is the loss that counts."""
TAG = "value:"


@dataclass(frozen=True, slots=True)
class ValueRun:
    """A run to be made: its share of the training rows, what it is called, and how the recipe is changed for it."""

    share: float
    rows: int
    seed: int
    name: str
    overrides: tuple[str, ...]
    train_file: Path


@dataclass(frozen=True, slots=True)
class ValuePlan:
    """All runs, the smallest first, in `folder`, which also holds their rows; `passes` over all rows each makes."""

    folder: Path
    rows: int
    val_rows: int
    steps: int
    passes: float
    runs: tuple[ValueRun, ...]
    sets: Sets
    val: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """A finished run: its lowest validation loss, and whether that was the last one that it measured."""

    id: str
    loss: float
    at_end: bool


def plan_value(recipe: Recipe, name: str, root: Path, *, steps: int | None, seeds: int) -> ValuePlan:
    """What is to be run. The folder is named after the recipe, its rows and the steps, so that a change of any of
    them begins anew. Raises InputError where there are too few rows."""
    sets = read_sets(recipe.data, recipe.train.seed)
    rows, val = len(sets.train.rows), _drawn(sets.val.rows, recipe.eval.max_rows, recipe.train.seed)
    problems = []
    if rows < FEWEST_ROWS:
        what = f"{rows} training rows are too few to take a tenth of: {FEWEST_ROWS} are the least"
        problems.append(
            Problem(what, recipe.data.train, "Collect more first: so few nearly always want company.")
        )
    if len(val) < FEWEST_VAL:
        hint = f"ftui data split {recipe.data.train} --val-fraction 0.1 -o train.jsonl val.jsonl"
        problems.append(Problem("there are no validation rows to measure on", recipe.data.train, hint))
    if problems:
        raise InputError(problems)
    batch = (
        recipe.train.per_device_train_batch_size
        * recipe.train.gradient_accumulation_steps
        * recipe.launch.world_size
    )
    epochs = recipe.train.num_train_epochs or default_epochs(rows)
    steps = steps or total_steps(rows, batch, epochs, recipe.train.max_steps)
    folder = root / ".value" / f"{slug(name)}-{_fingerprint(recipe, sets, steps)}"
    runs = [
        _run(folder, recipe, share, rows, recipe.train.seed + number, steps)
        for share in SHARES
        for number in range(seeds)
    ]
    return ValuePlan(folder, rows, len(val), steps, steps * batch / rows, tuple(runs), sets, val)


def _run(folder: Path, recipe: Recipe, share: float, rows: int, seed: int, steps: int) -> ValueRun:
    count = max(1, round(share * rows))
    file = folder / f"rows-{count}-seed-{seed}.jsonl"
    settings = {
        "data.train": _quoted(file),
        "data.val": _quoted(folder / "val.jsonl"),
        "data.format": '"auto"',
        "train.max_steps": steps,
        "train.seed": seed,
        "eval.steps": max(1, steps // EVALUATIONS),
        "eval.max_rows": 0,
        "eval.samples": 0,
        "eval.early_stopping_patience": 0,
        "save.steps": steps,
        "save.total_limit": 1,
        "save.keep_best": "false",
    }
    overrides = tuple(f"{option}={value}" for option, value in settings.items())
    return ValueRun(share, count, seed, f"{share:.0%} of the rows, seed {seed}", overrides, file)


def _quoted(path: Path) -> str:
    return msgspec.json.encode(str(path)).decode()


def _fingerprint(recipe: Recipe, sets: Sets, steps: int) -> str:
    facts = (
        recipe_json(recipe),
        sets.loaded.sha256,
        sets.separate.sha256 if sets.separate else None,
        steps,
    )
    return blake2b(msgspec.json.encode(facts, order="sorted"), digest_size=4).hexdigest()


def _drawn(rows: Sequence[Row], most: int, seed: int) -> tuple[Row, ...]:
    if most == 0 or len(rows) <= most:
        return tuple(rows)
    places = np.random.default_rng([seed, len(rows)]).permutation(len(rows))[:most]
    return tuple(rows[at] for at in sorted(places))


def write_recipe(plan: ValuePlan, text: str, recipe: Recipe) -> Path:
    """The recipe of all runs, in their folder: the user's text with whole paths, and no share kept for validation."""
    require_safe_folder(plan.folder)
    private_folder(plan.folder)
    for table, key in (MODEL_NAME, *FILE_OPTIONS):
        path = getattr(getattr(recipe, table), key)
        if path is not None:
            text = set_value(text, table, key, path)
    text = unset(text, "data", "val_fraction")
    file = plan.folder / "recipe.toml"
    write_atomically(file, text.encode())
    return file


def write_rows(plan: ValuePlan, run: ValueRun) -> None:
    """The files that a run reads. Rows with the same question stay together; a larger part holds the smaller ones."""
    key = str(run.seed).encode()
    rows = plan.sets.train.rows
    digests = [blake2b(prompt_digest(row), key=key).digest() for row in rows]
    chosen = sorted(sorted(range(len(rows)), key=lambda at: (digests[at], at))[: run.rows])
    write_atomically(run.train_file, b"".join(_lines(rows[at] for at in chosen)))
    write_atomically(plan.folder / "val.jsonl", b"".join(_lines(plan.val)))


def _lines(rows: "Iterator[Row] | Sequence[Row]") -> Iterator[bytes]:
    export = exporter("messages")
    for row in rows:
        value = {"text": row.text} if isinstance(row, TextDocument) else export(row).value
        yield msgspec.json.encode(value, enc_hook=str) + b"\n"


def finished_runs(plan: ValuePlan) -> Mapping[str, Measured]:
    """The runs of the plan that are done, by name."""
    found: dict[str, Measured] = {}
    for run_id in run_ids(plan.folder):
        view = RunView(RunPaths(plan.folder / run_id))
        view.refresh()
        facts = view.summary()
        if facts["state"] == "finished" and facts["best_eval_loss"]:
            last = max(one["step"] for one in view.evaluations)
            found[facts["name"]] = Measured(run_id, facts["best_eval_loss"], facts["best_step"] == last)
    return found


def discard_unfinished(plan: ValuePlan, done: Mapping[str, Measured]) -> None:
    """Remove what runs that did not come to their end left behind. Raises InputError while one is still under way."""
    kept = {one.id for one in done.values()}
    for run_id in run_ids(plan.folder):
        if run_id in kept:
            continue
        view = RunView(RunPaths(plan.folder / run_id))
        view.refresh()
        if view.state.live:
            hint = f"Wait for it, or end it: ftui ctl {plan.folder / run_id} stop"
            raise InputError(Problem("a run of this curve is still under way", run_id, hint))
        shutil.rmtree(plan.folder / run_id, ignore_errors=True)
