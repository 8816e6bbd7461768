"""What a sweep would run: a line for each run with what preflight predicts of it, and all of them together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from finetui_core.cli.say import data, table
from finetui_core.preflight.cost import money
from finetui_core.preflight.devices import this_machine
from finetui_core.preflight.figures import Report, Span
from finetui_core.preflight.report import past_runs, quick
from finetui_core.recipe.combinations import Combination
from finetui_core.recipe.facts import look
from finetui_core.runs.devices import devices
from finetui_core.wording import NOTHING, duration, size

_FITS = {"fits": "fits", "tight": "tight", "does_not_fit": "does not fit"}


class Total(msgspec.Struct, frozen=True):
    """All runs together: the highest memory of one, the time of all spread over `devices`, what they write.

    None where it is not known of every run.
    """

    devices: int
    memory: tuple[int, int] | None
    seconds: Span | None
    price: Span | None
    currency: str
    disk: int | None
    disk_free: int | None


def predict(combinations: Sequence[Combination], root: Path) -> list[Report]:
    """Preflight's quick report of each run on this machine."""
    device, past = this_machine(), past_runs(root)
    return [quick(one.recipe, look(one.recipe), device, root=root, past=past) for one in combinations]


def total(reports: Sequence[Report]) -> Total:
    count = len(devices())
    verdicts = [report.verdict for report in reports]
    times = [report.duration.seconds if report.duration else None for report in reports]
    costs = [report.cost for report in reports]
    disks = [report.disk for report in reports]
    known = [verdict for verdict in verdicts if verdict is not None]
    known_disks = [disk for disk in disks if disk is not None]
    return Total(
        devices=count,
        memory=(max(one.low for one in known), max(one.high for one in known)) if known == verdicts else None,
        seconds=_sum(times, 1 / min(count, len(reports))),
        price=_sum([cost.price if cost else None for cost in costs]),
        currency=next((cost.currency for cost in costs if cost), ""),
        disk=sum(disk.needed for disk in known_disks) if known_disks == disks else None,
        disk_free=known_disks[0].free if known_disks else None,
    )


def _sum(spans: Sequence[Span | None], share: float = 1.0) -> Span | None:
    """The ends are added as if all runs were slow, or quick, together: what slows one mostly slows all."""
    known = [span for span in spans if span is not None]
    if len(known) < len(spans):
        return None
    return Span(*(share * sum(getattr(span, name) for span in known) for name in ("low", "middle", "high")))


def plan_json(name: str, combinations: Sequence[Combination], reports: Sequence[Report]) -> dict[str, Any]:
    runs = [
        {"set": list(one.overrides), "label": one.label, "preflight": msgspec.to_builtins(report)}
        for one, report in zip(combinations, reports, strict=True)
    ]
    return {"name": name, "runs": runs, "total": msgspec.to_builtins(total(reports))}


def show_plan(name: str, combinations: Sequence[Combination], reports: Sequence[Report]) -> None:
    data(f"{name}: {len(combinations)} {'run' if len(combinations) == 1 else 'runs'} on {_where(reports)}")
    rows = [
        [str(number), one.label, *_cells(report)]
        for number, (one, report) in enumerate(zip(combinations, reports, strict=True), 1)
    ]
    for line in table(["run", "options", "memory", "", "time", "cost"], rows):
        data(line)
    for line in _in_all(total(reports), reports):
        data(line)


def _where(reports: Sequence[Report]) -> str:
    count = len(devices())
    return f"{count} devices, each like {reports[0].device.name}" if count > 1 else reports[0].device.name


def _cells(report: Report) -> list[str]:
    verdict, cost = report.verdict, report.cost
    return [
        f"{size(verdict.low)}–{size(verdict.high)}" if verdict else NOTHING,
        _FITS[verdict.fit] if verdict else "",
        _range(report.duration.seconds) if report.duration else NOTHING,
        f"{money(cost.price.middle)} {cost.currency}" if cost and cost.price else NOTHING,
    ]


def _range(span: Span) -> str:
    return f"{duration(span.middle)} ({duration(span.low)} to {duration(span.high)})"


def _in_all(found: Total, reports: Sequence[Report]) -> list[str]:
    parts = []
    if found.seconds is not None:
        parts.append(f"time {_range(found.seconds)}")
    if found.memory is not None:
        parts.append(f"memory of one up to {size(found.memory[1])}")
    if found.price is not None:
        parts.append(f"cost {money(found.price.middle)} {found.currency}")
    if found.disk is not None:
        parts.append(f"disk {size(found.disk)} of {size(found.disk_free)} free")
    lines = [f"in all: {', '.join(parts)}"] if parts else []
    if found.disk is not None and found.disk > (found.disk_free or 0):
        lines.append(
            "The disk has no room for all of them: lower save.total_limit, or name another folder by --runs."
        )
    return lines + list(dict.fromkeys(note for report in reports for note in report.notes))
