"""`ftui data split FILE`: training and validation rows, so that no prompt is on both sides."""

import argparse
from pathlib import Path

import msgspec

from finetui_core.cli.say import data_json, talk
from finetui_core.data.mend.split_file import PROMPT, split_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the data set; it is never changed")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        nargs=2,
        required=True,
        metavar=("TRAIN", "VAL"),
        help="the two new files",
    )
    parser.add_argument(
        "--val-fraction",
        type=_share,
        required=True,
        metavar="F",
        help="share of the rows kept apart, such as 0.1",
    )
    parser.add_argument(
        "--by",
        default=PROMPT,
        metavar="KEY",
        help="what keeps rows together: prompt (the default), or a key of the rows, such as metadata.customer",
    )
    parser.add_argument(
        "--near", action="store_true", help="keep rows that are almost the same together as well"
    )
    parser.add_argument(
        "--seed", type=int, default=42, metavar="N", help="another number, another choice (default: 42)"
    )
    parser.add_argument("--json", action="store_true", help="print the counts as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    train, val = options.output
    done = split_file(
        options.file, options.val_fraction, train, val, by=options.by, seed=options.seed, near=options.near
    )
    if options.json:
        data_json({"schema": 1, **msgspec.to_builtins(done), "train": str(train), "val": str(val)})
    else:
        talk(
            f"{done.train_rows:,} rows in {train}, {done.val_rows:,} in {val}; "
            f"none of the {done.groups:,} groups is on both sides."
        )
    return 0


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value
