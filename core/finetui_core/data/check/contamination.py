"""Training rows that hold the text of a test (an evaluation set) word for word. Needs numpy."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from finetui_core.data.check.keys import letters
from finetui_core.data.check.minhash import Array

LETTERS = 64
"""How many letters in a row must be the same: about 13 English words (GPT-3 took 13, datatrove takes 12)."""
LIMIT = "Only text that is the same word for word is found; a paraphrase or a translation is not."

_FILTER_BITS = 24
_FACTORS = [np.uint64(pow(0x9E3779B97F4A7C15, 2 * power + 1, 1 << 64)) for power in range(LETTERS // 8)]


@dataclass(frozen=True, slots=True)
class Contaminated:
    """A row that shares a passage with a test, by their places."""

    row: int
    test: int


def contamination(rows: Iterable[str], tests: Sequence[str]) -> list[Contaminated]:
    """Rows that share 64 letters in a row with a test text, spaces, case and punctuation aside; one test for each.

    Tests shorter than that are not looked for: short phrases stand anywhere. See LIMIT for what escapes.
    """
    parts = [_windows(letters(test)) for test in tests]
    hashes = np.concatenate([*parts, np.empty(0, np.uint64)])
    owners = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    order = np.argsort(hashes, kind="stable")
    hashes, owners = hashes[order], owners[order]
    if not len(hashes):
        return []
    seen = np.zeros(1 << _FILTER_BITS, bool)
    seen[hashes >> np.uint64(64 - _FILTER_BITS)] = True
    found: list[Contaminated] = []
    for number, text in enumerate(rows):
        windows = _windows(letters(text))
        windows = windows[seen[windows >> np.uint64(64 - _FILTER_BITS)]]
        places = np.minimum(np.searchsorted(hashes, windows), len(hashes) - 1)
        places = places[hashes[places] == windows]
        if len(places):
            found.append(Contaminated(number, int(owners[places].min())))
    return found


def _windows(raw: bytes) -> Array:
    """A hash for each place where LETTERS bytes begin."""
    if len(raw) < LETTERS:
        return np.empty(0, np.uint64)
    words = np.ndarray((len(raw) - 7,), "<u8", raw, strides=(1,))
    number = len(raw) - LETTERS + 1
    hashes = np.zeros(number, np.uint64)
    for place, factor in enumerate(_FACTORS):
        hashes += words[8 * place : 8 * place + number] * factor
        hashes ^= hashes >> np.uint64(29)
    hashes *= np.uint64(0xD6E8FEB86659FD93)
    return hashes
