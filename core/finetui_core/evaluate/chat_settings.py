"""How answers are made, as a person types it."""

import math
from collections.abc import Callable, Mapping

from finetui_core.errors import InputError, Problem
from finetui_core.evaluate.chat_protocol import Sampling

SETTINGS: Mapping[str, tuple[type[int] | type[float], float, float, str]] = {
    "max_new_tokens": (int, 1, 1_000_000, "a whole number from 1 on"),
    "temperature": (float, 0, 100, "a number from 0 (the likeliest token) to 100"),
    "top_p": (float, 0.000_001, 1, "a number above 0, at most 1"),
    "seed": (int, 0, 2**63 - 1, "a whole number from 0 on"),
}
"""What each setting is: its type, the least, the most, and that in words."""


def value_of(name: str, text: str, spelled: str = "") -> int | float:
    """The value that was typed for a setting. Raises InputError where it cannot be."""
    kind, least, most, words = SETTINGS[name]
    try:
        value = kind(text.strip())
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise InputError(Problem(f"{text.strip()!r} cannot be the {name}", spelled, f"give {words}"))
    return value


def sampling_of(
    given: Mapping[str, str], base: Sampling | None = None, spelled: Callable[[str], str] = lambda name: name
) -> Sampling:
    """The settings with what was typed in place of the `base`'s. Raises InputError with all that cannot be."""
    values: dict[str, int | float] = {}
    problems: list[Problem] = []
    for name, text in given.items():
        try:
            values[name] = value_of(name, text, spelled(name))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    kept = base or Sampling()
    return Sampling(**{name: values.get(name, getattr(kept, name)) for name in SETTINGS})  # type: ignore[arg-type]


def in_words(sampling: Sampling) -> str:
    """The settings in a few words."""
    length = f"at most {sampling.max_new_tokens:,} tokens"
    if sampling.temperature == 0:
        return f"likeliest token, {length}"
    top = f", top-p {sampling.top_p:g}" if sampling.top_p < 1 else ""
    return f"temperature {sampling.temperature:g}{top}, seed {sampling.seed}, {length}"
