"""Typing and moving in a text: functions of the text and an offset. A line break of two characters counts as one."""

import re

_WORD = re.compile(r"[\w.-]+")


def left(text: str, at: int) -> int:
    """One character to the left."""
    return max(0, at - (2 if text[at - 2 : at] == "\r\n" and at > 1 else 1))


def right(text: str, at: int) -> int:
    return min(len(text), at + (2 if text[at : at + 2] == "\r\n" else 1))


def word_left(text: str, at: int) -> int:
    """To the start of the word before."""
    starts = [match.start() for match in _WORD.finditer(text, line_start(text, left(text, at)), at)]
    return starts[-1] if starts else left(text, at)


def word_right(text: str, at: int) -> int:
    """Behind the next word."""
    found = _WORD.search(text, at)
    return found.end() if found else len(text)


def line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def line_end(text: str, at: int) -> int:
    """The end of the line, before its line break."""
    found = text.find("\n", at)
    end = len(text) if found < 0 else found
    return end - 1 if found >= 0 and end > at and text[end - 1] == "\r" else end


def down(text: str, at: int, lines: int, column: int | None = None) -> int:
    """So many lines further down (or up), at the same column or at `column`."""
    wanted = at - line_start(text, at) if column is None else column
    start = line_start(text, at)
    for _ in range(abs(lines)):
        if lines > 0:
            found = text.find("\n", start)
            if found < 0:
                break
            start = found + 1
        elif start == 0:
            break
        else:
            start = line_start(text, start - 1)
    return min(start + wanted, line_end(text, start))


def inserted(text: str, at: int, what: str) -> tuple[str, int]:
    """The text with `what` put in, and the offset behind that."""
    return text[:at] + what + text[at:], at + len(what)


def without(text: str, start: int, end: int) -> tuple[str, int]:
    """The text without what is between two offsets, and the offset where it was."""
    return text[:start] + text[end:], start


def place_of(text: str, at: int) -> tuple[int, int]:
    """Line and column of an offset, both from 0."""
    return text.count("\n", 0, at), at - line_start(text, at)


def offset_of(text: str, line: int, column: int) -> int:
    """The offset of a line and column from 0, or the nearest one that there is."""
    start = 0
    for _ in range(line):
        found = text.find("\n", start)
        if found < 0:
            break
        start = found + 1
    return min(start + column, line_end(text, start))
