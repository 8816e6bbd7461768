"""The machine in a few words: its GPUs, or its processor, and how many runs are under way."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetui.widgets.plot import Row
from finetui_core import wording

if TYPE_CHECKING:
    from finetui_core.hardware.nvml import GpuProbe
    from finetui_core.runs.live import LiveRuns

NO_GPU = "no NVIDIA GPU"


@dataclass(frozen=True, slots=True)
class Machine:
    """One look at the machine. `cpu` is a share of 1, `gpus` are records of `finetui_core.hardware`."""

    running: int = 0
    cpu: float | None = None
    processors: int = 0
    gpus: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    gpu_note: str | None = None


class MachineReader:
    """Looks at the machine and at the runs under `root`; slow the first time: to be called in a thread."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sources: tuple[LiveRuns, GpuProbe] | None = None

    def read(self) -> Machine:
        import psutil

        is_first = self._sources is None
        live_runs, probe = self._sources = self._sources or _sources(self._root)
        running = len(live_runs.find())
        gpus, note = probe.read()
        cpu = psutil.cpu_percent() / 100  # the share since the call before, so the first one means nothing
        uses_cpu = running and not gpus and not is_first
        return Machine(running, cpu if uses_cpu else None, os.cpu_count() or 0, gpus, note)


def _sources(root: Path) -> "tuple[LiveRuns, GpuProbe]":
    from finetui_core.hardware.nvml import GpuProbe
    from finetui_core.runs.live import LiveRuns

    return LiveRuns(root), GpuProbe()


def machine_row(machine: Machine, width: int) -> Row:
    """The longest description that fits into `width` cells, or nothing."""
    running = ((f"● {machine.running:,} running", "good"),)
    number = ((f"● {machine.running:,}", "good"),)
    for about_runs, about_machine in (
        (running, _long(machine)),
        (running, _short(machine)),
        (number, _short(machine)),
        (number, ()),
    ):
        parts = [part for part in (about_runs if machine.running else (), *about_machine) if part]
        row = tuple(span for part in parts for span in (*part, ("  ", "")))[:-1]
        if sum(len(text) for text, _ in row) <= width:
            return row
    return ()


def _long(machine: Machine) -> tuple[Row, ...]:
    if not machine.gpus:
        return (_processor(machine, f"no GPU, {machine.processors} processors"), *_note(machine))
    return (*(_gpu(gpu) for gpu in machine.gpus), *_note(machine))


def _short(machine: Machine) -> tuple[Row, ...]:
    if not machine.gpus:
        return (_processor(machine, "no GPU"),)
    shares = [share for gpu in machine.gpus if (share := wording.number(gpu.get("utilization"))) is not None]
    use = wording.percent(sum(shares) / len(shares) if shares else None)
    name = "GPU" if len(machine.gpus) == 1 else f"{len(machine.gpus)} GPUs"
    return (((f"{name} {use}", ""),),)


def _processor(machine: Machine, idle: str) -> Row:
    """The use of the processor is told only during a run, so that an idle screen writes nothing."""
    return ((f"CPU {wording.percent(machine.cpu)}" if machine.cpu is not None else idle, "muted"),)


def _note(machine: Machine) -> tuple[Row, ...]:
    return () if machine.gpu_note in (None, NO_GPU) else (((f"! {machine.gpu_note}", "warning"),),)


def _gpu(gpu: Mapping[str, Any]) -> Row:
    use, used = wording.percent(gpu.get("utilization")), wording.size(gpu.get("memory_used"))
    words = f"{use}, {used} of {wording.size(gpu.get('memory_total'))}"
    return ((f"GPU {gpu.get('index', '')} ", "muted"), (words, ""))
