"""What an attempt of a run took in all, to be held against what was predicted of it."""

import resource
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from finetui_core.preflight.history import Actual, actual_file, keep
from finetui_core.runs.paths import RunPaths

_STATUS = Path("/proc/self/status")


@dataclass(slots=True)
class Tally:
    """Counts of this process. `libraries` is its resident memory when all is imported and no model loaded."""

    began: float = field(default_factory=time.perf_counter)
    libraries: int | None = None
    steps: int = 0
    tokens: int = 0
    training_seconds: float = 0.0

    def imported(self) -> None:
        self.libraries = _status("VmRSS")

    def step(self, tokens: int, seconds: float) -> None:
        self.steps += 1
        self.tokens += tokens
        self.training_seconds += seconds

    def keep(
        self, paths: RunPaths, device: torch.device, reason: str, total_steps: int, *, resumed: bool
    ) -> None:
        """Write report/actual.json. Raises OSError."""
        on_gpu = device.type == "cuda"
        actual = Actual(
            reason=reason,
            seconds=round(time.perf_counter() - self.began, 3),
            steps=self.steps,
            total_steps=total_steps,
            tokens=self.tokens,
            training_seconds=round(self.training_seconds, 3),
            resumed=resumed,
            resident=_status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            libraries=self.libraries,
            allocated=torch.cuda.max_memory_allocated(device) if on_gpu else None,
            reserved=torch.cuda.max_memory_reserved(device) if on_gpu else None,
        )
        keep(actual_file(paths), actual)


def _status(name: str) -> int | None:
    """Bytes of one line of this process's status; None where the system keeps none."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    line = next((line for line in lines if line.startswith(f"{name}:")), "")
    return int(line.split()[1]) * 1024 if line else None
