"""What the supervisor has found amiss with a run and its machine, as alarms in trouble.jsonl.

The trainer alone writes events.jsonl, and may hang or be gone when a GPU fails; readers merge the two.
"""

import time
from dataclasses import asdict
from typing import Any

from finetui_core.hardware.trouble import Known, Straggler, Trouble, gpu_troubles, heard
from finetui_core.runs.frozen import FROZEN_AFTER, Stillness
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import Heartbeat, Record, read_small
from finetui_core.runs.tail import Tail
from finetui_core.runs.writer import RecordFile
from finetui_core.wording import duration

_FROZEN = Trouble(
    kind="hang",
    cause="frozen",
    severity="act",
    message=f"nothing runs in the trainer for {duration(FROZEN_AFTER)}: a library keeps Python's lock. It is ended",
    remedy="The log holds the stacks of all its threads. Continue from the last checkpoint.",
)


class TroubleFinder:
    """Looks at each sample of an attempt and writes an alarm where something begins. Each cause is told once.

    A trainer in which nothing runs any more is ended.
    """

    def __init__(self, paths: RunPaths, attempt: int, trainer: Stillness) -> None:
        self._trainer = trainer
        self._paths = paths
        self._attempt = attempt
        self._file = RecordFile(paths.trouble, durable=True)
        self._metrics = Tail(paths.metrics(attempt))
        self._known: Known = {}
        self._straggler = Straggler()
        self._told: set[tuple[str, str, int | None]] = set()
        self._has_written = False

    def see(self, sample: Record) -> None:
        """Judge one sample. Failures of the disk are not raised."""
        for trouble in gpu_troubles(self._known, sample):
            which = (trouble.kind, trouble.cause, trouble.gpu)
            if which not in self._told:
                self._told.add(which)
                self._tell(trouble)
        self._known = heard(self._known, sample)
        seconds = [point.get("step_seconds") for point in self._metrics.read()]
        found = self._straggler.see([one for one in seconds if isinstance(one, float)], sample)
        if found == "over":
            self._write({"type": "alarm_over", "kind": "straggler"})
        elif found is not None:
            self._tell(found)
        if self._trainer.is_frozen() and ("hang", "frozen", None) not in self._told:
            self._told.add(("hang", "frozen", None))
            self._tell(_FROZEN)
            self._trainer.abort()

    def close(self) -> None:
        """Write what still waits; a machine without trouble leaves no file."""
        if self._has_written:
            self._file.close()

    def _tell(self, trouble: Trouble) -> None:
        self._write({"type": "alarm", **asdict(trouble), "go_back_to": None})

    def _write(self, record: dict[str, Any]) -> None:
        beat = read_small(self._paths.heartbeat, Heartbeat)
        about = {"t": time.time(), "attempt": self._attempt, "step": beat.step if beat else 0}
        self._file.append({**about, **record})
        self._has_written = True
