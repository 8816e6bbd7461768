"""`ftui recipe schema`: the JSON schema of a recipe."""

import argparse
import json

from finetui_core.cli.say import data
from finetui_core.recipe.table import editor_schema


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Write it to a file, and name that in a recipe's first line: #:schema recipe.schema.json"


def run(options: argparse.Namespace) -> int:
    data(json.dumps(editor_schema(), indent=2))
    return 0
