"""The machine of a run in words: one line above the charts, and a panel."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from finetui.machine import NO_GPU
from finetui.widgets.plot import Row, Span
from finetui_core import wording

BAR_CELLS = 20
MOST_GPUS = 64
"""GPUs that are shown of one machine."""

Record = Mapping[str, Any]


def machine_line(samples: Sequence[Record]) -> list[Span]:
    """The newest sample in short: each GPU, or the processor where there is none."""
    if not samples:
        return [("not measured yet", "muted")]
    sample = samples[-1]
    gpus = gpus_of(sample)
    if not gpus:
        cpu, memory = wording.percent(sample.get("cpu")), _of(sample, "memory_used", "memory_total")
        return [(f"no GPU: CPU {cpu}, memory {memory}", "")]
    return [(_gpu_in_short(gpu, place), "") for place, gpu in enumerate(gpus)]


def machine_rows(samples: Sequence[Record]) -> tuple[Row, ...]:
    """Everything that the newest sample says."""
    if not samples:
        return (((" not measured yet: the samples come with the first attempt", "muted"),),)
    sample = samples[-1]
    rows: list[Row] = [
        ((f" sampled at {_time(sample.get('t'))}, every two seconds while it runs", "muted"),),
        (),
    ]
    if sample.get("gpu_note"):
        note = str(sample["gpu_note"])
        rows += [((" ", ""), (note, "muted" if note == NO_GPU else "warning")), ()]
    for place, gpu in enumerate(gpus_of(sample)):
        rows += [*_gpu_rows(gpu, place), ()]
    rows.append(_bar_row("CPU", wording.number(sample.get("cpu")), ""))
    rows.append(_memory_row("memory", sample, ""))
    trainer = sample.get("trainer_rss")
    rows.append(_row("trainer", f"{wording.size(trainer)} of memory, with its children"))
    rows.append(_row("disk", f"{wording.size(sample.get('disk_free'))} free where the run lies"))
    return tuple(rows)


def gpus_of(sample: Record) -> list[Record]:
    gpus = sample.get("gpus")
    return [gpu for gpu in gpus[:MOST_GPUS] if isinstance(gpu, dict)] if isinstance(gpus, list) else []


def _gpu_in_short(gpu: Record, place: int) -> str:
    said = [f"GPU {gpu.get('index', place)} {_name(gpu)}: {wording.percent(gpu.get('utilization'))}"]
    said.append(f"memory {_of(gpu, 'memory_used', 'memory_total')}")
    if (degrees := wording.number(gpu.get("temperature"))) is not None:
        said.append(f"{degrees:.0f} °C")
    if gpu.get("throttling"):
        said.append("throttled")
    return ", ".join(said)


def _gpu_rows(gpu: Record, place: int) -> list[Row]:
    rows: list[Row] = [((f" GPU {gpu.get('index', place)}  ", "strong"), (_name(gpu), ""))]
    rows.append(_bar_row("use", wording.number(gpu.get("utilization")), ""))
    reserved = wording.number(gpu.get("memory_reserved"))
    others = wording.number(gpu.get("memory_others"))
    notes = f", {wording.size(reserved)} reserved by the driver" if reserved else ""
    notes += f", {wording.size(others)} by other processes" if others else ""
    notes += ", shared with the processor" if gpu.get("unified") else ""
    rows.append(_memory_row("memory", gpu, notes))
    power, limit = wording.number(gpu.get("power")), wording.number(gpu.get("power_limit"))
    if power is not None:
        rows.append(_row("power", f"{power:.0f} W" + (f" of {limit:.0f} W" if limit else "")))
    degrees = wording.number(gpu.get("temperature"))
    if degrees is not None:
        rows.append(_row("temperature", f"{degrees:.0f} °C"))
    throttling = gpu.get("throttling")
    if isinstance(throttling, list):
        words = ", ".join(str(cause) for cause in throttling)
        clock = wording.number(gpu.get("clock"))
        at = "" if clock is None else f"{clock:.0f} MHz, "
        rows.append(
            _row("clocks", f"{at}held down by: {words}", "warning")
            if words
            else _row("clocks", f"{at}not held down")
        )
    instances = gpu.get("instances")
    for instance in instances if isinstance(instances, list) else ():
        if isinstance(instance, dict):
            name = f"part {instance.get('index')} {instance.get('name') or ''}".strip()
            rows.append(_row(name, f"memory {_of(instance, 'memory_used', 'memory_total')}"))
    return rows


def _name(gpu: Record) -> str:
    return str(gpu.get("name") or "without a name")


def _row(label: str, text: str, style: str = "") -> Row:
    return (f"   {label:13}", "muted"), (text, style)


def _memory_row(label: str, record: Record, notes: str) -> Row:
    used, total = wording.number(record.get("memory_used")), wording.number(record.get("memory_total"))
    share = used / total if used is not None and total else None
    return _bar_row(label, share, f"   {_of(record, 'memory_used', 'memory_total')}{notes}")


def _bar_row(label: str, share: float | None, notes: str) -> Row:
    filled = round(BAR_CELLS * max(0.0, min(share or 0.0, 1.0)))
    bar = "█" * filled + "░" * (BAR_CELLS - filled)
    return (f"   {label:13}", "muted"), (bar, "train"), (f" {wording.percent(share):>5}{notes}", "")


def _of(record: Record, used: str, total: str) -> str:
    return f"{wording.size(record.get(used))} of {wording.size(record.get(total))}"


def _time(seconds: object) -> str:
    known = wording.number(seconds)
    try:
        return wording.NOTHING if known is None else time.strftime("%H:%M:%S", time.localtime(known))
    except (ValueError, OverflowError, OSError):
        return wording.NOTHING
