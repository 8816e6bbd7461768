"""A data source → typed rows and everything that is wrong with it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from finetui_core.data.conversation import Row
from finetui_core.data.formats import CONVERTERS, sniff
from finetui_core.data.readers import HUB_PREFIX, RawRow, read_rows
from finetui_core.errors import InputError, Problem


@dataclass(frozen=True, slots=True)
class Loaded:
    """The rows of one source, in order, and the faults of those that were refused.

    `numbers` are the places of the rows in the source, from 0, those that were refused counted. `sha256` is
    that of the file's bytes, as sha256sum prints it; for a hub data set, of its rows written as JSON lines.
    """

    rows: tuple[Row, ...]
    numbers: tuple[int, ...]
    rejected: tuple[Problem, ...]
    format: str
    sha256: str


MOST_UNREAD = 10_000
"""Rows at the start of a file of which none can be read: then the others are not looked at."""
_NAMED = _SNIFFED = 100


class RowStream:
    """The rows of one source, read and converted as they are asked for, so that none has to stay in memory.

    `layout` is known at once. Going through it gives (place, row or its fault); `sha256` is known at its end.
    """

    def __init__(self, source: str, format: str = "auto") -> None:
        """`format` is a layout's name, or "auto" to recognise it from the first rows.

        Raises InputError where the file is unusable, holds no rows, or fits no known layout.
        """
        self.source = source
        self._read = enumerate(read_rows(source))
        self._head: list[tuple[int, RawRow | Problem]] = []
        values: list[dict[str, Any]] = []
        for place, row in self._read:
            self._head.append((place, row))
            if not isinstance(row, Problem):
                values.append(row.value)
            if len(values) == _SNIFFED or (not values and len(self._head) == MOST_UNREAD):
                break
        if not values:
            faults = [row for _, row in self._head[:_NAMED] if isinstance(row, Problem)]
            nothing = Problem("there are no rows", source, "Check that whatever wrote it has finished.")
            raise InputError(faults or nothing)
        self.layout = sniff(values, source) if format == "auto" else format
        self._digest = hashlib.sha256()

    def __iter__(self) -> Iterator[tuple[int, Row | Problem]]:
        """Each row in order; faulty rows do not raise. Can be gone through once."""
        convert, is_of_hub = CONVERTERS[self.layout], self.source.startswith(HUB_PREFIX)
        for place, row in chain(self._head, self._read):
            if isinstance(row, Problem):
                yield place, row
                continue
            if is_of_hub:
                self._digest.update(msgspec.json.encode(row.value, enc_hook=repr) + b"\n")
            yield place, convert(row.value, f"{self.source}:{row.number}")

    @property
    def sha256(self) -> str:
        """See `Loaded`."""
        return self._digest.hexdigest() if self.source.startswith(HUB_PREFIX) else file_sha256(self.source)


def load(source: str, format: str = "auto") -> Loaded:
    """Read a whole source; see `RowStream`, which raises what this does. Faulty rows do not raise."""
    stream = RowStream(source, format)
    rows: list[Row] = []
    numbers: list[int] = []
    rejected: list[Problem] = []
    for place, row in stream:
        if isinstance(row, Problem):
            rejected.append(row)
        else:
            rows.append(row)
            numbers.append(place)
    return Loaded(tuple(rows), tuple(numbers), tuple(rejected), stream.layout, stream.sha256)


def file_sha256(path: str) -> str:
    """As sha256sum prints it. Raises OSError."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
