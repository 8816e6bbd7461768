"""Text that ftui did not write, made safe and cut to the cells of a screen."""

from rich.cells import cell_len, chop_cells
from textual.content import Content

from finetui_core.text import MAX_COMBINING, visible

MOST_WRAPPED = 8192
"""Characters that are wrapped at most; what is longer ends with `…`."""


def safe(text: str, limit: int | None = None, *, keep: str = "") -> str:
    """`text` with every character visible and harmless (see `finetui_core.text.visible`).

    With `limit`, the result is at most that many cells wide and a cut shows as `…`.
    """
    if limit is None:
        return visible(text, keep=keep)
    return _cut(visible(beginning(text, limit + 1), keep=keep), limit)


def beginning(text: str, cells: int) -> str:
    """As much of `text`, which may be of any length, as can be seen in so many cells, and perhaps more."""
    return text[: max(0, cells) * (2 * MAX_COMBINING)]


def _cut(text: str, limit: int) -> str:
    if cell_len(text) <= limit:
        return text
    if limit <= 0:
        return ""
    end = min(len(text), limit - 1)
    while end and cell_len(text[:end]) > limit - 1:
        end -= 1
    while end < len(text) and cell_len(text[: end + 1]) <= limit - 1:
        end += 1
    return text[:end] + "…"


def content(text: str) -> Content:
    """`text` for a Textual widget: safe, and literal where a plain str would be read as markup."""
    return Content(safe(text))


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Make safe `text` exactly `width` cells wide, against the left or the `right` edge."""
    shown = safe(text, width)
    space = " " * (width - cell_len(shown))
    return space + shown if right else shown + space


def wrapped(text: str, width: int) -> list[str]:
    """Break `text`, made safe, at spaces, and words that are too long anywhere, into lines of `width` cells."""
    lines, line = [], ""
    shown = text if len(text) <= MOST_WRAPPED else f"{text[:MOST_WRAPPED]}…"
    for word in safe(shown).split(" "):
        if cell_len(line) + 1 + cell_len(word) <= width or (not line and cell_len(word) <= width):
            line = f"{line} {word}" if line else word
            continue
        lines += [line] if line else []
        *whole, line = chop_cells(word, max(2, width)) or [""]
        lines += whole
    return [*lines, line]
