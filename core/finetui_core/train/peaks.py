"""The highest memory use of a phase: of the GPU by torch's own count, of the processor by the process's pages."""

import ctypes
import gc
import threading
import time
from pathlib import Path
from typing import Protocol

import psutil
import torch

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"  # proc_pid_clear_refs(5)
_SAMPLE_EVERY = 0.002  # seconds


class Peaks(Protocol):
    """`begin` takes what is used now as nothing; `peak` is the most bytes since the last `reset`."""

    def begin(self) -> None: ...

    def reset(self) -> None: ...

    def peak(self) -> int: ...


def peaks_of(device: torch.device) -> Peaks:
    """How the memory of `device` is measured here."""
    if device.type == "cuda":
        return CudaPeaks(device)
    return HostPeaks() if _can_reset() else SampledPeaks()


class CudaPeaks:
    """Bytes of tensors on a GPU, without the allocator's gaps and the driver's share."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def begin(self) -> None:
        self.reset()

    def reset(self) -> None:
        torch.cuda.synchronize(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)

    def peak(self) -> int:
        torch.cuda.synchronize(self._device)
        return torch.cuda.max_memory_allocated(self._device)


class HostPeaks:
    """Resident bytes of this process by Linux's own high-water mark, which forgets nothing between two looks."""

    def __init__(self) -> None:
        self._before = 0

    def begin(self) -> None:
        self.reset()
        self._before = _high_water()

    def reset(self) -> None:
        _give_back()
        _CLEAR.write_text(_RESET_PEAK)

    def peak(self) -> int:
        return max(0, _high_water() - self._before)


class SampledPeaks:
    """Resident bytes looked at 500 times a second, where the system keeps no mark that can be set back."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before = self._highest = self._now()
        threading.Thread(target=self._watch, daemon=True).start()

    def begin(self) -> None:
        self.reset()
        self._before = self._highest

    def reset(self) -> None:
        _give_back()
        self._highest = self._now()

    def peak(self) -> int:
        return max(0, max(self._highest, self._now()) - self._before)

    def _watch(self) -> None:
        while True:
            self._highest = max(self._highest, self._now())
            time.sleep(_SAMPLE_EVERY)

    def _now(self) -> int:
        return int(self._process.memory_info().rss)


def _give_back() -> None:
    """Let glibc give what is freed back to the system: kept, it would look as if the next phase used it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        gc.collect()
        trim(0)


def _can_reset() -> bool:
    try:
        _CLEAR.write_text(_RESET_PEAK)
        return _high_water() > 0
    except (OSError, ValueError, StopIteration):
        return False


def _high_water() -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
