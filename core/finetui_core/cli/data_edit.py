"""`ftui data edit FILE ROW -o NEW`: one row in the person's own editor."""

import argparse
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from finetui_core.cli.say import data_json, talk
from finetui_core.data.mend.edit import replace_row, row_text
from finetui_core.data.mend.manifest import manifest_path
from finetui_core.data.mend.new_files import refuse_taken
from finetui_core.errors import InputError, Problem

DONE, FAILED = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the data set; it is never changed")
    parser.add_argument("row", type=int, metavar="ROW", help="the row's number, from 0")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="NEW", help="the new file, as JSONL"
    )
    parser.add_argument("--json", action="store_true", help="print what was written as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    refuse_taken([options.output])
    text = row_text(options.file, options.row)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"row-{options.row}.json"
        path.touch(0o600)
        path.write_text(text, encoding="utf-8")
        if not _edited(path):
            talk("The editor ended with an error: nothing was written.")
            return FAILED
        try:
            new = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(Problem("the text is not UTF-8", path.name, "Nothing was written.")) from error
    changed = replace_row(options.file, options.row, new, options.output, edited=path.name)
    if options.json:
        data_json({"schema": 1, "row": options.row, "result": str(options.output) if changed else None})
    elif changed:
        talk(
            f"Row {options.row} is new in {options.output}. To undo: ftui data undo {manifest_path(options.output)}"
        )
    else:
        talk("The row is as it was: nothing was written.")
    return DONE


def _edited(path: Path) -> bool:
    """Run $VISUAL, or $EDITOR, or vi on a file; whether it ended well. Raises InputError where there is none."""
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        return subprocess.run([*shlex.split(command), str(path)], check=False).returncode == 0
    except (OSError, ValueError) as error:
        raise InputError(
            Problem(f"the editor cannot be started: {command}", "", "Set EDITOR to a program, such as nano.")
        ) from error
