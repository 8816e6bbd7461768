"""`ftui data undo NEW.manifest.json`: the file that a mended one was made from, byte for byte."""

import argparse
from pathlib import Path

from finetui_core.cli.say import data_json, talk
from finetui_core.data.mend.manifest import read_head, undo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "manifest", type=Path, metavar="MANIFEST", help="the .manifest.json beside a mended file"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write it here, not where it was")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    path = undo(options.manifest, options.output)
    if options.json:
        data_json({"schema": 1, "path": str(path), "sha256": read_head(options.manifest).source_sha256})
    else:
        talk(f"{path} is as it was before, byte for byte. The mended file is still there.")
    return 0
