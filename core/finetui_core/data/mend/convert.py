"""A whole file written in another layout."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from finetui_core.data.conversation import Conversation, Row
from finetui_core.data.export import (
    Exported,
    exporter,
    is_one_turn,
    openai_faults,
    other_keys,
    pair_of_strings,
)
from finetui_core.data.formats import CONVERTERS
from finetui_core.data.mend.apply import encoded
from finetui_core.data.mend.new_files import mode_of, new_files, refuse_taken
from finetui_core.data.mend.source import SourceRow, is_json_lines, layout_of, source_rows
from finetui_core.data.readers import HUB_PREFIX
from finetui_core.errors import InputError, Problem

_SHOWN = 5


@dataclass(slots=True)
class Loss:
    """Something that the layout cannot hold: how often, and the first lines. `rows_left_out` where whole rows go."""

    what: str
    rows_left_out: int = 0
    count: int = 0
    lines: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Converted:
    """What became of a file. `faults` are what the provider may refuse."""

    layout: str
    rows: int = 0
    losses: dict[str, Loss] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def convert(source: str, to: str, result: Path, *, lossy: bool = False) -> Converted:
    """Write the rows of `source` in the layout `to` as JSONL.

    Raises InputError where a row cannot be read, or where something would be lost and that was not asked for
    (`lossy`); nothing is written then.
    """
    refuse_taken([result])
    json_lines = is_json_lines(source)
    layout = layout_of(source, json_lines=json_lines)
    done = Converted(layout)
    export = exporter(to)
    if to == "prompt_completion" and all(is_one_turn(row) for _, row in _rows(source, layout, json_lines)):
        export = _as_strings
    ends_otherwise: list[int] = []
    mode = 0o600 if source.startswith(HUB_PREFIX) else mode_of(Path(source))
    with new_files([result], [mode]) as (file,):
        for item, row in _rows(source, layout, json_lines):
            made = export(row)
            others = other_keys(item.value or {})
            if others and to == "openai":
                made = Exported(made.value, (*made.lost, f"other keys: {', '.join(others)}"))
                others = {}
            for what in made.lost:
                _note(done, what, item.line, is_row=made.value is None)
            if made.value is None:
                continue
            if isinstance(row, Conversation) and row.messages[-1].role != "assistant":
                ends_otherwise.append(item.line)
            file.write(encoded({**made.value, **others}, b"\n"))
            done.rows += 1
        if to == "openai":
            done.faults = openai_faults(done.rows, file.tell(), ends_otherwise)
        if done.losses and not lossy:
            raise InputError([_said(loss, to, source) for loss in done.losses.values()])
        if not done.rows:
            raise InputError(Problem(f"no row can be told in the layout {to}", source))
    return done


def _rows(source: str, layout: str, json_lines: bool) -> Iterator[tuple[SourceRow, Row]]:
    """Every row with its place. Raises InputError at the first that cannot be read."""
    for item in source_rows(source, json_lines=json_lines):
        if item.row < 0:
            continue
        row = item.problem if item.value is None else CONVERTERS[layout](item.value, item.place(source))
        if row is None or isinstance(row, Problem):
            hint = f"Mend the file first: ftui data fix {source} -o mended.jsonl"
            fault = row or Problem("the row cannot be read", item.place(source))
            raise InputError(Problem(fault.what, fault.where, hint))
        yield item, row


def _as_strings(row: Row) -> Exported:
    assert isinstance(row, Conversation)
    return Exported(pair_of_strings(row), ())


def _note(done: Converted, what: str, line: int, *, is_row: bool) -> None:
    loss = done.losses.setdefault(what, Loss(what))
    loss.count += 1
    loss.rows_left_out += is_row
    if len(loss.lines) < _SHOWN:
        loss.lines.append(line)


def _said(loss: Loss, to: str, source: str) -> Problem:
    lines = ", ".join(str(line) for line in loss.lines)
    rows = "these rows would be left out" if loss.rows_left_out else "they would be left out"
    return Problem(
        f"{to} cannot hold: {loss.what} ({loss.count:,} rows; lines {lines}); {rows}",
        source,
        "Add --lossy to leave it out, or choose another layout: messages holds everything.",
    )
