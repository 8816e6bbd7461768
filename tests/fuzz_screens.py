"""Which screens are fuzzed, and one batch of fuzzed strings through one of them."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import fuzz_walks
from fuzz_commands import commands
from fuzz_strings import Strings


@dataclass(frozen=True)
class Screen:
    """A walk, the part of all strings that it is given, and how many of them at a time."""

    walk: Callable[[Path, Sequence[str]], set[int]]
    share: float
    batch: int


SCREENS: Mapping[str, Screen] = {
    "log": Screen(fuzz_walks.log, 0.2038, 50_000),
    "events": Screen(fuzz_walks.events, 0.16, 50_000),
    "samples": Screen(fuzz_walks.samples, 0.12, 40_000),
    "row": Screen(fuzz_walks.row, 0.14, 40_000),
    "comparison": Screen(fuzz_walks.comparison, 0.14, 40_000),
    "commands": Screen(commands, 0.10, 50_000),
    "recipe_text": Screen(fuzz_walks.recipe_text, 0.05, 4_000),
    "decide": Screen(fuzz_walks.decide, 0.03, 10_000),
    "rows": Screen(fuzz_walks.rows, 0.03, 10_000),
    "dashboard": Screen(fuzz_walks.dashboard, 0.02, 5_000),
    "recipe_form": Screen(fuzz_walks.recipe_form, 0.001, 400),
    "runs": Screen(fuzz_walks.runs, 0.003, 1_000),
    "compare_list": Screen(fuzz_walks.compare_list, 0.001, 200),
    "themes": Screen(fuzz_walks.themes, 0.001, 500),
    "questions": Screen(fuzz_walks.questions, 0.0002, 100),
}
"""The long texts take most strings, since a page shows a thousand of them; each other place takes hundreds."""


@dataclass(frozen=True)
class Batch:
    """So many strings of a seed for one screen."""

    screen: str
    count: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    """How many strings of a batch were seen on the terminal, and the fault, with "" for none."""

    batch: Batch
    seen: int
    seconds: float
    fault: str = ""


def batches(count: int, seed: int, names: Sequence[str]) -> Iterator[Batch]:
    """`count` strings over these screens, each batch with a seed of its own."""
    whole = sum(SCREENS[name].share for name in names)
    for name in names:
        screen = SCREENS[name]
        left = ceil(count * screen.share / whole)
        while left > 0:
            size = min(left, screen.batch)
            yield Batch(name, size, seed)
            seed, left = seed + 1, left - size


def walk_through(batch: Batch) -> Outcome:
    """One batch through its screen; what fails is told, not raised."""
    texts = Strings(batch.seed).take(batch.count)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            seen = SCREENS[batch.screen].walk(Path(folder), texts)
        except (AssertionError, UnicodeDecodeError) as fault:
            return Outcome(batch, 0, time.monotonic() - began, str(fault)[:4000])
    return Outcome(batch, len(seen & set(range(1, batch.count + 1))), time.monotonic() - began)
