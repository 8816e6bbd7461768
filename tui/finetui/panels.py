"""The panels of the run screen that are text, and what each of them shows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from finetui.followed import Followed
from finetui.hosted_rows import is_hosted, panel_rows
from finetui.lines_of import MadeRows, Rows, Source, TextFile
from finetui.machine_rows import machine_rows
from finetui.meter_rows import meter_rows
from finetui.picture import Moment, event_row, number_rows
from finetui.recipe_rows import read_recipe, recipe_rows
from finetui.sample_rows import read_samples, sample_rows, sample_steps
from finetui.widgets.plot import Row
from finetui_core.runs.paths import RunPaths, run_ids

One = TypeVar("One")

PANELS: Mapping[str, str] = {
    "charts": "charts",
    "log": "log",
    "events": "events",
    "samples": "samples",
    "recipe": "recipe",
    "machine": "machine",
    "numbers": "numbers",
    "meters": "meters",
}
"""Name → what the tab says; the key is that of the action `run.<name>`."""
FOLLOWING = frozenset({"log", "events"})
"""Panels that are shown from their end."""


@dataclass
class Panels:
    """Makes the sources of the panels; remembers which steps and which other run are compared."""

    runs: Sequence[Followed]
    moment: Callable[[], Moment | None]
    left_step: int | None = None
    right_step: int | None = None
    other: Path | None = None
    _samples: dict[Path, Sequence[Mapping[str, object]]] = field(default_factory=dict)

    @property
    def paths(self) -> RunPaths:
        return RunPaths(self.runs[0].path)

    def source(self, name: str) -> Source:
        """What a panel shows."""
        return self.log() if name == "log" else Rows(lambda width: self._rows(name, width))

    def log(self) -> Source:
        """The log of the newest attempt."""
        view = self.runs[0].view
        attempts = getattr(view, "attempts", ())
        if attempts:
            return TextFile(self.paths.log(attempts[-1].attempt))
        why = "this run has no log" if view and view.read_only else "no process was started yet"
        return Rows(lambda _: (((f" {why}", "muted"),),))

    def title(self, name: str) -> str:
        """What is compared in a panel, for the notice line."""
        if name == "samples" and (steps := sample_steps(self.paths.samples)):
            left, right = self._steps(steps)
            return (
                f"step {left:,} beside step {right:,} of {len(steps)}: ←/→ turn the right side, H/L the left"
            )
        if name == "recipe" and len(self._others()) > 0:
            return "←/→ compare with an older or a newer run"
        return ""

    def turn(self, name: str, direction: int, *, other_side: bool) -> None:
        """Compare with the one before (-1) or after (1)."""
        if name == "samples" and (steps := sample_steps(self.paths.samples)):
            left, right = self._steps(steps)
            if other_side:
                self.left_step = _beside(steps, left, direction)
            else:
                self.right_step = _beside(steps, right, direction)
        if name == "recipe" and (others := self._others()):
            self.other = _beside(others, self._other(others), direction)

    def _rows(self, name: str, width: int) -> Sequence[Row]:
        view, now = self.runs[0].view, self.moment()
        if view is None or now is None:
            return (((" reading …", "muted"),),)
        if is_hosted(view) and (rows := panel_rows(name, view, width)) is not None:
            return rows
        if name == "events":
            return (
                MadeRows(view.events, event_row) if view.events else (((" nothing happened yet", "muted"),),)
            )
        if name == "machine":
            return machine_rows(view.system)
        if name == "numbers":
            return number_rows(now)
        if name == "meters":
            return meter_rows(getattr(view, "alarms", ()), view.evaluations, width)
        return self._sample_rows(width) if name == "samples" else self._recipe_rows(width)

    def _sample_rows(self, width: int) -> Sequence[Row]:
        steps = sample_steps(self.paths.samples)
        if not steps:
            return (
                ((" no sample answers yet: they are written at each evaluation (eval.samples)", "muted"),),
            )
        left, right = self._steps(steps)
        return sample_rows((left, self._read(left)), (right, self._read(right)), width)

    def _steps(self, steps: Sequence[int]) -> tuple[int, int]:
        """The steps on the left and on the right: the first and the newest, unless others were chosen."""
        left, right = self.left_step, self.right_step
        return (
            left if left is not None and left in steps else steps[0],
            right if right is not None and right in steps else steps[-1],
        )

    def _read(self, step: int) -> Sequence[Mapping[str, object]]:
        path = self.paths.sample_file(step)
        found = self._samples.get(path)
        if found is None:
            found = read_samples(path)
            if len(self._samples) > 8:
                self._samples.clear()
            self._samples[path] = found
        return found

    def _recipe_rows(self, width: int) -> Sequence[Row]:
        others = self._others()
        other = self._other(others) if others else None
        compared = (other.name, read_recipe(RunPaths(other))) if other else None
        return recipe_rows(read_recipe(self.paths), compared, width)

    def _other(self, others: Sequence[Path]) -> Path:
        """The run compared with: one that is shown too, or else the one before this."""
        if self.other is not None and self.other in others:
            return self.other
        if len(self.runs) > 1 and self.runs[1].path in others:
            return self.runs[1].path
        older = [path for path in others if path.name < self.paths.id]
        return older[-1] if older else others[0]

    def _others(self) -> list[Path]:
        """The other runs of the same folder, oldest first."""
        root = self.paths.root.parent
        return [
            root / run_id
            for run_id in run_ids(root)
            if run_id != self.paths.id and (root / run_id / "recipe.resolved.json").exists()
        ]


def _beside(order: Sequence[One], one: One, direction: int) -> One:
    return order[max(0, min(order.index(one) + direction, len(order) - 1))]
