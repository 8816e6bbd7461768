"""Screens as SVG files that fetch nothing.

python docs/make/svg.py FOLDER     # each FOLDER/*.ansi (tmux capture-pane -e) → FOLDER/*.svg
"""

import re
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

FONTS = "DejaVu Sans Mono, Menlo, Consolas, monospace"
XTERM = TerminalTheme(
    (0, 0, 0),
    (229, 229, 229),
    [
        (0, 0, 0),
        (205, 0, 0),
        (0, 205, 0),
        (205, 205, 0),
        (0, 0, 238),
        (205, 0, 205),
        (0, 205, 205),
        (229,) * 3,
    ],
    [
        (127,) * 3,
        (255, 0, 0),
        (0, 255, 0),
        (255, 255, 0),
        (92, 92, 255),
        (255, 0, 255),
        (0, 255, 255),
        (255,) * 3,
    ],
)
"""The sixteen colours as xterm has them."""


def without_fonts(svg: str) -> str:
    """Rich's template loads a font from the web; here the reader's own one is taken."""
    svg = re.sub(r"@font-face\s*{[^}]*}\s*", "", svg)
    return re.sub(r"font-family: [^;]*;", f"font-family: {FONTS};", svg)


def drawn(captured: str, title: str) -> str:
    """What `tmux capture-pane -e -p` gave, as SVG."""
    text = Text.from_ansi(captured.rstrip("\n"))
    width = max(line.cell_len for line in text.split())
    console = Console(
        file=StringIO(), record=True, width=width, force_terminal=True, color_system="truecolor"
    )
    console.print(text, no_wrap=True, overflow="crop", end="")
    return without_fonts(console.export_svg(title=title, theme=XTERM))


if __name__ == "__main__":
    for path in sorted(Path(sys.argv[1]).glob("*.ansi")):
        path.with_suffix(".svg").write_text(drawn(path.read_text(), path.stem))
