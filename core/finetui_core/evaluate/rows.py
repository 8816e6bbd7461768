"""The held-out rows of a recipe that a comparison may ask, and why the others may not."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np

from finetui_core.data.check.keys import answer, normalised, prompt
from finetui_core.data.conversation import Conversation, Row
from finetui_core.data.readers import read_rows
from finetui_core.data.stages import Part, read_sets
from finetui_core.data.template import message_dict
from finetui_core.errors import InputError, Problem
from finetui_core.evaluate.figures import TestRow
from finetui_core.evaluate.leaks import NEAR, SAME, leaks
from finetui_core.recipe.options import DataOptions, Recipe

UNREADABLE = "cannot be read"
NO_CONVERSATION = "not a conversation"
NO_QUESTION = "nothing stands before the answer"
NO_REFERENCE = "no reference"
CALL = "the answer is a call of a tool"
NOT_DRAWN = "not drawn"
"""Reasons for which a row is left out, besides those of `leaks`."""

GROUP_KEYS = ("group", "group_id", "conversation_id", "thread_id", "session_id", "customer_id", "user_id")
"""Keys beside a row's chat that say what it comes from, the first that it has."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """`rows` are asked, in the order of the file; `excluded` counts the others by reason.

    `train_rows` are the training rows with a question and an answer in text: what examples are taken from.
    """

    rows: tuple[TestRow, ...]
    train_rows: tuple[Conversation, ...]
    excluded: Mapping[str, int]
    file: str


def held_out_rows(recipe: Recipe, max_rows: int = 200) -> HeldOut:
    """The validation rows of a recipe as it divides them, but for leaks.

    At most `max_rows` are drawn by the recipe's seed, 0 takes all. Raises InputError where fewer than two rows are
    left to ask.
    """
    sets = read_sets(recipe.data, recipe.train.seed)
    file = recipe.data.val or recipe.data.train
    if not sets.val.rows and not (sets.separate and sets.separate.rejected):
        raise InputError(Problem("the recipe keeps no rows apart to compare on", file, _way_out(recipe.data)))
    excluded: Counter[str] = Counter()
    usable: list[tuple[int, Conversation]] = []
    for number, row in zip(sets.val.numbers, sets.val.rows, strict=True):
        reason = _unusable(row)
        if reason or not isinstance(row, Conversation):
            excluded[reason] += 1
        else:
            usable.append((number, row))
    if sets.separate and sets.separate.rejected:
        excluded[UNREADABLE] = len(sets.separate.rejected)
    train = tuple(row for row in sets.train.rows if isinstance(row, Conversation) and not _unusable(row))
    leaking = leaks([row for _, row in usable], train)
    excluded.update(leaking.values())
    sound = [one for at, one in enumerate(usable) if at not in leaking]
    if len(sound) < 2:
        raise InputError(_too_few(len(sound), sets.val, excluded, file, recipe.data))
    drawn = _drawn(len(sound), max_rows, recipe.train.seed)
    if len(drawn) < len(sound):
        excluded[NOT_DRAWN] = len(sound) - len(drawn)
    kept = [sound[at] for at in drawn]
    groups = _groups(file, kept)
    rows = tuple(_test_row(at, row, groups[at]) for at, (_, row) in enumerate(kept))
    return HeldOut(rows, train, dict(excluded), file)


def clusters(rows: Sequence[TestRow]) -> list[str] | None:
    """The group of each row, one of its own where none is known; None where no two rows share one."""
    named = [row.group or f"#{row.index}" for row in rows]
    return named if len(set(named)) < len(named) else None


def _unusable(row: Row) -> str:
    if not isinstance(row, Conversation):
        return NO_CONVERSATION
    if not any(turn.role != "system" for turn in prompt(row)):
        return NO_QUESTION
    text = answer(row)
    if text is None:
        return CALL
    return "" if text.strip() else NO_REFERENCE


def _drawn(rows: int, most: int, seed: int) -> list[int]:
    if most == 0 or rows <= most:
        return list(range(rows))
    return sorted(int(at) for at in np.random.default_rng([seed, rows]).permutation(rows)[:most])


def _test_row(index: int, row: Conversation, group: str) -> TestRow:
    asked = tuple(message_dict(turn) for turn in prompt(row))
    return TestRow(index, row.source, asked, answer(row) or "", group, row.tools)


def _groups(file: str, rows: Sequence[tuple[int, Conversation]]) -> list[str]:
    """What each row shares with others: the value of a key of GROUP_KEYS, else its first question; "" if nothing."""
    given = _given_groups(file, {number for number, _ in rows})
    named = [given.get(number) or _opening(row) for number, row in rows]
    counts = Counter(named)
    return [name if counts[name] > 1 else "" for name in named]


def _given_groups(file: str, numbers: set[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for number, raw in enumerate(read_rows(file)):
        if number in numbers and not isinstance(raw, Problem):
            key = next((key for key in GROUP_KEYS if raw.value.get(key) not in (None, "")), None)
            if key is not None:
                found[number] = _digest((key, raw.value[key]))
    return found


def _opening(row: Conversation) -> str:
    first = next((turn.content for turn in row.messages if turn.role == "user"), "")
    return _digest(normalised(first))


def _digest(value: Any) -> str:
    return blake2b(msgspec.json.encode(value, enc_hook=str), digest_size=8).hexdigest()


def _too_few(left: int, part: Part, excluded: Mapping[str, int], file: str, options: DataOptions) -> Problem:
    reasons = ", ".join(f"{count:,}: {reason}" for reason, count in excluded.items())
    if left:
        what = "only one held-out row can be asked, and a comparison needs two at least"
        what += f" (left out: {reasons})" if reasons else ""
        return Problem(what, file, _way_out(options))
    total = len(part.rows) + excluded.get(UNREADABLE, 0)
    if set(excluded) <= {SAME, NEAR}:
        what = f"all {total:,} held-out rows ask what a training row asks ({reasons})"
        return Problem(what, file, _way_out(options))
    if set(excluded) <= {NO_REFERENCE, CALL}:
        what = f"none of the {total:,} held-out rows has an answer in text to compare with ({reasons})"
        return Problem(what, file, "Give the rows the answers that are wanted: ftui data check shows them.")
    return Problem(f"none of the {total:,} held-out rows can be asked ({reasons})", file, _way_out(options))


def _way_out(options: DataOptions) -> str:
    return (
        f"Keep rows apart with: ftui data split {options.train} --val-fraction 0.1 --near "
        "-o train.jsonl val.jsonl, and name both files in data.train and data.val."
    )
