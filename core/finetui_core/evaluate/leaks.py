"""Held-out rows whose question was trained on: what an arm answers to them shows memory, not skill."""

from collections import Counter
from collections.abc import Sequence

from finetui_core.data.check.keys import normalised, prompt, prompt_key
from finetui_core.data.conversation import Conversation
from finetui_core.evaluate.retrieval import terms

SAME = "same question as a training row"
NEAR = "nearly the same question as a training row"

WORDS = 8
ALIKE = 0.8
"""Jaccard similarity of the runs of 8 words of two questions from which one counts as a copy of the other."""
_USUAL, _FEWEST_USUAL = 0.05, 10
"""A run of words that more than this share of all questions has, and more than so many, is an instruction."""

_Run = tuple[str, ...]


def leaks(test: Sequence[Conversation], train: Sequence[Conversation]) -> dict[int, str]:
    """The places of those rows of `test` whose question is in `train`, each with SAME or NEAR.

    Compared is what stands before the last answer: whole for SAME, case, spaces and punctuation aside; for NEAR its
    turns but for the system prompt, where the system prompts or the answers are the same. Words that many questions
    share, such as an instruction before each of them, do not count. Memory grows with the rows of `train` that
    share a run of words with one of `test`.
    """
    trained = {prompt_key(row): row for row in reversed(train)}
    found = {at: SAME for at, row in enumerate(test) if prompt_key(row) in trained}
    left = [at for at in range(len(test)) if at not in found]
    near = _near([test[at] for at in left], list(trained.values()))
    return dict(sorted((found | {left[at]: NEAR for at in near}).items()))


def _near(test: Sequence[Conversation], train: Sequence[Conversation]) -> list[int]:
    """The places in `test`; an inverted index over its runs finds the rows of `train` that are worth comparing."""
    asked = [_runs(row) for row in test]
    holders: dict[_Run, list[int]] = {}
    for at, runs in enumerate(asked):
        for run in runs:
            holders.setdefault(run, []).append(at)
    counts = Counter({run: len(rows) for run, rows in holders.items()})
    sharing: list[tuple[Conversation, int, set[_Run]]] = []
    for row in train:
        runs = _runs(row)
        shared = runs & holders.keys()
        if shared:
            counts.update(shared)
            sharing.append((row, len(runs), shared))
    most = max(_FEWEST_USUAL, _USUAL * (len(test) + len(train)))
    usual = {run for run, count in counts.items() if count > most}
    telling = [runs - usual for runs in asked]
    found: set[int] = set()
    for row, size, shared in sharing:
        size -= len(shared & usual)
        common = Counter(at for run in shared - usual for at in holders[run] if at not in found)
        found.update(
            at
            for at, both in common.items()
            if both >= ALIKE * (len(telling[at]) + size - both) and _same_task(test[at], row)
        )
    return sorted(found)


def _runs(row: Conversation) -> set[_Run]:
    """The runs of words of a question; a short one is a single run."""
    words = terms("\n".join(turn.content for turn in prompt(row) if turn.role != "system"))
    if len(words) <= WORDS:
        return {tuple(words)} if words else set()
    return {tuple(words[at : at + WORDS]) for at in range(len(words) - WORDS + 1)}


def _same_task(one: Conversation, other: Conversation) -> bool:
    """One question under two system prompts may ask for two things; it does not where the answer is the same."""
    return _system(one) == _system(other) or normalised(reference_of(one)) == normalised(reference_of(other))


def _system(row: Conversation) -> bytes:
    return normalised("\n".join(turn.content for turn in row.messages if turn.role == "system"))


def reference_of(row: Conversation) -> str:
    """The text of the last answer, "" where there is none."""
    return next((turn.content for turn in reversed(row.messages) if turn.role == "assistant"), "")
