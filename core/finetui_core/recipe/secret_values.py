"""Secrets in a recipe: it is copied into each run, shown and handed on, so it must not hold any."""

import re
from collections.abc import Iterator, Sequence

from finetui_core.errors import InputError, Problem
from finetui_core.secrets import secrets_in

_HINT = (
    "Take it out, and put it into a variable of the environment, such as HF_TOKEN: the libraries read it there, "
    "and ftui writes it nowhere."
)
_KEY = re.compile(r"\s*([\w.\"'-]+)\s*=")


def refuse_secrets(text: str, name: str, overrides: Sequence[str]) -> None:
    """Raise InputError with the place of each secret in a recipe's text and in what is given with --set.

    No message quotes one.
    """
    problems = [*_in_text(text, name), *_in_overrides(overrides)]
    if problems:
        raise InputError(problems)


def _in_text(text: str, name: str) -> Iterator[Problem]:
    for start, kind in secrets_in(text):
        line_start = text.rfind("\n", 0, start) + 1
        line = text.count("\n", 0, start) + 1
        key = _KEY.match(text, line_start, start)
        where = f"{name}:{line}:{start - line_start + 1}"
        yield Problem(f"{key[1] if key else 'the recipe'} holds a secret ({kind})", where, _HINT)


def _in_overrides(overrides: Sequence[str]) -> Iterator[Problem]:
    for item in overrides:
        key = item.partition("=")[0]
        for start, kind in secrets_in(item):
            named = key if start > len(key) else "an option"
            yield Problem(f"{named} holds a secret ({kind})", f"--set {named}=…", _HINT)
