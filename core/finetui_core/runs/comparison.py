"""Runs beside each other: in which options they differ, what came of each, and which one is best."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median, variance
from typing import Any

import msgspec

from finetui_core.errors import InputError, Problem
from finetui_core.recipe.load import check_recipe
from finetui_core.recipe.options import Recipe
from finetui_core.recipe.table import option_table
from finetui_core.runs.liveness import LIVE
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import content_of

SEED = "train.seed"
_OTHER_ROWS = frozenset(
    {
        *(
            "data.val",
            "data.val_fraction",
            "data.format",
            "data.train_on",
            "data.max_length",
            "data.overlength",
        ),
        *("eval.max_rows", "model.name", "model.revision", "model.chat_template"),
    }
)
"""Options of which the validation loss itself is another quantity, or is of other rows."""
_SPLIT_BY = frozenset({SEED, "data.train"})
"""Options that choose the validation rows where data.val is not given."""
_STUDENT = (
    12.71,
    4.30,
    3.18,
    2.78,
    2.57,
    2.45,
    2.36,
    2.31,
    2.26,
    2.23,
)  # two-sided 95 %, 1 to 10 degrees of freedom


class Compared(msgspec.Struct, frozen=True):
    """One run. `seconds` it took over all attempts so far; `tokens_per_second` is the median of its steps, and
    `inexact_from` the step from which on it is not what it would have been undisturbed."""

    id: str
    name: str
    path: str
    options: Mapping[str, Any]
    state: str
    reason: str
    step: int
    total_steps: int | None
    best_eval_loss: float | None
    best_step: int | None
    perplexity: float | None
    seconds: float | None
    tokens_per_second: float | None
    inexact_from: int | None = None


class Comparison(msgspec.Struct, frozen=True):
    """Runs in the order of their making. `best` is the id of the one with the lowest validation loss, among those
    that came to their end; `notes` say how far that can be trusted and what to do next."""

    options: tuple[str, ...]
    runs: tuple[Compared, ...]
    best: str | None
    notes: tuple[str, ...]


def compare_runs(runs: Sequence[RunPaths]) -> Comparison:
    """Compare runs of ours. Raises InputError where one has no readable recipe or run.json."""
    views = [RunView(paths) for paths in runs]
    views.sort(key=lambda view: view.identity.created)
    recipes = [_recipe(view.paths) for view in views]
    options = tuple(
        option.dotted
        for option in option_table()
        if any(_value(recipe, option.dotted) != _value(recipes[0], option.dotted) for recipe in recipes)
    )
    compared = tuple(_compared(view, recipe, options) for view, recipe in zip(views, recipes, strict=True))
    best = _best(compared)
    val_given = all(recipe.data.val is not None for recipe in recipes)
    return Comparison(
        options, compared, best.id if best else None, tuple(_notes(compared, best, options, val_given))
    )


def _recipe(paths: RunPaths) -> Recipe:
    """As it was given, so that what a run decides by itself does not count as a difference."""
    try:
        text = content_of(paths.recipe).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Problem("this run has no recipe that can be read", str(paths.root))) from error
    return check_recipe(text, str(paths.recipe), Path("/")).recipe


def _value(recipe: Recipe, dotted: str) -> Any:
    table, _, name = dotted.partition(".")
    return getattr(getattr(recipe, table), name)


def _compared(view: RunView, recipe: Recipe, options: Sequence[str]) -> Compared:
    view.refresh()
    facts = view.summary()
    speeds = [speed for speed in view.columns.column("tokens_per_second") if not math.isnan(speed)]
    ends = [attempt.end.at - attempt.started_at for attempt in view.attempts if attempt.end]
    loss = facts["best_eval_loss"]
    return Compared(
        id=facts["id"],
        name=facts["name"],
        path=facts["path"],
        options={dotted: _value(recipe, dotted) for dotted in options},
        state=facts["state"],
        reason=facts["reason"],
        step=facts["step"],
        total_steps=facts["total_steps"],
        best_eval_loss=loss,
        best_step=facts["best_step"],
        perplexity=math.exp(loss) if loss is not None and loss <= 20 else None,
        seconds=sum(ends) if ends else None,
        tokens_per_second=median(speeds) if speeds else None,
        inexact_from=facts["inexact_from"],
    )


def _best(runs: Sequence[Compared]) -> Compared | None:
    """A run that failed may have a good evaluation behind it, but its setting is not one to choose."""
    sound = [run for run in runs if run.best_eval_loss is not None and run.state in ("finished", "stopped")]
    return min(sound, key=lambda run: run.best_eval_loss or 0.0) if sound else None


def _notes(
    runs: Sequence[Compared], best: Compared | None, options: Sequence[str], val_given: bool
) -> list[str]:
    notes = []
    if best is not None:
        notes += _on_chance(runs, best, options)
        changed = [o for o in options if o in _OTHER_ROWS or (o in _SPLIT_BY and not val_given)]
        if changed:
            notes.append(
                f"The runs differ in {', '.join(changed)}: their validation losses are not of the same rows or "
                "tokens, so compare them with care."
            )
        notes += _on_the_edge(runs, best, options)
        settings = " ".join(f"{o}={written(best.options[o])}" for o in options if o != SEED)
        if settings:
            notes.append(f"Keep the best values with: ftui recipe set RECIPE {settings}")
    notes += [
        f"{run.id} is {run.state.replace('_', ' ')}: {run.reason}. Continue it with: ftui queue add {run.id}"
        for run in runs
        if run.state not in ("finished", "queued") and run.state not in LIVE
    ]
    notes += [
        f"{run.id} is inexact from step {run.inexact_from}: it went on in other circumstances there."
        for run in runs
        if run.inexact_from is not None
    ]
    going = sum(run.state == "queued" or run.state in LIVE for run in runs)
    if going:
        notes.insert(0, f"{going} of {len(runs)} {'has' if going == 1 else 'have'} not ended yet: ftui queue")
    return notes


def _on_chance(runs: Sequence[Compared], best: Compared, options: Sequence[str]) -> list[str]:
    """Whether the best setting can be told from the others, as far as repeats with other seeds can tell."""
    settings: dict[str, list[float]] = {}
    for run in runs:
        if run.best_eval_loss is not None and run.state in ("finished", "stopped"):
            settings.setdefault(_setting(run, options), []).append(run.best_eval_loss)
    if len(settings) < 2:
        return []
    degrees = sum(len(losses) - 1 for losses in settings.values())
    if not degrees:
        return [
            "Each setting was run once, and one run cannot tell a small difference from chance: repeat the best "
            f"ones with --set {SEED}=1,2,3 before you rely on one."
        ]
    spread = math.sqrt(
        sum(variance(losses) * (len(losses) - 1) for losses in settings.values() if len(losses) > 1) / degrees
    )
    ordered = sorted(settings.items(), key=lambda pair: fmean(pair[1]))
    (name, lowest), others = ordered[0], ordered[1:]
    alike = [
        other
        for other, losses in others
        if fmean(losses) - fmean(lowest)
        < _student(degrees) * spread * math.sqrt(1 / len(lowest) + 1 / len(losses))
    ]
    known = f"Runs of one setting with other seeds differ by {spread:.4f} (standard deviation)."
    if alike:
        return [f"{known} That is too much to tell {name} from {'; '.join(alike)} (95 %, two-sided t-test)."]
    return [f"{known} {name} has the lowest mean, by more than chance explains (95 %, two-sided t-test)."]


def _student(degrees: int) -> float:
    """Student's t, 97.5 %: tabled up to 10 degrees of freedom, from there within 0.02."""
    return _STUDENT[degrees - 1] if degrees <= len(_STUDENT) else 1.96 + 2.5 / degrees


def _setting(run: Compared, options: Sequence[str]) -> str:
    return ", ".join(f"{option}={written(run.options[option])}" for option in options if option != SEED)


def _on_the_edge(runs: Sequence[Compared], best: Compared, options: Sequence[str]) -> list[str]:
    """Numbers of which the lowest or the highest value tried was the best."""
    notes = []
    for option in options:
        values = sorted({run.options[option] for run in runs if _is_number(run.options[option])})
        if option == SEED or len(values) < 2 or best.options[option] not in (values[0], values[-1]):
            continue
        end, way = ("lowest", "lower") if best.options[option] == values[0] else ("highest", "higher")
        notes.append(f"The best {option} is the {end} that was tried: the best one may be {way} still.")
    return notes


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def written(value: Any) -> str:
    """A value as --set takes it."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
