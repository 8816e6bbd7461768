"""What the machine did during a run: the samples of all attempts as columns over time."""

from collections.abc import Mapping, Sequence
from typing import Any

from finetui_core.runs.columns import Columns
from finetui_core.runs.metrics import SLICE
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import Record
from finetui_core.runs.tail import Tail


class MachineHistory:
    """Shares of 1 over time: "cpu" and "memory" of the machine, "gpu 0 use", "gpu 0 memory" and so on.

    "trainer" is the memory of the trainer in bytes. "step" of the columns is the time in unix seconds.
    """

    def __init__(self, paths: RunPaths) -> None:
        self._paths = paths
        self._tails: dict[int, Tail] = {}
        self.columns = Columns()
        self.unread = 0

    def read(self, numbers: Sequence[int], most: int) -> bool:
        """Read what is new in the files of the attempts, of at most about `most` bytes; True if any came."""
        before = len(self.columns)
        unread = 0
        for number in numbers:
            tail = self._tails.setdefault(number, Tail(self._paths.system(number)))
            while most > 0:
                records = tail.read(SLICE)
                self.columns.extend([machine_point(record) for record in records])
                most -= SLICE if records else 0
                if not records or not tail.behind:
                    break
            unread += tail.behind
        self.unread = unread
        return len(self.columns) != before


def machine_point(sample: Record) -> dict[str, Any]:
    """One sample as a point of the history."""
    point = {"step": sample.get("t"), "cpu": sample.get("cpu"), "memory": _share(sample)}
    point["trainer"] = sample.get("trainer_rss")
    gpus = sample.get("gpus")
    for place, gpu in enumerate(gpus if isinstance(gpus, list) else ()):
        if isinstance(gpu, dict):
            name = f"gpu {gpu.get('index', place)}"
            point[f"{name} use"], point[f"{name} memory"] = gpu.get("utilization"), _share(gpu)
    return point


def _share(record: Mapping[str, Any]) -> float | None:
    used, total = record.get("memory_used"), record.get("memory_total")
    if not isinstance(used, int | float) or not isinstance(total, int | float) or total <= 0:
        return None
    return used / total
