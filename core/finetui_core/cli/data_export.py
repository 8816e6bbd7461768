"""`ftui data export FILE --to openai`: chat rows as a hosted platform takes them, or all it would refuse."""

import argparse
import sys
from pathlib import Path

from finetui_core.cli.say import data_json, talk
from finetui_core.data.chat_limits import (
    MOST_TOKENS,
    ChatFile,
    check_chat_file,
    refuse_faults,
    write_chat_file,
)
from finetui_core.data.mend.new_files import mode_of, new_files, refuse_taken
from finetui_core.data.readers import HUB_PREFIX
from finetui_core.errors import InputError, Problem


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the data set; it is never changed")
    parser.add_argument(
        "--to", choices=("openai",), required=True, help="the platform whose limits are checked"
    )
    parser.add_argument(
        "-o", "--out", type=Path, metavar="NEW", help="the new file; without it, the rows go to stdout"
    )
    add_max_tokens(parser)
    parser.add_argument("--json", action="store_true", help="print the counts as JSON on stdout; needs --out")


def add_max_tokens(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-tokens",
        type=int,
        default=MOST_TOKENS,
        metavar="N",
        help=f"the longest row that the model takes, in tokens ({MOST_TOKENS})",
    )


def run(options: argparse.Namespace) -> int:
    if options.json and options.out is None:
        raise InputError(
            Problem("the rows would go to stdout, where the JSON goes", "--json", "Name a file: --out")
        )
    if options.out is not None:
        refuse_taken([options.out])
    found = check_chat_file(options.file, options.max_tokens)
    refuse_faults(options.file, found)
    if options.out is None:
        write_chat_file(options.file, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        mode = 0o600 if options.file.startswith(HUB_PREFIX) else mode_of(Path(options.file))
        with new_files([options.out], [mode]) as (file,):
            write_chat_file(options.file, file)
    if options.json:
        few, usual, many = found.tokens
        facts = {
            "rows": found.rows,
            "bytes": found.size,
            "learned_turns": found.learned,
            "left_out": found.left_out,
        }
        tokens = {"few": few, "usual": usual, "many": many}
        data_json({"schema": 1, "to": options.to, "result": str(options.out), **facts, "tokens": tokens})
    else:
        talk(said(found))
        if options.out is not None:
            talk(f"Written to {options.out}.")
    return 0


def said(found: ChatFile) -> str:
    """What the file is, in a sentence or two."""
    few, usual, many = found.tokens
    lines = [
        f"{found.rows:,} rows, {found.learned:,} turns to learn, {found.size / 1e6:,.2f} MB, about {usual:,} tokens "
        f"an epoch ({few:,} to {many:,}: the tokenizer is the provider's own)."
    ]
    if found.left_out:
        keys = ", ".join(f"{key} ({rows:,} rows)" for key, rows in found.left_out.items())
        lines.append(f"Left out, since the provider knows no such keys: {keys}.")
    return "\n".join(lines)
