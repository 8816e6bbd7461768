"""Rows of (text, style name) → what Textual draws. All text of the interface passes through here."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from finetui.text import beginning, safe
from finetui.widgets.plot import Row

_BOLD = frozenset({"strong", "title", "bad"})


def strip(widget: Widget, row: Row, width: int, *, chosen: bool = False) -> Strip:
    """Draw `row` in `width` cells: made safe, cut or filled up.

    A style is the name of a colour of the theme (`finetui_core.themes.COLOURS`), "strong", "title", or "" for the
    style of the widget itself. A `chosen` row is drawn in one style, since colours cannot be relied on inside a
    reversed line.
    """
    ground = widget.rich_style
    if chosen:
        ground += Style(reverse=True)
    variables = widget.app.theme_variables
    segments = [
        Segment(
            safe(beginning(text, width)),
            ground + _style(style, variables) if style and not chosen else ground,
        )
        for text, style in row
    ]
    return Strip(segments).adjust_cell_length(width, ground)


def _style(name: str, variables: Mapping[str, str]) -> Style:
    """Straight from the theme: component classes would cost each widget a virtual node for each style."""
    if name == "title":
        return _made(variables.get("colour-background"), variables.get("colour-accent"), bold=True)
    return _made(variables.get(f"colour-{name}"), None, bold=name in _BOLD)


@lru_cache(maxsize=256)
def _made(colour: str | None, background: str | None, *, bold: bool) -> Style:
    return Style(color=colour, bgcolor=background, bold=bold or None)


def refresh_changed(widget: Widget, old: Sequence[Row], new: Sequence[Row]) -> None:
    """Ask for a repaint of the lines in which `new` differs from `old`, and of nothing else."""
    width = widget.size.width
    for line in range(max(len(old), len(new))):
        if old[line : line + 1] != new[line : line + 1]:
            widget.refresh(Region(0, line, width, 1))
