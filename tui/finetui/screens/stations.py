"""The stations that are still to be built: what each will do, and which commands do a part of it today."""

from textual.app import ComposeResult
from textual.screen import Screen

from finetui.actions import bindings
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui.widgets.plot import Row
from finetui.widgets.status_line import StatusLine

_TEXTS: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "train": (
        "Here you see one run. No run is open, and none is under way: open one from the list, or press s to start "
        "one.",
        (
            ("ftui demo", "fine-tune the small sample model, no GPU needed"),
            ("ftui train RECIPE", "fine-tune as a recipe file says"),
        ),
    ),
}


class StationScreen(Screen[None]):
    """Says honestly what stands at `station` and what does not."""

    BINDINGS = bindings("station")
    SCOPES: tuple[str, ...] = ("studio",)

    def __init__(self, station: str) -> None:
        super().__init__()
        self._station = station
        if station == "train":
            self.SCOPES = ("station", "studio")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Runs are started at Train alone."""
        return action != "app.start_run" or "station" in self.SCOPES

    def compose(self) -> ComposeResult:
        text, commands = _TEXTS[self._station]
        yield StatusLine(self._station)
        yield Lines(((("  ", ""), (text, "")), *_command_rows(commands)), id="station", tail=True)
        yield KeyBar(self.SCOPES)


def _command_rows(commands: tuple[tuple[str, str], ...]) -> tuple[Row, ...]:
    if not commands:
        return ()
    lines = [
        row
        for command, does in commands
        for row in (((f"    {command}", "strong"),), (("        ", ""), (does, "")))
    ]
    return ((), (("  Today, from a shell:", "muted"),), *lines)
