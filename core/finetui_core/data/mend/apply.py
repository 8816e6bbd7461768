"""A plan carried out: the mended file, its manifest and its undo file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from finetui_core.data.mend.manifest import Recorder, recorded
from finetui_core.data.mend.new_files import refuse_taken
from finetui_core.data.mend.plan import CHANGE, COPY, Plan
from finetui_core.data.mend.rows import mend_row
from finetui_core.data.mend.source import SourceRow, source_rows
from finetui_core.errors import InputError, Problem


def apply(plan: Plan, result: Path) -> None:
    """Write the mended file. Rows that need no mending are copied byte for byte; what was no JSONL becomes it.

    Raises InputError, and writes nothing, where the source is no longer the one that was looked at.
    """
    refuse_taken([result])
    source = Path(plan.source)
    options = {"mends": dict(plan.choice.mends), "keep": plan.choice.keep, "val": plan.choice.val}
    with recorded(source, result, options) as writer, source.open("rb") as again:
        if not plan.json_lines:
            writer.whole_source(again)
        for item in source_rows(plan.source, json_lines=plan.json_lines):
            if item.row < 0:
                writer.copy(item.raw, is_row=False)
                continue
            if item.row >= plan.rows:
                raise InputError(_changed(plan))
            at = writer.source_bytes + len(item.raw)
            _carry_out(item, plan, writer)
            if item.rest:
                writer.more(_range(again, at, item.rest), is_copied=plan.fates[item.row] == COPY)
        if writer.source_digest.hexdigest() != plan.sha256:
            raise InputError(_changed(plan))


def _changed(plan: Plan) -> Problem:
    hint = "Look again once nothing writes to it."
    return Problem("the file has changed since it was looked at", plan.source, hint)


def _carry_out(item: SourceRow, plan: Plan, writer: Recorder) -> None:
    place = {"row": item.row, "line": item.line}
    fate = plan.fates[item.row]
    if fate == COPY:
        if plan.json_lines:
            writer.copy(item.raw)
        else:
            writer.replace(b"", encoded(item.value, b"\n"), [])
    elif fate == CHANGE:
        mended = mend_row(item.value, plan.layout, item.place(plan.source), plan.choice)
        changes = [{**place, "rule": rule, "did": plan.choice.mends[rule]} for rule in mended.done]
        ending = item.raw[len(item.raw.rstrip(b"\r\n")) :] if plan.json_lines else b"\n"
        writer.replace(item.raw, encoded(mended.value, ending), changes)
    else:
        rule = plan.rule_of(item.row)
        other = {"other": plan.others[item.row]} if item.row in plan.others else {}
        writer.drop(item.raw, {**place, "rule": rule, "did": "drop", **other})


def _range(file: BinaryIO, begin: int, length: int) -> Iterator[bytes]:
    file.seek(begin)
    while length and (piece := file.read(min(length, 1 << 20))):
        length -= len(piece)
        yield piece


def encoded(value: Any, ending: bytes) -> bytes:
    """A row as one line of JSON. What JSON has no form for (dates, bytes of a table) becomes its text."""
    return msgspec.json.encode(value, enc_hook=str) + ending
