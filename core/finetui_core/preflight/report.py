"""All that preflight says of a recipe on a device, in milliseconds, without a training library."""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from finetui_core.errors import InputError
from finetui_core.preflight import verdict as verdicts
from finetui_core.preflight.cost import estimate_cost, read_prices
from finetui_core.preflight.disk import host_memory, plan_disk
from finetui_core.preflight.duration import estimate_duration
from finetui_core.preflight.figures import (
    Cost,
    Device,
    Duration,
    Knob,
    Memory,
    Report,
    RowLengths,
    Shape,
    Workload,
)
from finetui_core.preflight.formula import estimate
from finetui_core.preflight.history import Calibration, Compared, calibration, compared
from finetui_core.preflight.knobs import knobs
from finetui_core.preflight.sampled_rows import sample_lengths
from finetui_core.preflight.shape import model_shape, parameters
from finetui_core.preflight.work import work_of_token
from finetui_core.preflight.workload import workload
from finetui_core.recipe.facts import Facts
from finetui_core.recipe.options import Recipe
from finetui_core.runs.paths import runs_root


@dataclass(frozen=True, slots=True)
class Found:
    """What a slower stage found; None where it was not asked.

    `memory` takes the place of the formula's, `lengths` that of guessed ones, and `tokens_per_second` that of a
    tabled speed.
    """

    memory: Memory | None = None
    lengths: RowLengths | None = None
    tokens_per_second: float | None = None


NOTHING = Found()


def quick(
    recipe: Recipe,
    facts: Facts,
    device: Device,
    *,
    found: Found = NOTHING,
    root: Path | None = None,
    past: Sequence[Compared] | None = None,
    today: datetime.date | None = None,
) -> Report:
    """The report by the closed formula, or by what a slower stage has `found`.

    `root` is the folder of runs, whose disk is looked at; `past` its finished runs, which are read where it is not
    given. Never raises for what is not known: the report's notes say it.
    """
    root = root or runs_root()
    shape = model_shape(recipe.model.name, recipe.model.revision)
    notes: list[str] = []
    if shape is None:
        notes.append(_unknown_model(recipe))
        return Report(recipe.model.name, device, None, None, (), None, None, None, None, tuple(notes))
    runs = past_runs(root) if past is None else past
    work = workload(recipe, facts, shape, device.kind, found.lengths)
    known = calibration(runs, device.name, work_of_token(work))
    memory = found.memory or estimate(work)
    lengths = found.lengths or sample_lengths(work.recipe, facts, shape.vocabulary)
    duration = _duration(work, lengths, device, memory, known, found, notes)
    disk = plan_disk(
        work.recipe,
        memory,
        root,
        checkpoints=duration.checkpoints if duration else work.recipe.save.total_limit + 1,
        total_steps=duration.total_steps if duration else None,
        parameters=parameters(shape),
    )
    verdict = verdicts.judge(memory, device, known)
    lower: tuple[Knob, ...] = ()
    if verdict.fit != "fits":
        peak_of = _peak_of(work, facts, shape, device, found)
        lower = knobs(work.recipe, device, peak_of, shape=shape, lengths=found.lengths, calibration=known)
    if known.memory is not None:
        notes.append(f"memory calibrated by {_runs(known.runs)} on this device")
    return Report(
        recipe=recipe.model.name,
        device=device,
        memory=memory,
        verdict=verdict,
        knobs=lower,
        host_memory=host_memory(work.recipe, memory, device.kind, verdicts.PROCESS),
        disk=disk,
        duration=duration,
        cost=_cost(recipe, device, duration, today or datetime.date.today(), notes),
        notes=tuple(notes),
    )


def work_of(recipe: Recipe, facts: Facts, device: Device, lengths: RowLengths | None = None) -> float | None:
    """Operations for one token of a run, or None where the model is not known."""
    shape = model_shape(recipe.model.name, recipe.model.revision)
    return None if shape is None else work_of_token(workload(recipe, facts, shape, device.kind, lengths))


def past_runs(root: Path) -> list[Compared]:
    """The runs that calibrate; none where the folder cannot be read."""
    try:
        return compared(root, most=60)
    except InputError:
        return []


def _peak_of(
    work: Workload, facts: Facts, shape: Shape, device: Device, found: Found
) -> Callable[[Recipe], Memory]:
    """The formula, scaled so that it gives for the recipe itself what the slower stage found."""
    factor = 1.0
    if found.memory is not None:
        plain = verdicts.highest_in_run(estimate(work))[1]
        factor = verdicts.highest_in_run(found.memory)[1] / plain if plain else 1.0
    stage = found.memory.stage if found.memory is not None else "formula"

    def peak_of(recipe: Recipe) -> Memory:
        memory = estimate(workload(recipe, facts, shape, device.kind, found.lengths))
        if factor == 1.0:
            return memory
        peaks = {
            phase: {kind: round(taken * factor) for kind, taken in kinds.items()}
            for phase, kinds in memory.peaks.items()
        }
        return Memory(stage, peaks, memory.seconds)

    return peak_of


def _duration(
    work: Workload,
    lengths: RowLengths | None,
    device: Device,
    memory: Memory,
    known: Calibration,
    found: Found,
    notes: list[str],
) -> Duration | None:
    if lengths is None or not lengths.rows:
        notes.append("no time: the training rows are not counted; a full preflight reads them")
        return None
    answer = estimate_duration(work, lengths, device, memory, known, found.tokens_per_second)
    if isinstance(answer, str):
        notes.append(answer)
        return None
    return answer


def _cost(
    recipe: Recipe, device: Device, duration: Duration | None, today: datetime.date, notes: list[str]
) -> Cost | None:
    if duration is None:
        return None
    try:
        cost, warnings = estimate_cost(recipe.cost, device, duration, read_prices(), today)
    except InputError as error:
        notes.append(f"no cost: {error.problems[0].where}: {error.problems[0].what}")
        return None
    notes += warnings
    return cost


def _unknown_model(recipe: Recipe) -> str:
    return (
        f"the model {recipe.model.name} is neither on this disk nor in the table of shapes, so that its memory "
        "and its speed are not known; download it, or name its folder"
    )


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"
