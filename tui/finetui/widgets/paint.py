"""Rows of (text, style name) → what Textual draws. All text of the interface passes through here."""

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from finetui.text import safe
from finetui.widgets.plot import Row

STYLES = (
    *("muted", "axis", "strong", "title", "cursor"),
    *("accent", "good", "warning", "bad"),
    *("raw", "train", "validation"),
)
COMPONENT_CLASSES = {f"paint--{name}" for name in STYLES}
"""For a widget's own COMPONENT_CLASSES; their colours are in styles.tcss."""


def strip(widget: Widget, row: Row, width: int, *, chosen: bool = False) -> Strip:
    """Draw `row` in `width` cells: made safe, cut or filled up. "" is the style of the widget itself.

    A `chosen` row is drawn in one style, since colours cannot be relied on inside a reversed line.
    """
    ground = widget.rich_style
    if chosen:
        ground += widget.get_component_rich_style("paint--cursor", partial=True)
    segments = [
        Segment(safe(text), _style(widget, style, ground) if style and not chosen else ground)
        for text, style in row
    ]
    return Strip(segments).adjust_cell_length(width, ground)


def _style(widget: Widget, name: str, ground: Style) -> Style:
    """The named style on `ground`; the colour of the whole style has its transparency mixed in."""
    whole = widget.get_component_rich_style(f"paint--{name}")
    own = widget.get_component_rich_style(f"paint--{name}", partial=True)
    return ground + own + Style(color=whole.color)


def refresh_changed(widget: Widget, old: Sequence[Row], new: Sequence[Row]) -> None:
    """Ask for a repaint of the lines in which `new` differs from `old`, and of nothing else."""
    width = widget.size.width
    for line in range(max(len(old), len(new))):
        if old[line : line + 1] != new[line : line + 1]:
            widget.refresh(Region(0, line, width, 1))
