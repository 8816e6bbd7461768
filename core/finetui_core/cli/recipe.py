"""`ftui recipe ACTION …`: write, check, show, compare and edit recipes."""

import argparse
from importlib import import_module

ACTIONS = {
    "import": "make a recipe from a config of TRL, axolotl or LLaMA-Factory",
    "export": "make a config of TRL or axolotl from a recipe",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, summary in ACTIONS.items():
        action = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
        import_module(f"finetui_core.cli.recipe_{name}").add_arguments(action)


def run(options: argparse.Namespace) -> int:
    code: int = import_module(f"finetui_core.cli.recipe_{options.action}").run(options)
    return code
