"""Points that come in any order, several for one step, gathered into columns that ascend in steps."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any

from finetui_core.runs.columns import Columns
from finetui_core.runs.records import Record


class Points:
    """The metrics of another trainer's run. `columns` is replaced when earlier steps change."""

    def __init__(self) -> None:
        self.columns = Columns()
        self._nonfinite: dict[float, dict[str, str]] = {}

    def add(self, records: Iterable[Mapping[str, Any]]) -> bool:
        """Merge in records with our names, each with a finite "step"; True if there were any.

        What is known of a step stays beside what is new of it; of two values for one quantity the later
        counts. The cost is proportional to the points from the lowest of the new steps on.
        """
        fresh: dict[float, dict[str, Any]] = {}
        for record in records:
            fresh.setdefault(record["step"], {}).update(record)
        if not fresh:
            return False
        for step, record in fresh.items():
            self._note_nonfinite(step, record)
        self._merge(fresh)
        return True

    def evaluations(self) -> list[Record]:
        """An event for each step with a validation loss, as our own runs record them."""
        columns = self.columns
        losses, steps, times = columns.column("eval_loss"), columns.column("step"), columns.column("t")
        best = math.inf
        found: list[Record] = []
        for index, loss in enumerate(losses):
            if math.isnan(loss):
                continue
            event: Record = {"type": "evaluation", "step": int(steps[index]), "eval_loss": loss}
            if not math.isnan(times[index]):
                event["t"] = times[index]
            event["best"] = loss < best
            best = min(best, loss)
            found.append(event)
        return found

    def _merge(self, fresh: dict[float, dict[str, Any]]) -> None:
        columns, lowest = self.columns, min(fresh)
        first = bisect_left(columns.column("step"), lowest)
        known = {columns.column("step")[at]: columns.record(at) for at in range(first, len(columns))}
        if known:
            columns.keep_until(math.nextafter(lowest, -math.inf))
        for step in sorted({*known, *fresh}):
            values = {**known.get(step, {}), **fresh.get(step, {}), "step": step}
            columns.append({**values, "nonfinite": self._nonfinite.get(step)})

    def _note_nonfinite(self, step: float, record: Mapping[str, Any]) -> None:
        for name, value in record.items():
            if isinstance(value, float) and not math.isfinite(value):
                self._nonfinite.setdefault(step, {})[name] = str(value)
            elif step in self._nonfinite:
                self._nonfinite[step].pop(name, None)
