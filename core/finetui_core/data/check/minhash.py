"""Which texts are nearly alike: MinHash over the letters of each text, and locality-sensitive hashing. Needs numpy.

A text is the set of its runs of 12 letters (spaces, case and punctuation left out). Each run is hashed once; seven
bits of the hash choose one of 128 slots, and a slot keeps its smallest hash (one-permutation MinHash; Li, Owen and
Zhang 2012). Short texts are hashed again and again until their slots are filled (after Shrivastava 2017); of long
texts only the smallest hashes are looked at, which leaves the slots as they are. Two texts agree in a slot with the
probability of their Jaccard similarity. 32 bands of 4 slots make those with 0.6 meet with a probability of .99.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from finetui_core.data.check.keys import letters

SLOTS, BANDS = 128, 32
SHINGLE = 12
"""Bytes of a run: two unaligned windows of eight that overlap by four."""
SIMILAR = 0.6

Array = np.ndarray[Any, np.dtype[Any]]

_FILLING = 512  # hashes that a text needs for its slots to be filled; a slot stays empty in 2 of 100 cases
_BATCH = 1 << 19  # bytes hashed at once: their windows fit a processor's cache
_LEFT, _RIGHT, _MIX = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93))
_EMPTY = np.uint64(2**64 - 1)
_LAGS = 3  # how many neighbours in a bucket a text is compared with, besides the bucket's first
_WORTH_VERIFYING = 0.48  # estimated similarity; three standard deviations below SIMILAR
_TEXTS_KEPT = 2048
_TRIES = 8  # how often a text is compared in vain, with the likeliest first, before it is left alone


@dataclass(frozen=True, slots=True)
class Sketches:
    """256 bytes a text: `bands` is uint32 of (texts, BANDS); `prints` uint8 of (texts, SLOTS), to estimate."""

    bands: Array
    prints: Array

    def __len__(self) -> int:
        return len(self.bands)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts by their place, `first` before `second`, and the Jaccard similarity of their runs of letters."""

    first: int
    second: int
    similarity: float


def sketch(texts: Iterable[str]) -> Sketches:
    """Reduce each text to what is compared; one pass, in batches of texts of like length."""
    batches: dict[int, tuple[list[int], list[bytes]]] = {}
    filled: dict[int, int] = {}
    done: list[tuple[Array, Array, Array]] = []
    number = 0
    for text in texts:
        raw = letters(text).ljust(SHINGLE, b"\0")
        size = (len(raw) - SHINGLE + 1).bit_length()
        places, parts = batches.setdefault(size, ([], []))
        places.append(number)
        parts.append(raw)
        filled[size] = filled.get(size, 0) + len(raw)
        number += 1
        if filled[size] >= _BATCH:
            done.append(_sketched(size, places, parts))
            del batches[size], filled[size]
    done.extend(_sketched(size, places, parts) for size, (places, parts) in batches.items())
    bands = np.empty((number, BANDS), np.uint32)
    prints = np.empty((number, SLOTS), np.uint8)
    while done:
        where, some_bands, some_prints = done.pop()
        bands[where], prints[where] = some_bands, some_prints
    return Sketches(bands, prints)


def joined(first: Sketches, second: Sketches) -> Sketches:
    """The texts of both, those of `second` numbered after those of `first`."""
    return Sketches(
        np.concatenate((first.bands, second.bands)), np.concatenate((first.prints, second.prints))
    )


def similarity(first: Array, second: Array) -> float:
    """Jaccard similarity of two sets of hashes as `shingles` returns them."""
    both = np.concatenate((first, second))
    both.sort(kind="stable")  # two ascending runs are merged
    common = int(np.count_nonzero(both[1:] == both[:-1]))
    return common / (len(first) + len(second) - common)


def shingles(text: str) -> Array:
    """The hashes of all runs of a text, each once, ascending."""
    return _distinct(_hashes(letters(text).ljust(SHINGLE, b"\0")))


def similar_pairs(
    sketches: Sketches,
    text_of: Callable[[int], str],
    at_least: float = SIMILAR,
    begin: int = 0,
) -> Iterator[Pair]:
    """Pairs of similar texts, the most similar first, verified on the texts themselves.

    A text that is already linked to another through verified pairs is not compared with it again, so the pairs are a
    spanning forest of the groups. With `begin`, only pairs of a text before that number with one from there on count,
    each of the latter once: leakage between two sets.
    """
    candidates = _candidates(sketches, begin)
    groups = Groups()
    kept: dict[int, Array] = {}

    def runs(text: int) -> Array:
        found = kept.pop(text, None)
        if found is None:
            found = shingles(text_of(text))
            if len(kept) >= _TEXTS_KEPT:
                del kept[next(iter(kept))]
        kept[text] = found
        return found

    in_vain: dict[int, int] = {}
    settled: set[int] = set()
    for packed in candidates:
        first, second = int(packed >> np.uint64(32)), int(packed & np.uint64(0xFFFFFFFF))
        if second in settled if begin else groups.linked(first, second):
            continue
        if in_vain.get(second, 0) >= _TRIES:
            continue
        similar = similarity(runs(first), runs(second))
        if similar < at_least:
            in_vain[second] = in_vain.get(second, 0) + 1
            continue
        if begin:
            settled.add(second)
        else:
            groups.link(first, second)
        yield Pair(first, second, similar)


