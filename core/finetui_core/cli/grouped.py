"""Commands that are groups of actions, such as `ftui data check`: one module each, loaded when it is named."""

import argparse
from collections.abc import Mapping
from importlib import import_module


def add_actions(parser: argparse.ArgumentParser, group: str, actions: Mapping[str, str]) -> None:
    """Give `parser` the actions of `group`, each with its summary; `GROUP_ACTION.py` adds the arguments."""
    subparsers = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, summary in actions.items():
        action = subparsers.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
        import_module(f"finetui_core.cli.{group}_{name}").add_arguments(action)


def run_action(group: str, options: argparse.Namespace) -> int:
    """Run the action that `options` name; the exit code."""
    code: int = import_module(f"finetui_core.cli.{group}_{options.action}").run(options)
    return code
