"""`ftui data ACTION …`: check, mend, undo, split, convert and edit data sets."""

import argparse
from importlib import import_module

ACTIONS = {
    "check": "say what is wrong with data sets, and what mends it",
    "show": "show one row as it is trained on, token by token",
    "fix": "mend what is wrong with a data set, into a new file",
    "undo": "give back the file that a mended one was made from",
    "split": "divide a file into training and validation rows",
    "convert": "write a file in another layout",
    "edit": "edit one row in your editor, into a new file",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, summary in ACTIONS.items():
        action = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
        import_module(f"finetui_core.cli.data_{name}").add_arguments(action)


def run(options: argparse.Namespace) -> int:
    code: int = import_module(f"finetui_core.cli.data_{options.action}").run(options)
    return code
