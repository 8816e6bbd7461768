"""The devices that the queue gives to runs: each GPU or part of one, or else the processor."""

import os
from collections.abc import Mapping, Sequence, Set
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from finetui_core.runs.records import Attempt

CPU = "cpu"


def devices() -> list[str]:
    """What CUDA_VISIBLE_DEVICES may name on this machine, as this process may use it; else the processor alone."""
    if _torch_has_no_gpus():
        return [CPU]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return named(visible)
    from finetui_core.hardware.nvml import GpuProbe

    return found(GpuProbe().read()[0])


def named(visible: str) -> list[str]:
    """The entries of CUDA_VISIBLE_DEVICES; as CUDA does, those after a -1 do not count."""
    names: list[str] = []
    for name in (part.strip() for part in visible.split(",")):
        if name in ("", "-1"):
            break
        names.append(name)
    return names or [CPU]


def found(gpus: Sequence[Mapping[str, Any]]) -> list[str]:
    """The GPUs of a reading by their UUID, since CUDA may number them otherwise; of one cut up by MIG its parts."""
    names = []
    for gpu in gpus:
        for part in gpu.get("instances") or [gpu]:
            names.append(str(part.get("uuid") or gpu["index"]))
    return names or [CPU]


def taken(attempt: Attempt, processes: int, all_devices: Sequence[str]) -> Set[str]:
    """The devices of a run under way; one that was started by hand takes the first ones, as its trainer does."""
    if attempt.device is not None:
        return set(attempt.device.split(","))
    return set(all_devices[: max(1, processes)])


def _torch_has_no_gpus() -> bool:
    """Whether the installed torch was built for processors alone, as its version tells."""
    try:
        return version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False
