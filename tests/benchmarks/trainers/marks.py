"""What a training process notes while it trains, one line of JSON each; read by the harness that started it."""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FILE = "marks.jsonl"


@dataclass(frozen=True)
class Marks:
    """Notes at the ends of steps: the clock, the process's own processor time, and what was trained on."""

    descriptor: int

    def step(self, loss: float, tokens: int, supervised: int) -> None:
        """A step has ended. `loss` is in nats per supervised token; `tokens` are those that are no padding."""
        self._note("step", loss=loss, tokens=tokens, supervised=supervised)

    def evaluation(self, seconds: float, cpu: float, loss: float, supervised: int, tokens: int) -> None:
        """The validation rows were evaluated, in so many seconds of the clock and of the processor."""
        self._note("evaluation", seconds=seconds, of_cpu=cpu, loss=loss, supervised=supervised, tokens=tokens)

    def end(self, packages: Sequence[str], **others: str) -> None:
        """The work is done; notes the largest resident set and the versions of what did it."""
        self._note("end", peak_rss=peak_rss(), versions={**others, **dict(_versions(packages))})

    def unavailable(self, why: str) -> None:
        """The system cannot do this case, and why."""
        self._note("unavailable", why=why)

    def _note(self, kind: str, **fields: Any) -> None:
        line = {"kind": kind, "clock": time.monotonic(), "cpu": time.process_time(), **fields}
        os.write(self.descriptor, json.dumps(line).encode() + b"\n")


def marks_in(folder: Path) -> Marks:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    return Marks(os.open(folder / FILE, flags, 0o600))


def peak_rss() -> int:
    """The largest resident set of this process in bytes; the kernel's other figure is inherited from the parent."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmHWM")


def _versions(packages: Sequence[str]) -> list[tuple[str, str]]:
    found = []
    for package in packages:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return found
