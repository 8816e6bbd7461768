"""Styled text of any length → lines of a width."""

import re
from collections.abc import Iterable

from rich.cells import cell_len, chop_cells

from finetui.text import safe
from finetui.widgets.plot import Row, Span

_PIECES = re.compile(r"\n|[^\S\n]+|\S+")


def wrap_spans(spans: Iterable[Span], width: int) -> list[Row]:
    """Break spans at spaces, words that are too long anywhere, and at each line break."""
    width = max(2, width)
    rows: list[Row] = []
    row: list[Span] = []
    used = 0
    for text, style in spans:
        for piece in _PIECES.findall(safe(text, keep="\n")):
            if piece == "\n":
                rows.append(tuple(row))
                row, used = [], 0
                continue
            if used + cell_len(piece) > width and used:
                rows.append(tuple(row))
                row, used = [], 0
                if piece.isspace():
                    continue
            *whole, piece = chop_cells(piece, width) or [""]
            rows += [((part, style),) for part in whole]
            if piece:
                row.append((piece, style))
                used += cell_len(piece)
    return [*rows, tuple(row)]
