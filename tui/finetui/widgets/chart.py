"""The chart on a screen: draws `plot` again only when its data or its size changed."""

from collections.abc import Sequence

from textual import events
from textual.strip import Strip
from textual.widget import Widget

from finetui.widgets import paint
from finetui.widgets.plot import Row, Series, plot


class Chart(Widget):
    """Curves over steps, with axes and a legend that holds the numbers."""

    COMPONENT_CLASSES = paint.COMPONENT_CLASSES

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._series: tuple[Series, ...] = ()
        self._checkpoints: tuple[float, ...] = ()
        self._rows: tuple[Row, ...] = ()

    def show(self, series: Sequence[Series], checkpoints: Sequence[float] = ()) -> None:
        """Replace the curves and the steps marked as checkpoints."""
        wanted = (tuple(series), tuple(checkpoints))
        if wanted != (self._series, self._checkpoints):
            self._series, self._checkpoints = wanted
            self._draw()

    def on_resize(self, event: events.Resize) -> None:
        self._draw()

    def render_line(self, y: int) -> Strip:
        return paint.strip(self, self._rows[y] if y < len(self._rows) else (), self.size.width)

    def _draw(self) -> None:
        before = self._rows
        self._rows = plot(self._series, self.size.width, self.size.height, checkpoints=self._checkpoints)
        paint.refresh_changed(self, before, self._rows)
