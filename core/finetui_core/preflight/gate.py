"""What a run does with preflight: it says the verdict, and does not begin where it cannot fit."""

import time
from collections.abc import Callable
from pathlib import Path

from finetui_core.errors import InputError, Problem
from finetui_core.preflight.devices import this_machine
from finetui_core.preflight.figures import Device, Report
from finetui_core.preflight.history import Prediction
from finetui_core.preflight.report import Found, quick, traced
from finetui_core.preflight.settings import settings
from finetui_core.recipe.facts import Facts, look
from finetui_core.recipe.options import Recipe
from finetui_core.wording import duration

IGNORE = "--ignore-preflight"


def before_run(
    recipe: Recipe,
    root: Path,
    *,
    ignore: bool = False,
    device: Device | None = None,
    trace: Callable[[Recipe, Facts, Device], Found | str] = traced,
) -> Prediction:
    """What is predicted of a run that is about to begin on this machine, in milliseconds.

    Raises InputError where the disk has no room, or where the closed formula and then a trace too say that the
    memory cannot hold it; with `ignore` it goes on, and the prediction says so. On a processor only what is more
    than all of the machine's memory is refused, for some of what is in use can be let go.
    """
    device = device or this_machine()
    facts = look(recipe)
    report = quick(recipe, facts, device, root=root)
    problems = _disk_problems(report, root)
    if _cannot_fit(report):
        found = trace(recipe, facts, device)
        if isinstance(found, Found):
            report = quick(recipe, facts, device, found=found, root=root)
            problems += _memory_problems(report)
    if problems and not ignore:
        raise InputError(problems)
    return Prediction(time.time(), report, ignored=bool(problems))


def in_a_line(prediction: Prediction) -> str:
    """The verdict and the range of time, for stderr."""
    report = prediction.report
    parts = [report.verdict.says.rstrip(".") if report.verdict is not None else "; ".join(report.notes[:1])]
    if report.duration is not None:
        seconds = report.duration.seconds
        parts.append(f"it takes {duration(seconds.low)} to {duration(seconds.high)}")
    said = "; ".join(part for part in parts if part)
    return f"preflight: {said}{f'; {IGNORE} goes on all the same' if prediction.ignored else ''}."


def _cannot_fit(report: Report) -> bool:
    verdict, device = report.verdict, report.device
    if verdict is None or verdict.fit != "does_not_fit":
        return False
    return device.kind == "cuda" or verdict.low > device.memory


def _memory_problems(report: Report) -> list[Problem]:
    if not _cannot_fit(report) or report.verdict is None:
        return []
    first = report.knobs[0] if report.knobs else None
    way = f"{first.name} ({settings(first.changes)})" if first else "a larger GPU"
    return [
        Problem(
            report.verdict.says[:1].lower() + report.verdict.says[1:].rstrip("."),
            report.recipe,
            f"The first way out: {way}. `ftui preflight` lists the others, and {IGNORE} trains all the same.",
        )
    ]


def _disk_problems(report: Report, root: Path) -> list[Problem]:
    if report.disk is None or report.disk.enough:
        return []
    hint = (
        "Free some space, keep fewer checkpoints (save.total_limit), or put the runs on another disk with --runs; "
        f"{IGNORE} trains all the same."
    )
    return [Problem(report.disk.says[:1].lower() + report.disk.says[1:].rstrip("."), str(root), hint)]
