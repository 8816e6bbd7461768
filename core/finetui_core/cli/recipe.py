"""`ftui recipe ACTION …`: write, check, show, compare and edit recipes."""

import argparse

from finetui_core.cli.grouped import add_actions, run_action

ACTIONS = {
    "new": "write a commented recipe from a preset",
    "check": "name every fault of a recipe with its place, and what is advised",
    "show": "show every option's value, and where it comes from",
    "schema": "print the JSON schema of a recipe, for editors that know TOML",
    "diff": "show the options that differ between recipes, presets and runs",
    "set": "change options in a recipe file; all else in it keeps every byte",
    "import": "make a recipe from a config of TRL, axolotl or LLaMA-Factory",
    "export": "make a config of TRL or axolotl from a recipe",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_actions(parser, "recipe", ACTIONS)


def run(options: argparse.Namespace) -> int:
    return run_action("recipe", options)
