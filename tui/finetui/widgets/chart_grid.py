"""The charts of one or several runs, side by side as far as there is room, with one lens for all."""

import math
from collections.abc import Sequence
from dataclasses import replace

from textual.app import ComposeResult
from textual.containers import Grid
from textual.geometry import Size

from finetui.actions import bindings
from finetui.charts import CHARTS, Chart, chart_look, charts_of, marks_of, series_of
from finetui.curves import AXES, Window
from finetui.followed import Followed
from finetui.lens import Lens, next_axis, next_smoothing, panned, toggled, zoomed
from finetui.widgets.chart import ChartView
from finetui.widgets.plot import plot
from finetui.widgets.scales import rounded_range

ARRANGEMENTS = (((150, 24), (3, 2)), ((100, 18), (2, 2)), ((0, 0), (1, 1)))
"""From how many cells (width, height) there are so many columns and rows of charts."""
_FAR = 10


class ChartGrid(Grid, can_focus=True):
    """Draws `CHARTS` of the runs shown. The keys move a crosshair, zoom, choose a chart and change the axes."""

    BINDINGS = bindings("chart")

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lens = Lens()
        self._runs: tuple[Followed, ...] = ()
        self._live = False
        self._charts: tuple[Chart, ...] = CHARTS
        self._chosen = 0
        self._alone = False
        self._is_due = False
        self._drawn: dict[int, object] = {}  # what each chart was drawn from

    def compose(self) -> ComposeResult:
        for place, _ in enumerate(CHARTS):
            yield ChartView(place)

    def show(self, runs: Sequence[Followed], *, live: bool) -> None:
        """Draw the charts anew; the first run is the main one."""
        self._runs, self._live = tuple(runs), live
        charts = charts_of(runs)
        if charts != self._charts:
            self._charts = charts
            self._choose(0)
        self._draw()

    def shown_places(self) -> range:
        """Which charts there is room for; the chosen one is among them."""
        columns, rows = arrangement(self.size, alone=self._alone)
        first = self._chosen // (columns * rows) * columns * rows
        first = max(0, min(first, len(self._charts) - columns * rows))
        return range(first, min(first + columns * rows, len(self._charts)))

    def on_resize(self) -> None:
        self._lay_out()

    def on_focus(self) -> None:
        self._draw()

    def on_blur(self) -> None:
        self._draw()

    def on_chart_view_resized(self) -> None:
        self._draw()

    def on_chart_view_chosen(self, event: ChartView.Chosen) -> None:
        self.focus()
        self._choose(event.place)

    def action_next(self) -> None:
        self._choose(self._chosen + 1)

    def action_previous(self) -> None:
        self._choose(self._chosen - 1)

    def action_maximise(self) -> None:
        self._alone = not self._alone
        self._lay_out()

    def action_left(self) -> None:
        self._move_crosshair(-1)

    def action_right(self) -> None:
        self._move_crosshair(1)

    def action_far_left(self) -> None:
        self._move_crosshair(-_FAR)

    def action_far_right(self) -> None:
        self._move_crosshair(_FAR)

    def action_first(self) -> None:
        if reach := self._reach():
            self._look(replace(self.lens, at=self._runs[0].step_at(reach[0], self.lens.axis)))

    def action_newest(self) -> None:
        """Without a crosshair the legend has the newest values."""
        self._look(replace(self.lens, at=None))

    def action_zoom_in(self) -> None:
        self._zoom(out=False)

    def action_zoom_out(self) -> None:
        self._zoom(out=True)

    def action_whole(self) -> None:
        self._look(replace(self.lens, span=None, follows=False))

    def action_pan_left(self) -> None:
        self._pan(-1)

    def action_pan_right(self) -> None:
        self._pan(1)

    def action_axis(self) -> None:
        possible = tuple(axis for axis in AXES if all(run.curves().has(axis) for run in self._runs))
        self._look(next_axis(self.lens, possible))

    def action_smoothing(self) -> None:
        self._look(next_smoothing(self.lens))

    def action_logarithm(self) -> None:
        self._look(replace(self.lens, log=toggled(self.lens.log, self._charts[self._chosen].id)))

    def action_full(self) -> None:
        self._look(replace(self.lens, full=toggled(self.lens.full, self._charts[self._chosen].id)))

    def _choose(self, place: int) -> None:
        self._chosen = place % len(self._charts)
        self._lay_out()

    def _look(self, lens: Lens) -> None:
        self.lens = lens
        self._draw()

    def _zoom(self, *, out: bool) -> None:
        if reach := self._reach():
            self._look(zoomed(self.lens, *reach, self._at(), out=out))

    def _pan(self, direction: int) -> None:
        if reach := self._reach():
            self._look(panned(self.lens, *reach, direction))

    def _move_crosshair(self, columns: int) -> None:
        """At least to the next step; without a crosshair it appears at the edge of the view."""
        reach = self._reach()
        if reach is None:
            return
        start, end = self.lens.window(*reach)
        run, axis, at = self._runs[0], self.lens.axis, self._at()
        if at is None or not start <= at <= end:
            at = end if columns < 0 else start
        cells = max(10, self.query(ChartView)[self._chosen].size.width)
        step = run.step_at(min(max(start, at + columns * (end - start) / cells), end), axis)
        if step is not None and step == self.lens.at:
            step = run.step_beside(step, 1 if columns > 0 else -1)
        self._look(replace(self.lens, at=step))

    def _at(self) -> float | None:
        """The x of the crosshair."""
        return None if self.lens.at is None else self._runs[0].x_of_step(self.lens.at, self.lens.axis)

    def _reach(self) -> Window | None:
        """The first and the last x of all runs."""
        found = [reach for run in self._runs if (reach := run.reach(self.lens.axis))]
        return (min(low for low, _ in found), max(high for _, high in found)) if found else None

    def _lay_out(self) -> None:
        columns, rows = arrangement(self.size, alone=self._alone)
        places = self.shown_places()
        for place, view in enumerate(self.query(ChartView)):
            view.display = place in places
        self.styles.grid_size_columns = columns
        self.styles.grid_size_rows = min(rows, math.ceil(len(self._charts) / columns))
        self._draw()

    def _draw(self) -> None:
        """Draw once for all that asks for it now: focus, sizes and new points often come together."""
        if not self._is_due:
            self._is_due = True
            self.call_later(self._draw_now)

    def _draw_now(self) -> None:
        self._is_due = False
        if not self._runs or not self.display:
            return
        window = self._window()
        for place, view in enumerate(self.query(ChartView)):
            if view.display and view.size:
                self._draw_one(place, view, window)

    def _window(self) -> Window:
        """What is in view. While points come in, the end of the axis stays for a while where it is."""
        reach = self._reach()
        if reach is None:
            return 0.0, 1.0
        if self.lens.span is None and self._live:
            return reach[0], rounded_range(*reach)[1]
        return self.lens.window(*reach)

    def _draw_one(self, place: int, view: ChartView, window: Window) -> None:
        chart, lens = self._charts[place], self.lens
        chosen = place == self._chosen and len(self.shown_places()) > 1
        look = chart_look(chart, lens, window, several=len(self._runs) > 1)
        look = replace(look, chosen=chosen, steady=self._live, at=self._at())
        drawn = (view.size, lens, look, tuple(run.stamp() for run in self._runs))
        if self._drawn.get(place) == drawn:
            return
        self._drawn[place] = drawn
        series = series_of(chart, self._runs, lens, window, dots=2 * view.size.width)
        marks = marks_of(chart, self._runs[0], lens, window)
        view.show(plot(series, *view.size, look=look, marks=marks))


def arrangement(size: Size, *, alone: bool) -> tuple[int, int]:
    """How many columns and rows of charts fit."""
    if alone:
        return 1, 1
    return next(
        shape for (width, height), shape in ARRANGEMENTS if size.width >= width and size.height >= height
    )
