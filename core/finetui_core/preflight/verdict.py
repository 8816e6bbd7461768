"""Whether a run fits on a device: from the bytes of tensors to the range that the device will show as used."""

from collections.abc import Mapping

from finetui_core.preflight.figures import Device, Fit, Memory, Phase, Verdict
from finetui_core.preflight.history import NO_CALIBRATION, Calibration
from finetui_core.wording import size

GIB = 2**30
CONTEXT = GIB // 2
"""Bytes that the driver holds for a process on a GPU before its first tensor."""
PROCESS = round(0.4 * GIB)
"""Resident bytes on a processor beside the tensors: 340 MiB of libraries, and what their first step adds to them."""

ERROR: Mapping[str, float] = {"formula": 0.15, "trace": 0.06, "probe": 0.02}
"""Share by which a stage's tensors may be off: the goals of each stage, the trace's for another loss version."""
GAPS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "cuda": {"formula": (1.06, 1.41), "trace": (1.06, 1.41), "probe": (1.06, 1.2)},
    "cpu": {"formula": (1.0, 2.6), "trace": (1.05, 2.6), "probe": (1.0, 1.2)},
}
"""Used bytes as a multiple of those of tensors: on GPUs the caching allocator's gaps, 1.06 to 1.41 over 124 public
A100 runs; on processors glibc's, 1.07 to 2.56 over 24 small models (docs/preflight-memory.md). A probe has
measured most of them."""

_WORDS: Mapping[Fit, str] = {"fits": "Fits", "tight": "Tight", "does_not_fit": "Does not fit"}
_PHASES: Mapping[Phase, str] = {
    "load": "while the model is loaded",
    "train": "in a training step",
    "evaluate": "in an evaluation",
    "save": "while a checkpoint is saved",
    "merge": "while the adapter is merged",
}


def judge(memory: Memory, device: Device, calibration: Calibration = NO_CALIBRATION) -> Verdict:
    """The range that `device` will show as used at the highest phase of a run, and whether it has room for it.

    It fits where the whole range has room, is tight where a part of it has, and does not fit where none has.
    Merging is not a part of a run and is left out.
    """
    phase, peak = highest_in_run(memory)
    low, high = used_range(peak, memory, device, calibration)
    room = max(0, device.memory - device.used)
    fit: Fit = "fits" if high <= room else "does_not_fit" if low > room else "tight"
    return Verdict(fit, phase, low, high, room, _says(fit, phase, low, high, room, device))


def highest_in_run(memory: Memory) -> tuple[Phase, int]:
    """The phase of a run that takes most, and its bytes."""
    sums = {phase: sum(kinds.values()) for phase, kinds in memory.peaks.items() if phase != "merge"}
    return max(sums.items(), key=lambda one: one[1], default=("train", 0))


def used_range(
    peak: int, memory: Memory, device: Device, calibration: Calibration = NO_CALIBRATION
) -> tuple[int, int]:
    """From `peak` bytes of tensors to the lowest and highest number of used bytes that they may mean."""
    base = CONTEXT if device.kind == "cuda" else PROCESS
    error = ERROR[memory.stage]
    smallest, largest = GAPS[device.kind][memory.stage]
    low, high = smallest * (1 - error), largest * (1 + error)
    if calibration.memory is not None:
        ratios = calibration.memory
        below, above = (0.75, 1.05) if memory.stage == "formula" else (0.87, 1.15)
        if calibration.runs >= Calibration.ENOUGH:
            low, high = max(low, below * ratios.low), above * ratios.high
        else:
            low, high = min(low, ratios.low), max(high, above * ratios.high)
    return round(base + low * peak), round(base + high * peak)


def _says(fit: Fit, phase: Phase, low: int, high: int, room: int, device: Device) -> str:
    where = device.name if device.kind == "cuda" else "this processor's memory"
    taken = f", {size(device.used)} of its {size(device.memory)} being in use" if device.used else ""
    return f"{_WORDS[fit]}: {size(low)} to {size(high)} {_PHASES[phase]}, and {where} has {size(room)} free{taken}."
