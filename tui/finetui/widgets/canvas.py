"""A grid of braille characters that is drawn on dot by dot: each holds 2x4 dots."""

Span = tuple[str, str]
"""A piece of text and the name of its style."""
Row = tuple[Span, ...]

_DOT_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


class Canvas:
    """`width` times `height` characters. Dots are counted from the left and from the top."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._bits = [[0] * width for _ in range(height)]
        self._glyphs = [[""] * width for _ in range(height)]
        self._styles = [[""] * width for _ in range(height)]

    def dot(self, x: int, y: int, style: str) -> None:
        """Set a dot; a mark that stands there keeps its own style."""
        column, row = x // 2, y // 4
        self._bits[row][column] |= _DOT_BITS[y % 4][x % 2]
        if not self._glyphs[row][column]:
            self._styles[row][column] = style

    def mark(self, x: int, y: int, glyph: str, style: str) -> None:
        """Put `glyph` over the character that has this dot."""
        self._glyphs[y // 4][x // 2] = glyph
        self._styles[y // 4][x // 2] = style

    def line(self, start: tuple[int, int], end: tuple[int, int], style: str) -> None:
        """Set the dots of a straight line, both ends included."""
        (x0, y0), (x1, y1) = start, end
        steps = max(abs(x1 - x0), abs(y1 - y0))
        for index in range(steps + 1):
            share = index / steps if steps else 0.0
            self.dot(round(x0 + (x1 - x0) * share), round(y0 + (y1 - y0) * share), style)

    def upright(self, x: int, style: str) -> None:
        """A thin line from top to bottom where nothing else is drawn."""
        for bits, glyphs, styles in zip(self._bits, self._glyphs, self._styles, strict=True):
            if not bits[x // 2] and not glyphs[x // 2]:
                glyphs[x // 2], styles[x // 2] = "│", style

    def row(self, index: int) -> Row:
        """One line of characters. Blanks take the style before them: each change of style costs bytes."""
        spans: list[Span] = []
        for bits, glyph, style in zip(
            self._bits[index], self._glyphs[index], self._styles[index], strict=True
        ):
            text = glyph or (chr(0x2800 + bits) if bits else " ")
            if spans and (style == spans[-1][1] or text == " "):
                spans[-1] = (spans[-1][0] + text, spans[-1][1])
            else:
                spans.append((text, style))
        return tuple(spans)
