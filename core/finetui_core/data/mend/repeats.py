"""Rows that stand in a file again, and which of them stays."""

import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence

from finetui_core.data.check.differences import kind_of_difference
from finetui_core.errors import InputError, Problem

_REPEATS = ("same", "words")
"""Kinds of difference that make a repeat. Rows that differ in names or digits are of one template, and stay."""


class Texts:
    """Texts put aside in a temporary file, so that any of them is at hand and memory holds 8 bytes for each."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._begins = array("Q", [0])

    def append(self, text: str) -> None:
        raw = text.encode("utf-8", "surrogatepass")
        self._file.seek(0, 2)
        self._file.write(raw)
        self._begins.append(self._begins[-1] + len(raw))

    def __len__(self) -> int:
        return len(self._begins) - 1

    def __getitem__(self, index: int) -> str:
        self._file.seek(self._begins[index])
        raw = self._file.read(self._begins[index + 1] - self._begins[index])
        return raw.decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    def close(self) -> None:
        self._file.close()


def near(texts: Texts, rows: Sequence[int]) -> Iterator[list[int]]:
    """Groups of rows that differ in a few words, each so from another of its group; text i is that of `rows[i]`.

    Raises InputError without numpy.
    """
    minhash = _minhash()
    group_of: dict[int, list[int]] = {}
    for pair in minhash.similar_pairs(minhash.sketch(texts), texts.__getitem__):
        if kind_of_difference(texts[pair.first], texts[pair.second]) not in _REPEATS:
            continue
        joined = group_of.get(pair.first, [pair.first])
        other = group_of.get(pair.second, [pair.second])
        if joined is not other:
            joined = joined + other
            group_of.update(dict.fromkeys(joined, joined))
    seen: set[int] = set()
    for group in group_of.values():
        if id(group) not in seen:
            seen.add(id(group))
            yield sorted(rows[text] for text in group)


def near_others(texts: Texts, others: Iterable[str], rows: Sequence[int]) -> list[int]:
    """The rows whose text is like one of another file. Raises InputError without numpy."""
    minhash = _minhash()
    behind = Texts()
    try:
        for text in others:
            behind.append(text)
        count = len(behind)
        both = minhash.joined(minhash.sketch(behind), minhash.sketch(texts))

        def text_of(index: int) -> str:
            return behind[index] if index < count else texts[index - count]

        return sorted(
            {
                rows[pair.second - count]
                for pair in minhash.similar_pairs(both, text_of, begin=count)
                if kind_of_difference(text_of(pair.first), text_of(pair.second)) in _REPEATS
            }
        )
    finally:
        behind.close()


def kept_of(group: Sequence[int], keep: str, sizes: Sequence[int]) -> int:
    """The row of a group that stays; of several longest ones the first."""
    if keep == "longest":
        return max(group, key=lambda row: (sizes[row], -row))
    return group[-1] if keep == "last" else group[0]


def _minhash():  # type: ignore[no-untyped-def]
    try:
        from finetui_core.data.check import minhash
    except ImportError as error:
        hint = "pip install 'finetui[train]', or leave out the near_ rules."
        raise InputError(Problem("finding rows that are almost the same needs numpy", "", hint)) from error
    return minhash
