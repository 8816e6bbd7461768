"""Where the trainer's records go: the run directory on process 0, nowhere on the others."""

from dataclasses import dataclass
from typing import Any, Protocol

from finetui_core.runs.writer import Heartbeat, RunWriter


class Output(Protocol):
    """What the loop tells of itself."""

    def metric(self, record: dict[str, Any]) -> None: ...

    def event(self, type: str, **fields: Any) -> None: ...

    def beat(self, *, step: int, phase: str, total_steps: int) -> None: ...

    def sync(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Recorded:
    """Output of process 0: metrics and events as records, the phase and step as heartbeat."""

    writer: RunWriter
    heartbeat: Heartbeat

    def metric(self, record: dict[str, Any]) -> None:
        self.writer.metric(record)

    def event(self, type: str, **fields: Any) -> None:
        self.writer.event(type, **fields)

    def beat(self, *, step: int, phase: str, total_steps: int) -> None:
        self.heartbeat.update(step=step, phase=phase, total_steps=total_steps)

    def sync(self) -> None:
        self.writer.sync()


class Silent:
    """Output of every other process."""

    def metric(self, record: dict[str, Any]) -> None:
        """Write nothing."""

    def event(self, type: str, **fields: Any) -> None:
        """Write nothing."""

    def beat(self, *, step: int, phase: str, total_steps: int) -> None:
        """Write nothing."""

    def sync(self) -> None:
        """Nothing waits."""
