"""A run that the dashboard follows: its view, and the curves derived from it."""

from bisect import bisect_right
from collections.abc import Container
from pathlib import Path
from typing import Any

from finetui.curves import Axis, Curves, Numbers, evaluation_columns
from finetui_core.runs.columns import Columns
from finetui_core.runs.foreign import open_view
from finetui_core.runs.machine import MachineHistory
from finetui_core.runs.metrics import SLICE
from finetui_core.runs.reader import RunView

FIRST = SLICE  # bytes of metrics in the first look, so that something is seen at once
LATER = 8 * SLICE  # and in each later one


class Followed:
    """Reads a run in slices. `refresh` is called in a thread, all else on the screen."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.view: Any = None
        self.label = path.name
        self.gone = False
        self._history: MachineHistory | None = None
        self._curves = Curves(Columns())
        self._newest = Curves(Columns())
        self._machine = Curves(Columns())
        self._notable: tuple[Any, int, list[tuple[object, str]]] = ((), 0, [])
        self._least: dict[str, tuple[float, float, Any]] = {}
        self._machine_xs: dict[Axis, tuple[Numbers, Numbers]] = {}
        self._evaluations: tuple[Any, int, Curves] = ((), 0, Curves(Columns()))

    def refresh(self) -> bool:
        """Read what is new, or the next slice; True if anything changed. Raises what opening a run raises."""
        if self.view is None:
            view: Any = open_view(self.path)
            if isinstance(view, RunView):
                view.most = FIRST
                self._history = MachineHistory(view.paths)
            view.refresh()
            self.view, self.label = view, str(view.name)
            self._read_history(FIRST)
            return True
        was_gone, self.gone = self.gone, not self.path.exists()
        if self.gone:  # what was read stays on the screen
            return not was_gone
        if isinstance(self.view, RunView):
            self.view.most = LATER
        changed = bool(self.view.refresh())
        return self._read_history(LATER) or changed or was_gone

    def _read_history(self, most: int) -> bool:
        if self._history is None:
            return False
        return self._history.read([attempt.attempt for attempt in self.view.attempts], most)

    @property
    def unread(self) -> int:
        """Bytes that wait to be read."""
        history = self._history.unread if self._history else 0
        return int(getattr(self.view, "unread", 0)) + history

    def curves(self) -> Curves:
        """The metrics, from the first point on."""
        if self._curves.columns is not self.view.columns:
            self._curves = Curves(self.view.columns)
        return self._curves

    def newest(self, axis: Axis) -> Curves | None:
        """The last points, while those before them are still being read."""
        columns = getattr(self.view, "newest", None)
        if not columns or axis == "tokens":  # how many came before is not known yet
            return None
        if self._newest.columns is not columns:
            self._newest = Curves(columns, begins=self.curves().begin())
        return self._newest

    def evaluations(self) -> Curves:
        """The evaluations by step."""
        of = self.view.evaluations
        known, number, curves = self._evaluations
        if known is not of or number != len(of):
            curves = Curves(evaluation_columns(of))
            self._evaluations = (of, len(of), curves)
        return curves

    def stamp(self) -> tuple[object, ...]:
        """What changes when the curves or the marks do."""
        view, newest = self.view, getattr(self.view, "newest", None)
        history = self._history.columns if self._history and not self.unread else None
        lists = (view.columns, newest, history, view.evaluations, view.events, view.checkpoints)
        return (view.columns.cut, *((one, len(one)) for one in lists if one is not None))

    def notable(self, kinds: Container[str]) -> list[tuple[object, str]]:
        """(step, type) of the events of some types; the same types each time."""
        events = self.view.events
        known, number, found = self._notable
        if known is not events:
            number, found = 0, []
        new = events[number:]
        found = [*found, *((e.get("step"), e["type"]) for e in new if str(e.get("type")) in kinds)]
        self._notable = (events, number + len(new), found)
        return found

    def machine(self) -> Curves | None:
        """The machine over time, once all is read."""
        if self._history is None or self.unread:
            return None
        if self._machine.columns is not self._history.columns:
            self._machine = Curves(self._history.columns)
        return self._machine

    def machine_xs(self, axis: Axis) -> Numbers:
        """Where each sample of the machine lies: at the last step before it. Never falling."""
        main, machine = self.curves(), self.machine()
        source = main.columns.column("t")
        if machine is None or not len(source):
            return Numbers("d")
        times = machine.columns.column("step")
        known, xs = self._machine_xs.get(axis, (source, Numbers("d")))
        if known is not source:
            xs = Numbers("d")
        begin, clock, places = main.begin(), main.xs("time"), main.xs(axis)
        for time in times[len(xs) :]:
            elapsed = time - begin
            if axis != "time" and elapsed > clock[-1]:
                break  # its step has not ended
            xs.append(elapsed if axis == "time" else places[max(0, bisect_right(clock, elapsed) - 1)])
        self._machine_xs[axis] = (source, xs)
        return xs

    def reach(self, axis: Axis) -> tuple[float, float] | None:
        """The first and the last x of the run."""
        ends: list[float] = []
        for curves in (self.curves(), self.newest(axis)):
            xs = curves.xs(axis) if curves else ()
            if xs:
                ends += [xs[0], xs[-1]]
        steps = self.evaluations().columns.column("step")
        for step in (steps[0], steps[-1]) if steps else ():
            x = self.x_of_step(step, axis)
            ends += [] if x is None else [x]
        return (min(ends), max(ends)) if ends else None

    def x_of_step(self, step: float, axis: Axis) -> float | None:
        """Where a step lies on an axis."""
        newest = self.newest(axis)
        if newest and step >= newest.columns.column("step")[0]:
            return newest.x_of_step(step, axis)
        return self.curves().x_of_step(step, axis)

    def step_at(self, x: float, axis: Axis) -> float | None:
        """The step nearest to `x`."""
        newest = self.newest(axis)
        if newest and len(newest.columns) and x >= newest.xs(axis)[0]:
            return newest.step_at(x, axis)
        return self.curves().step_at(x, axis)

    def step_beside(self, step: float, direction: int) -> float:
        """The recorded step before (-1) or after (1) `step`; the same at an end."""
        newest = self.newest("step")
        columns = newest.columns if newest and step >= newest.columns.column("step")[0] else self.view.columns
        steps = columns.column("step")
        place = bisect_right(steps, step) - 1 + direction
        return steps[max(0, min(place, len(steps) - 1))]

    def last_point(self) -> dict[str, Any]:
        """The newest point of the metrics."""
        columns = getattr(self.view, "newest", None) or self.view.columns
        return columns.record(-1) if len(columns) else {}

    def least(self, name: str) -> tuple[float, float] | None:
        """The least value of a quantity, and its step."""
        extremes = self.curves().extremes(name)
        length = min(len(extremes.values), len(self.view.columns))
        found = extremes.between(0, length)
        if found is None:
            return None
        known = self._least.get(name)
        if known is None or known[0] != found[0] or known[2] is not extremes:
            place = extremes.values.index(found[0])
            known = self._least[name] = (found[0], self.view.columns.column("step")[place], extremes)
        return known[:2]

    def greatest(self, name: str) -> float | None:
        """The greatest value of a quantity."""
        extremes = self.curves().extremes(name)
        found = extremes.between(0, len(extremes.values))
        return found[1] if found else None

    def peak_trainer_memory(self) -> float | None:
        """The most memory that the trainer was seen to hold, in bytes."""
        machine = self.machine()
        extremes = machine.extremes("trainer") if machine else None
        found = extremes.between(0, len(extremes.values)) if extremes else None
        return found[1] if found else None

    def tokens(self) -> float | None:
        """All tokens so far, once all is read."""
        if self.unread or not self.curves().has("tokens"):
            return None
        xs = self.curves().xs("tokens")
        return xs[-1] if xs else None
