"""Asking for the consent to a model's own code: typed at a terminal, or given whole as an argument."""

import argparse
import sys

from finetui_core.cli.say import talk, typed
from finetui_core.errors import InputError, Problem
from finetui_core.recipe.options import Recipe
from finetui_core.recipe.remote_code import CONSENT, agree, consent_for, model_named, not_agreed, pin_of
from finetui_core.runs.records import Consent


def add_consent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        CONSENT,
        metavar="NAME@VERSION",
        help="agree that the Python code of this model, in this very version, runs with your rights",
    )


def consent_to(recipe: Recipe, given: str | None) -> Consent | None:
    """The consent that this recipe needs, which is kept; None where it needs none.

    A person at a terminal who has not agreed to this version, and has `given` none, is asked to type the model's
    name. Raises InputError where nobody agrees.
    """
    pin = pin_of(recipe.model)
    if pin is None:
        return None
    if given is not None:
        if given != pin:
            what = f"the consent is for {given}, and the model's code is {pin}"
            raise InputError(Problem(what, CONSENT, "Read the code that is there now."))
        return agree(pin)
    if (known := consent_for(pin)) is not None:
        return known
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError(not_agreed(pin))
    _ask(pin)
    return agree(pin)


def _ask(pin: str) -> None:
    """Raise InputError unless the model's name is typed."""
    name = model_named(pin)
    talk(
        f"{name} brings Python code of its own, in the version\n"
        f"{pin.removeprefix(name + '@')}.\n"
        "It would run on this machine with all your rights: it can read your files and\n"
        "keys, and send them away. Having read it, type the model's name to agree;\n"
        "anything else stops here."
    )
    if typed() != name:
        raise InputError(Problem("nobody agreed to the model's own code", name, "Nothing was started."))
