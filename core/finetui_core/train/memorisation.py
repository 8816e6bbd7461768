"""What of its training rows the model says by heart, against rows that it has never seen."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from finetui_core.train.forward import Rows
from finetui_core.train.generate import continuations, last_answer
from finetui_core.train.meters.figures import Overlaps

ROWS = 32
GRAM = 6
_LONGEST = 48
"""Tokens of the second half of an answer that are asked for."""


@dataclass(frozen=True, slots=True)
class Half:
    """A row up to the middle of its last answer, and how it goes on there."""

    prompt: np.ndarray
    rest: np.ndarray


def halves(rows: Rows, numbers: Sequence[int], seed: int) -> list[Half]:
    """`ROWS` of the rows, drawn by the seed; those whose half answer has fewer than `GRAM` tokens are passed over."""
    found: list[Half] = []
    for place in np.random.default_rng([seed, len(numbers)]).permutation(len(numbers)):
        ids, mask = rows[numbers[int(place)]]
        span = last_answer(mask)
        if span is None:
            continue
        middle = (span[0] + span[1]) // 2
        if middle > span[0] and span[1] - middle >= GRAM:
            found.append(Half(ids[:middle], ids[middle : span[1]][:_LONGEST]))
            if len(found) == ROWS:
                break
    return found


def overlaps(
    model: Any, tokenizer: Any, train: Sequence[Half], val: Sequence[Half], tokens_per_pass: int
) -> Overlaps:
    """How much of each rest the model gives when it goes on greedily from the first half."""
    asked = [*train, *val]
    longest = max((len(half.rest) for half in asked), default=0)
    given = continuations(model, tokenizer, [half.prompt for half in asked], longest, tokens_per_pass)
    shares = [shared(one, half.rest) for one, half in zip(given, asked, strict=True)]
    return Overlaps(np.array(shares[: len(train)]), np.array(shares[len(train) :]))


def shared(given: Iterable[int], wanted: Iterable[int]) -> float:
    """The share of the runs of `GRAM` tokens of `wanted` that `given` has anywhere."""
    of_wanted, of_given = _grams(wanted), set(_grams(given))
    return sum(gram in of_given for gram in of_wanted) / len(of_wanted) if of_wanted else 0.0


def _grams(tokens: Iterable[int]) -> list[tuple[int, ...]]:
    row = [int(token) for token in tokens]
    return [tuple(row[at : at + GRAM]) for at in range(len(row) - GRAM + 1)]
