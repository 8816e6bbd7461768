"""What `ftui recipe import` and `export` have in common: options, the three lists, writing a new file only."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from finetui_core.cli.say import data, talk
from finetui_core.errors import InputError, Problem
from finetui_core.files import fsync_folder
from finetui_core.recipe.exchange.conversion import Carried, Differs, Left, show_value
from finetui_core.recipe.wording import printable


def add_output(parser: argparse.ArgumentParser, made: str) -> None:
    """Add the options that say where `made`, a recipe or a config, goes."""
    parser.add_argument(
        "-o", "--output", type=Path, metavar="NEW", help=f"the new {made}; without it, it goes to stdout"
    )
    parser.add_argument(
        "--json", action="store_true", help=f"print the {made} and the three lists as JSON on stdout"
    )


def tell_result(output: Path | None, text: str) -> None:
    """Say where the new file is; where there is none, print its text."""
    if output:
        talk(f"\nWritten to {output}.")
    else:
        talk()
        data(text.rstrip("\n"))


def report(carried: Sequence[Carried], left: Sequence[Left], differs: Sequence[Differs]) -> None:
    """The three lists, on stderr."""
    talk(f"\nCarried over ({len(carried)}):")
    for one in carried:
        note = f" ({one.note})" if one.note else ""
        talk(f"  {_place(one.line)}{one.key} → {one.option} = {show_value(one.value)}{note}")
    talk(f"\nNot carried over ({len(left)}):")
    for lost in left:
        talk(f"  {_place(lost.line)}{lost.key}: {lost.why}")
    talk(f"\nDefaults that differ ({len(differs)}):")
    for other in differs:
        written = " (theirs is written out)" if other.written else ""
        talk(f"  {other.option}: there {other.theirs}; here {other.ours}{written}")


def _place(line: int) -> str:
    return f"line {line}: " if line else ""


def refuse_existing(path: Path | None) -> None:
    if path is not None and os.path.lexists(path):
        raise InputError(Problem("this file exists already", printable(path), "give -o another name"))


def write_new(path: Path, text: str) -> None:
    """Write a file that did not exist, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with temporary.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # unlike a rename, it never replaces a file made in the meantime
        fsync_folder(path.parent)
    except FileExistsError:
        refuse_existing(path)
        raise
    except OSError as fault:
        what = f"the file cannot be written: {fault.strerror}"
        raise InputError(Problem(what, printable(path), "check the folder and its free space")) from fault
    finally:
        temporary.unlink(missing_ok=True)
