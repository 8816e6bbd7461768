"""`ftui hosted ACTION …`: fine-tuning jobs at platforms that speak OpenAI's API, and the way from there to here."""

import argparse

from finetui_core.cli.grouped import add_actions, run_action

ACTIONS = {
    "prices": "list what training costs at platforms, and the days on which they close, with dates and sources",
    "start": "send a data set, start a job with it, and follow that like a run",
    "watch": "follow a job, or a run that follows one, until it ends",
    "cancel": "cancel a job at the platform",
    "list": "list the account's newest jobs",
    "import": "make a recipe for an open model from a finished job and its training file",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_actions(parser, "hosted", ACTIONS)


def run(options: argparse.Namespace) -> int:
    return run_action("hosted", options)
