"""A data source → typed rows and everything that is wrong with it."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

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
_NAMED = 100


def load(source: str, format: str = "auto") -> Loaded:
    """Read a whole source; `format` is a layout's name, or "auto" to recognise it from the first rows.

    Raises InputError where the file is unusable, holds no rows, or fits no known layout. Faulty rows do not
    raise.
    """
    raw: list[RawRow] = []
    places: list[int] = []
    rejected: list[Problem] = []
    for place, row in enumerate(read_rows(source)):
        if isinstance(row, Problem):
            rejected.append(row)
            if len(rejected) == MOST_UNREAD and not raw:
                break
        else:
            raw.append(row)
            places.append(place)
    if not raw:
        raise InputError(
            rejected[:_NAMED]
            or Problem("there are no rows", source, "Check that whatever wrote it has finished.")
        )
    layout = sniff([row.value for row in raw[:100]], source) if format == "auto" else format
    convert = CONVERTERS[layout]
    rows: list[Row] = []
    numbers: list[int] = []
    for place, item in zip(places, raw, strict=True):
        converted = convert(item.value, f"{source}:{item.number}")
        if isinstance(converted, Problem):
            rejected.append(converted)
        else:
            rows.append(converted)
            numbers.append(place)
    return Loaded(tuple(rows), tuple(numbers), tuple(rejected), layout, _fingerprint(source, raw))


def _fingerprint(source: str, raw: Iterable[RawRow]) -> str:
    if not source.startswith(HUB_PREFIX):
        with Path(source).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for row in raw:
        digest.update(msgspec.json.encode(row.value, enc_hook=repr) + b"\n")
    return digest.hexdigest()