class Groups:
    """Sets of linked numbers (union-find with path halving)."""

    def __init__(self) -> None:
        self._parents: dict[int, int] = {}

    def root(self, number: int) -> int:
        parents = self._parents
        while (parent := parents.get(number, number)) != number:
            parents[number] = number = parents.get(parent, parent)
        return number

    def linked(self, first: int, second: int) -> bool:
        return self.root(first) == self.root(second)

    def link(self, first: int, second: int) -> None:
        """The smaller number stays the root, so that a group is named after its first."""
        roots = sorted((self.root(first), self.root(second)))
        self._parents[roots[1]] = roots[0]


def _hashes(raw: bytes) -> Array:
    """One hash for each run of SHINGLE bytes."""
    windows = np.ndarray((len(raw) - 7,), "<u8", raw, strides=(1,))
    hashes = windows[:-4] * _LEFT
    hashes += windows[4:] * _RIGHT
    hashes ^= hashes >> np.uint64(32)
    hashes *= _MIX
    return hashes


def _sketched(size: int, places: list[int], parts: list[bytes]) -> tuple[Array, Array, Array]:
    """Texts of 2 ** (size - 1) up to 2 ** size runs."""
    lengths = np.fromiter(map(len, parts), np.int64, len(parts))
    ends = np.cumsum(lengths)
    hashes = _hashes(b"".join(parts))
    spare = size - 1 - _FILLING.bit_length()
    if spare > 0:
        chosen = np.flatnonzero(hashes < np.uint64(1 << (64 - spare)))
    else:
        chosen = np.arange(len(hashes))
    texts = np.repeat(np.arange(len(parts), dtype=np.int32), lengths)[chosen].astype(np.int64)
    inside = chosen + SHINGLE <= ends[texts]
    chosen, texts = chosen[inside], texts[inside]
    hashes = hashes[chosen]
    slots = np.full(len(parts) * SLOTS, _EMPTY)
    rounds = max(1, _FILLING >> (size - 1))
    for turn in range(rounds):
        if turn:
            hashes = (hashes ^ (hashes >> np.uint64(29))) * _LEFT + np.uint64(turn)
            hashes ^= hashes >> np.uint64(32)
        slot = texts * SLOTS + ((hashes >> np.uint64(17)) & np.uint64(SLOTS - 1)).astype(np.int64)
        np.minimum.at(slots, slot, (hashes >> np.uint64(24)) | np.uint64(turn << 40))
    mixed = (slots ^ (slots >> np.uint64(23))) * _MIX
    prints = (mixed >> np.uint64(56)).astype(np.uint8).reshape(-1, SLOTS)
    quarters = mixed.reshape(-1, BANDS, SLOTS // BANDS)
    band = np.zeros(quarters.shape[:2], np.uint64)
    for part in range(quarters.shape[2]):
        band = (band ^ quarters[:, :, part]) * _RIGHT
        band ^= band >> np.uint64(31)
    return np.array(places), (band >> np.uint64(32)).astype(np.uint32), prints


def _candidates(sketches: Sketches, begin: int) -> Array:
    """Pairs that share a band and are worth verifying, packed into one number each, the most similar first."""
    kept: list[Array] = []
    for band in range(BANDS):
        packed = _bucket_pairs(sketches.bands[:, band], begin)
        kept.append(packed[_estimates(sketches, packed) >= _WORTH_VERIFYING])
    packed = _distinct(np.concatenate(kept))
    return packed[np.argsort(-_estimates(sketches, packed), kind="stable")]


def _bucket_pairs(keys: Array, begin: int) -> Array:
    """Pairs of texts with one key: each with the first of its bucket and the few before it, not all with all."""
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    places = np.arange(len(keys))
    leaders = np.maximum.accumulate(np.where(np.diff(keys, prepend=keys[:1]) != 0, places, 0))
    pairs = [np.empty(0, np.uint64)]
    for lag in range(_LAGS + 1):
        later = places[lag:][keys[lag:] == keys[: len(keys) - lag]] if lag else places[leaders != places]
        first, second = order[later - lag if lag else leaders[later]], order[later]
        if begin:
            across = (first < begin) & (second >= begin)
            first, second = first[across], second[across]
        pairs.append(first.astype(np.uint64) << np.uint64(32) | second.astype(np.uint64))
    return _distinct(np.concatenate(pairs))


def _distinct(values: Array) -> Array:
    """Each value once, ascending; sorts in place. (`np.unique` hashes, which takes many times as long.)"""
    values.sort()
    return values[np.concatenate(([True], values[1:] != values[:-1]))] if len(values) else values


def _estimates(sketches: Sketches, packed: Array, at_once: int = 1 << 16) -> Array:
    """The share of slots in which each pair agrees."""
    estimates = np.empty(len(packed), np.float32)
    for begin in range(0, len(packed), at_once):
        some = packed[begin : begin + at_once]
        first = sketches.prints[(some >> np.uint64(32)).astype(np.int64)]
        second = sketches.prints[(some & np.uint64(0xFFFFFFFF)).astype(np.int64)]
        estimates[begin : begin + at_once] = np.count_nonzero(first == second, axis=1) / SLOTS
    return estimates
