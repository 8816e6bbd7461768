"""One row replaced by another."""

from pathlib import Path

import msgspec

from finetui_core.data.formats import CONVERTERS
from finetui_core.data.mend.apply import encoded
from finetui_core.data.mend.manifest import recorded
from finetui_core.data.mend.new_files import refuse_taken
from finetui_core.data.mend.source import (
    SourceRow,
    decode_text,
    is_json_lines,
    layout_of,
    regular_file,
    source_rows,
)
from finetui_core.errors import InputError, Problem


def row_text(source: str, row: int) -> str:
    """A row as JSON that a person can edit; where it is no JSON, the line as it stands."""
    regular_file(source)
    item = _row(source, row, json_lines=is_json_lines(source))
    if item.value is None:
        return item.raw.decode(errors="replace")
    return msgspec.json.format(msgspec.json.encode(item.value, enc_hook=str), indent=2).decode() + "\n"


def replace_row(source: str, row: int, text: str, result: Path, *, edited: str = "the new row") -> bool:
    """Write `source` with the row replaced by the JSON object `text` as `result`, with a manifest to undo it.

    `edited` names the text in faults (`file:line:column`). Rows count from 0. Returns False, and writes
    nothing, where the row stays the same. Raises InputError where the text is no row of the file's layout.
    """
    path = regular_file(source)
    refuse_taken([result])
    json_lines = is_json_lines(source)
    layout = layout_of(source, json_lines=json_lines)
    value = decode_text(text, edited)
    converted = CONVERTERS[layout](value, edited)
    if isinstance(converted, Problem):
        raise InputError(converted)
    if _row(source, row, json_lines=json_lines).value == value:
        return False
    with recorded(path, result, {"edited": row}) as writer, path.open("rb") as again:
        if not json_lines:
            writer.whole_source(again)
        for item in source_rows(source, json_lines=json_lines):
            if item.rest:
                hint = f"Drop it first: ftui data fix {source} --only unreadable_row -o NEW"
                raise InputError(Problem("a row is too long to be copied", item.place(source), hint))
            if item.row == row:
                ending = item.raw[len(item.raw.rstrip(b"\r\n")) :] if json_lines else b"\n"
                change = {"row": row, "line": item.line, "rule": "", "did": "edit"}
                writer.replace(item.raw, encoded(value, ending), [change])
            elif json_lines:
                writer.copy(item.raw, is_row=item.row >= 0)
            elif item.value is None:
                raise InputError(item.problem or Problem("the row cannot be read", item.place(source)))
            else:
                writer.replace(b"", encoded(item.value, b"\n"), [])
    return True


def _row(source: str, row: int, *, json_lines: bool) -> SourceRow:
    count = 0
    for item in source_rows(source, json_lines=json_lines):
        if item.row == row:
            return item
        count += item.row >= 0
    raise InputError(Problem(f"there is no row {row}", source, f"Rows are numbered from 0 to {count - 1}."))
