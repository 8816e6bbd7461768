"""One reading of the machine while it trains."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from finetui_core.hardware.nvml import GpuProbe


def sample(folder: Path, trainer_pid: int, gpus: GpuProbe) -> dict[str, Any]:
    """Processor, memory, free disk of `folder`, memory of the trainer with its children, and GPUs.

    Bytes, watts, degrees Celsius, unix seconds, shares of 1. What cannot be read is None; never raises.
    "cpu" is the share since the last call in this process. "gpu_note" says what is amiss with the GPUs,
    and "xids" are the driver's errors since the last call.
    """
    cpu = _or_none(psutil.cpu_percent)
    memory = _or_none(psutil.virtual_memory)
    disk = _or_none(lambda: psutil.disk_usage(str(folder)))
    processes = _or_none(lambda: _family(trainer_pid)) or []
    found, note = gpus.read(frozenset(process.pid for process in processes))
    record = {
        "t": time.time(),
        "cpu": None if cpu is None else cpu / 100,
        "memory_used": None if memory is None else memory.total - memory.available,
        "memory_total": None if memory is None else memory.total,
        "disk_free": None if disk is None else disk.free,
        "trainer_rss": _or_none(lambda: _resident(processes)),
        "gpus": found,
    }
    xids = gpus.take_xids()
    return record | ({} if note is None else {"gpu_note": note}) | ({"xids": xids} if xids else {})


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _resident(processes: list[psutil.Process]) -> int:
    """Resident bytes of the first process and those of its children that still live; shared pages count anew."""
    first, *children = processes
    total: int = first.memory_info().rss
    for child in children:
        total += _or_none(lambda child=child: child.memory_info().rss) or 0  # type: ignore[misc]
    return total


def _or_none(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Exception:  # besides its own errors, psutil lets out whatever an odd kernel or sandbox causes
        return None
