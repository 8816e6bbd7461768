"""Where each key and value of a TOML text stands, so that a fault can name its line and column.

The text must already have been accepted by `tomli`: this scanner finds places and judges nothing.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, field

import tomli

KeyPath = tuple[str | int, ...]
Place = tuple[int, int]
"""Line and column, both from 1, counted in characters."""

_BLANK = re.compile(r"[ \t]*")
_FILLER = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_KEY_PART = re.compile(r"[A-Za-z0-9_-]+|\"(?:\\.|[^\"\\])*\"|'[^']*'")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:\\.|[^"\\])*"' r"|'[^']*'",
    re.DOTALL,
)
_OTHER_SCALAR = re.compile(r"[^\n,\]}#]+")


@dataclass(frozen=True, slots=True)
class Pair:
    """The offsets of one `key = value`: where the key starts, where the value starts, and where it ends."""

    key: int
    value: int
    end: int


@dataclass(frozen=True, slots=True)
class Positions:
    """Places by path, such as ("train", "learning_rate"); a list's elements are numbered from 0.

    `keys` has the first place where a name is written, in a header or before "="; `values` the start of
    what follows "=", and of each list element. A table has no entry in `values` unless written inline.
    `pairs` has the offsets of each `key = value`, `headers` the offset behind each `[table]`.
    """

    keys: dict[KeyPath, Place]
    values: dict[KeyPath, Place]
    pairs: dict[KeyPath, Pair]
    headers: dict[KeyPath, int]


@dataclass(slots=True)
class _Found:
    text: str
    line_starts: list[int]
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    values: dict[KeyPath, Place] = field(default_factory=dict)
    pairs: dict[KeyPath, Pair] = field(default_factory=dict)
    headers: dict[KeyPath, int] = field(default_factory=dict)
    list_lengths: dict[KeyPath, int] = field(default_factory=dict)

    def place(self, offset: int) -> Place:
        line = bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1


def find_positions(text: str) -> Positions:
    """Scan a valid TOML text once, in time proportional to its length.

    Raises RecursionError where inline values are nested far beyond what a recipe holds.
    """
    found = _Found(text, [0, *(match.end() for match in re.finditer("\n", text))])
    table: KeyPath = ()
    offset = _end(_FILLER, text, 0)
    while offset < len(text):
        if text[offset] == "[":
            table, offset = _scan_header(found, offset)
        else:
            offset = _scan_pair(found, offset, table)
        offset = _end(_FILLER, text, offset)
    return Positions(found.keys, found.values, found.pairs, found.headers)


def _end(pattern: re.Pattern[str], text: str, offset: int) -> int:
    match = pattern.match(text, offset)
    return match.end() if match else offset


def _scan_header(found: _Found, offset: int) -> tuple[KeyPath, int]:
    is_list = found.text.startswith("[[", offset)
    parts, offset = _scan_key(found.text, offset + (2 if is_list else 1))
    path: KeyPath = ()
    for index, (name, start) in enumerate(parts):
        path = (*path, name)
        found.keys.setdefault(path, found.place(start))
        if is_list and index == len(parts) - 1:
            found.list_lengths[path] = found.list_lengths.get(path, 0) + 1
        if path in found.list_lengths:
            path = (*path, found.list_lengths[path] - 1)
    end = offset + (2 if is_list else 1)
    found.headers.setdefault(path, end)
    return path, end


def _scan_pair(found: _Found, offset: int, table: KeyPath) -> int:
    """Scan `key = value`; returns the offset behind the value."""
    parts, offset = _scan_key(found.text, offset)
    path = table
    for name, start in parts:
        path = (*path, name)
        found.keys.setdefault(path, found.place(start))
    value = _end(_BLANK, found.text, offset + 1)
    end = _scan_value(found, value, path)
    written = len(found.text[value:end].rstrip(" \t\r"))
    found.pairs.setdefault(path, Pair(parts[0][1], value, value + written))
    return end


def _scan_key(text: str, offset: int) -> tuple[list[tuple[str, int]], int]:
    """Scan a dotted key; returns each part with its start, and the offset of what ends the key."""
    parts = []
    while True:
        start = _end(_BLANK, text, offset)
        stop = _end(_KEY_PART, text, start)
        written = text[start:stop]
        name = tomli.loads(f"name = {written}")["name"] if written[:1] in ("'", '"') else written
        parts.append((name, start))
        offset = _end(_BLANK, text, stop)
        if text[offset : offset + 1] != ".":
            return parts, offset
        offset += 1


def _scan_value(found: _Found, offset: int, path: KeyPath) -> int:
    found.values.setdefault(path, found.place(offset))
    opening = found.text[offset]
    if opening == "[":
        return _scan_list(found, offset, path)
    if opening == "{":
        return _scan_inline_table(found, offset, path)
    return _end(_STRING if opening in ("'", '"') else _OTHER_SCALAR, found.text, offset)


def _scan_list(found: _Found, offset: int, path: KeyPath) -> int:
    offset = _end(_FILLER, found.text, offset + 1)
    index = 0
    while found.text[offset] != "]":
        offset = _end(_FILLER, found.text, _scan_value(found, offset, (*path, index)))
        index += 1
        if found.text[offset] == ",":
            offset = _end(_FILLER, found.text, offset + 1)
    return offset + 1


def _scan_inline_table(found: _Found, offset: int, path: KeyPath) -> int:
    offset = _end(_FILLER, found.text, offset + 1)
    while found.text[offset] != "}":
        offset = _end(_FILLER, found.text, _scan_pair(found, offset, path))
        if found.text[offset] == ",":
            offset = _end(_FILLER, found.text, offset + 1)
    return offset + 1
