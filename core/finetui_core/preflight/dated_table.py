"""Tables of figures that change with time: TOML that ships with a date, and the user's own rows before it."""

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetui_core.errors import InputError
from finetui_core.toml_file import Fault, TomlFile, nearest, placed, read_toml, shown

STALE_AFTER = datetime.timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Field:
    """What one key of a row may be: "text", "texts", "number" (not negative), "switch" or "date"."""

    kind: str
    required: bool = False


Fields = Mapping[str, Field]


@dataclass(frozen=True, slots=True)
class DatedTable:
    """The rows of a file by their kind, and the day on which they were looked up; None where the file has none."""

    path: Path
    as_of: datetime.date | None
    rows: Mapping[str, tuple[Mapping[str, Any], ...]]


def read_table(path: Path, kinds: Mapping[str, Fields]) -> DatedTable:
    """Read and check a table. `kinds` gives the fields of a row of each `[[kind]]`.

    Raises InputError with every fault by line and column.
    """
    file = read_toml(path)
    faults = list(_faults(file, kinds))
    if faults:
        raise InputError(placed(file, faults))
    return DatedTable(
        path, file.values.get("as_of"), {kind: tuple(file.values.get(kind, ())) for kind in kinds}
    )


def is_stale(as_of: datetime.date | None, today: datetime.date) -> bool:
    """Whether figures are older than 90 days."""
    return as_of is not None and today - as_of > STALE_AFTER


def _faults(file: TomlFile, kinds: Mapping[str, Fields]) -> Iterator[Fault]:
    for name, value in file.values.items():
        if name == "as_of":
            if not _is(value, "date"):
                yield Fault((name,), f"as_of must be a date, not {shown(value)}", "write as_of = 2026-11-24")
        elif name not in kinds:
            yield Fault((name,), f"unknown table {shown(name)}", nearest(name, kinds), at_key=True)
        elif not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            yield Fault((name,), f"{name} must be rows, each begun by [[{name}]]", at_key=True)
        else:
            for place, row in enumerate(value):
                yield from _row_faults((name, place), row, kinds[name])


def _row_faults(path: tuple[str, int], row: Mapping[str, Any], fields: Fields) -> Iterator[Fault]:
    for name, value in row.items():
        if name not in fields:
            yield Fault((*path, name), f"unknown key {shown(name)}", nearest(name, fields), at_key=True)
        elif not _is(value, fields[name].kind):
            yield Fault((*path, name), f"{name} must be {_WORDS[fields[name].kind]}, not {shown(value)}")
    for name, about in fields.items():
        if about.required and name not in row:
            first = (*path, next(iter(row))) if row else path
            yield Fault(first, f"this row of [[{path[0]}]] lacks {name}", f"add {name} = …", at_key=True)


_WORDS = {
    "text": "text",
    "texts": "a list of text",
    "number": "a number of at least 0",
    "switch": "true or false",
    "date": "a date such as 2026-11-24",
}


def _is(value: object, kind: str) -> bool:
    if kind == "text":
        return isinstance(value, str) and bool(value.strip())
    if kind == "texts":
        return isinstance(value, list) and all(_is(one, "text") for one in value)
    if kind == "switch":
        return isinstance(value, bool)
    if kind == "date":
        return isinstance(value, datetime.date) and not isinstance(value, datetime.datetime)
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
