"""`ftui data ACTION …`: check, mend, undo, split, convert, export, edit and value data sets."""

import argparse

from finetui_core.cli.grouped import add_actions, run_action

ACTIONS = {
    "check": "say what is wrong with data sets, and what mends it",
    "show": "show one row as it is trained on, token by token",
    "fix": "mend what is wrong with a data set, into a new file",
    "undo": "give back the file that a mended one was made from",
    "split": "divide a file into training and validation rows",
    "convert": "write a file in another layout",
    "export": "write a file as a hosted platform takes it, or say all that it would refuse",
    "value": "say whether more rows are worth collecting, by training on parts of those there are",
    "edit": "edit one row in your editor, into a new file",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_actions(parser, "data", ACTIONS)


def run(options: argparse.Namespace) -> int:
    return run_action("data", options)
