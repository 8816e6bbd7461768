"""All that preflight says of a recipe on a device, in milliseconds, without a training library."""

import datetime
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from finetui_core.errors import InputError, RunFailed, first_line
from finetui_core.preflight import verdict as verdicts
from finetui_core.preflight.config_files import is_on_disk
from finetui_core.preflight.cost import estimate_cost, read_prices
from finetui_core.preflight.disk import existing, file_system, host_memory, plan_disk
from finetui_core.preflight.duration import estimate_duration, steps_of
from finetui_core.preflight.figures import (
    Cost,
    Device,
    Disk,
    Duration,
    Knob,
    Memory,
    OutOfMemory,
    Report,
    RowLengths,
    Verdict,
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
from finetui_core.wording import size


@dataclass(frozen=True, slots=True)
class Found:
    """What a slower stage found; None where it was not asked.

    `memory` takes the place of the formula's, `lengths` that of guessed ones, and `tokens_per_second` that of a
    tabled speed. `out_of_memory` is a probe's proof that it does not fit.
    """

    memory: Memory | None = None
    lengths: RowLengths | None = None
    tokens_per_second: float | None = None
    out_of_memory: OutOfMemory | None = None


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
    given. Never raises for what is not known: the report's notes say it. Of a model that is not on this disk nothing
    tokenizes the rows, and its passes are the longest that the recipe allows.
    """
    root = root or runs_root()
    shape = model_shape(recipe.model.name, recipe.model.revision)
    if shape is None:
        notes = (_unknown_model(recipe), *_without_model(recipe, facts, root))
        return Report(recipe.model.name, device, None, None, (), None, None, None, None, notes)
    runs = past_runs(root) if past is None else past
    filled = workload(recipe, facts, shape, device.kind).recipe
    lengths = found.lengths or sample_lengths(filled, facts, shape.vocabulary)
    in_passes = found.lengths or (lengths if is_on_disk(recipe.model.name, recipe.model.revision) else None)
    work = workload(recipe, facts, shape, device.kind, in_passes)
    known = calibration(runs, device.name, work_of_token(work))
    memory = found.memory or estimate(work)
    said = [note for note in (memory.note, _calibrated(known, device)) if note]
    duration = _duration(work, lengths, device, memory, known, found, said)
    verdict = _verdict(memory, device, known, found)
    lower: tuple[Knob, ...] = ()
    if verdict.fit != "fits":

        def formula_of(changed: Recipe) -> Memory:
            return estimate(workload(changed, facts, shape, device.kind, in_passes))

        lower = knobs(
            work.recipe,
            device,
            formula_of,
            found=found.memory,
            shape=shape,
            lengths=in_passes,
            calibration=known,
        )
    return Report(
        recipe=recipe.model.name,
        device=device,
        memory=memory,
        verdict=verdict,
        knobs=lower,
        host_memory=host_memory(work.recipe, memory, device.kind, verdicts.PROCESS),
        disk=_disk(work, memory, root, duration, said),
        duration=duration,
        cost=_cost(recipe, device, duration, today or datetime.date.today(), said),
        notes=tuple(said),
        lengths=found.lengths,
    )


def full(
    recipe: Recipe,
    facts: Facts,
    device: Device,
    *,
    root: Path | None = None,
    today: datetime.date | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Report:
    """As `quick`, by a trace of the real model over the real rows, which takes seconds in a process of its own.

    Where it cannot be traced, the formula's report says why.
    """
    found = traced(recipe, facts, device, cancelled)
    report = quick(
        recipe, facts, device, found=found if isinstance(found, Found) else NOTHING, root=root, today=today
    )
    if isinstance(found, Found):
        return report
    return msgspec.structs.replace(report, notes=(*((found,) if found else ()), *report.notes))


def traced(
    recipe: Recipe, facts: Facts, device: Device, cancelled: Callable[[], bool] = lambda: False
) -> Found | str:
    """What a trace found, or why there is none; "" where the model is not known."""
    from finetui_core.preflight.trace import trace_recipe

    shape = model_shape(recipe.model.name, recipe.model.revision)
    if shape is None:
        return ""
    try:
        memory, lengths = trace_recipe(recipe, facts, shape, device.kind, cancelled=cancelled)
    except (InputError, RunFailed) as error:
        return f"no trace, the closed formula's figures are shown: {first_line(error)}"
    return Found(memory, lengths)


def past_runs(root: Path) -> list[Compared]:
    """The runs that calibrate; none where the folder cannot be read."""
    try:
        return compared(root, most=60)
    except InputError:
        return []


def _verdict(memory: Memory, device: Device, known: Calibration, found: Found) -> Verdict:
    verdict = verdicts.judge(memory, device, known)
    if found.out_of_memory is None:
        return verdict
    says = f"Does not fit: {found.out_of_memory.says}"
    return msgspec.structs.replace(verdict, fit="does_not_fit", phase=found.out_of_memory.phase, says=says)


def _disk(
    work: Workload, memory: Memory, root: Path, duration: Duration | None, notes: list[str]
) -> Disk | None:
    try:
        return plan_disk(
            work.recipe,
            memory,
            root,
            checkpoints=duration.checkpoints if duration else work.recipe.save.total_limit + 1,
            total_steps=duration.total_steps if duration else None,
            parameters=parameters(work.shape),
        )
    except OSError as error:
        notes.append(f"no disk: {root} cannot be looked at: {error.strerror}")
        return None


def _calibrated(known: Calibration, device: Device) -> str:
    if known.memory is None:
        return ""
    runs = "1 run" if known.runs == 1 else f"{known.runs} runs"
    return f"memory calibrated by {runs} on {device.name}"


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
        "and its speed are not known: download it, or name its folder"
    )


def _without_model(recipe: Recipe, facts: Facts, root: Path) -> list[str]:
    """What can be said all the same: the steps, and the room on the disk."""
    notes = []
    if facts.rows:
        per_epoch, steps = steps_of(recipe, facts.rows)
        notes.append(f"{facts.rows:,} rows make {per_epoch:,} steps an epoch and {steps:,} in all")
    try:
        place = existing(root)
        kind = file_system(place)
        notes.append(f"{size(shutil.disk_usage(place).free)} free for runs{f' on {kind}' if kind else ''}")
    except OSError as error:
        notes.append(f"no disk: {root} cannot be looked at: {error.strerror}")
    return notes
