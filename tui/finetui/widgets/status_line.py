"""The first line of every station: where you are, what runs, and the machine."""

from rich.cells import cell_len
from textual import events
from textual.strip import Strip
from textual.widget import Widget

from finetui.actions import actions_of, key_name
from finetui.machine import Machine, machine_row
from finetui.text import safe, wrapped
from finetui.widgets import paint
from finetui.widgets.plot import Row

LEAST_WIDTH, LEAST_HEIGHT = 40, 10
"""Cells of the smallest terminal that the stations can be drawn in; below, this line says so instead."""
_STATIONS = ("runs", "decide", "data", "recipe", "train", "compare")
_NAME = " ftui "


class StatusLine(Widget):
    """Stands above the station named `station`; a click on another one goes there."""

    def __init__(self, station: str) -> None:
        super().__init__()
        self._station = station
        self._machine: Machine | None = None

    def on_mount(self) -> None:
        self._machine = getattr(self.app, "machine", None)

    def show(self, machine: Machine) -> None:
        if machine != self._machine:
            before, self._machine = self._rows(), machine
            paint.refresh_changed(self, before, self._rows())

    def render_line(self, y: int) -> Strip:
        rows = self._rows()
        return paint.strip(self, rows[y] if y < len(rows) else (), self.size.width)

    async def on_click(self, event: events.Click) -> None:
        for station, start, end in self._places():
            if event.y == 0 and start <= event.x < end:
                await self.app.run_action(f"station('{station}')")

    def _rows(self) -> tuple[Row, ...]:
        width, height = self.app.size
        if width < LEAST_WIDTH or height < LEAST_HEIGHT:
            return _too_small(self.size.width, self.app.size.width, self.app.size.height)
        stations = ((_NAME, "title"), *self._stations())
        machine = machine_row(self._machine, width - _cells(stations) - 1) if self._machine else ()
        space = " " * max(0, width - _cells(stations) - _cells(machine))
        return ((*stations, (space, ""), *machine),)

    def _stations(self) -> Row:
        """The station you are at stands in brackets; the others are only numbers where there is little room."""
        keys = getattr(self.app, "keymap", None)
        named = {action.name: action for action in actions_of("studio", keys=keys)}
        spans = []
        for station in _STATIONS:
            here = station == self._station
            key, label = key_name(named[station].keys[0]), named[station].label
            text = f"{key} {label}" if here or self.app.size.width >= 80 else key
            spans.append((f"[{text}]", "strong") if here else (f" {text} ", "muted"))
        return tuple(spans)

    def _places(self) -> list[tuple[str, int, int]]:
        start, places = cell_len(_NAME), []
        for station, (text, _) in zip(_STATIONS, self._stations(), strict=True):
            places.append((station, start, start + cell_len(text)))
            start += cell_len(text)
        return places


def _cells(row: Row) -> int:
    return sum(cell_len(safe(text)) for text, _ in row)


def _too_small(room: int, width: int, height: int) -> tuple[Row, ...]:
    least = f"{LEAST_WIDTH}x{LEAST_HEIGHT}"
    sentence = f"This terminal has {width}x{height} cells. ftui needs {least}: enlarge it. q quits."
    return tuple(((line, ""),) for line in wrapped(sentence, max(1, room)))
