"""`ftui data convert FILE --to LAYOUT -o NEW`: the same rows in another layout."""

import argparse
from pathlib import Path

import msgspec

from finetui_core.cli.say import data_json, talk
from finetui_core.data.export import LAYOUTS
from finetui_core.data.mend.convert import convert


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the data set; it is never changed")
    parser.add_argument(
        "--to", choices=LAYOUTS, required=True, help="the layout; openai is messages as OpenAI takes it"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="NEW", help="the new file, as JSONL"
    )
    parser.add_argument(
        "--lossy", action="store_true", help="leave out what the layout cannot hold, and say what"
    )
    parser.add_argument("--json", action="store_true", help="print the counts and losses as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    done = convert(options.file, options.to, options.output, lossy=options.lossy)
    if options.json:
        data_json({"schema": 1, "to": options.to, "result": str(options.output), **msgspec.to_builtins(done)})
        return 0
    talk(f"{done.rows:,} rows written to {options.output}: {done.layout} → {options.to}.")
    for loss in done.losses.values():
        rows = (
            f"{loss.rows_left_out:,} rows left out"
            if loss.rows_left_out
            else f"left out of {loss.count:,} rows"
        )
        talk(f"{loss.what}: {rows} (lines {', '.join(map(str, loss.lines))})")
    for fault in done.faults:
        talk(f"OpenAI may refuse this file: {fault}")
    return 0
