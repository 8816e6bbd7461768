"""How two texts differ, word by word, and whether the difference is one of names and digits only."""

import re
from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

Kind = Literal["same", "digits", "names", "words"]
KINDS: dict[Kind, str] = {
    "same": "only case, spaces or punctuation differ",
    "words": "words differ",
    "names": "only names or digits differ",
    "digits": "only digits differ",
}
"""Likely copies first; rows of a template that differ in what they are about come last."""

_TOKEN = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
_SENTENCE_MARKS = frozenset(".,;:!?()[]{}'\"`‘’“”«»„…–—-_*#>、。，！？；：「」")
_SENTENCE_ENDS = frozenset('.!?:;"“„(«-•*。！？：')
_WORK = 1_000_000  # pairs of words that are compared at most; more are shown as one piece


class Span(NamedTuple):
    """A piece of both texts, as offsets: `first_begin` to `first_end` reads as in the second text, or `changed`."""

    changed: bool
    first_begin: int
    first_end: int
    second_begin: int
    second_end: int


def word_diff(first: str, second: str) -> list[Span]:
    """The pieces of both texts in order, alike and changed by turns; they cover both texts whole.

    Words and signs are compared as they stand. The work is bounded: where two very long texts differ all over, the
    middle is one changed piece.
    """
    ours, theirs = list(_TOKEN.finditer(first)), list(_TOKEN.finditer(second))
    spans: list[Span] = []
    at, other_at = 0, 0
    for changed, begin, end, other_begin, other_end in _pieces(
        [token.group() for token in ours], [token.group() for token in theirs]
    ):
        last, other_last = end == len(ours), other_end == len(theirs)
        stop = len(first) if last and other_last else ours[end - 1].end() if end > begin else at
        other_stop = (
            len(second)
            if last and other_last
            else theirs[other_end - 1].end()
            if other_end > other_begin
            else other_at
        )
        spans.append(Span(changed, at, stop, other_at, other_stop))
        at, other_at = stop, other_stop
    if not spans and (first or second):
        spans.append(Span(first != second, 0, len(first), 0, len(second)))
    return spans


def kind_of_difference(first: str, second: str) -> Kind:
    """What two texts differ in, in linear time.

    Where words differ that are no names, no numbers and no signs, or stand in another order, it is "words".
    """
    ours, theirs = list(_words(first)), list(_words(second))
    folded, others = [word.casefold() for word, _ in ours], [word.casefold() for word, _ in theirs]
    if folded == others:
        return "same"
    counts, other_counts = Counter(folded), Counter(others)
    changed = (counts - other_counts).keys() | (other_counts - counts).keys()
    if [word for word in folded if word not in changed] != [word for word in others if word not in changed]:
        return "words"
    if all(any(map(str.isdigit, word)) or _is_sign(word) for word in changed):
        return "digits" if changed else "words"
    names = {
        word.casefold()
        for word, opens in ours + theirs
        if word.casefold() in changed and _is_name(word, opens)
    }
    return "names" if changed <= names else "words"


def _words(text: str) -> Iterator[tuple[str, bool]]:
    """The words and meaningful signs of a text, each with whether it opens a sentence of more than two words."""
    for line in text.split("\n"):
        tokens = [token.group() for token in _TOKEN.finditer(line)]
        opens = sum(token not in _SENTENCE_MARKS for token in tokens) > 2
        sentence = opens
        for token in tokens:
            if token not in _SENTENCE_MARKS:
                yield token, opens
                opens = False
            elif token in _SENTENCE_ENDS:
                opens = sentence


def _is_sign(word: str) -> bool:
    return not any(map(str.isalnum, word))


def _is_name(word: str, opens: bool) -> bool:
    """Whether a word looks like a name: a digit, a capital inside it, or a capital where no sentence begins."""
    if any(map(str.isdigit, word)) or "_" in word or _is_sign(word):
        return True
    if len(word) > 1 and any(map(str.isupper, word[1:])):
        return True
    return word[0].isupper() and not opens and word not in ("I", "A")


def _pieces(first: list[str], second: list[str]) -> Iterator[tuple[bool, int, int, int, int]]:
    """Changed or not, and the places in both lists; the ends that both share are taken off before the work begins."""
    least = min(len(first), len(second))
    head = next((at for at in range(least) if first[at] != second[at]), least)
    tail = next((at for at in range(least - head) if first[-1 - at] != second[-1 - at]), least - head)
    if head:
        yield False, 0, head, 0, head
    middle, other = first[head : len(first) - tail], second[head : len(second) - tail]
    if len(middle) * len(other) > _WORK:
        yield True, head, head + len(middle), head, head + len(other)
    elif middle or other:
        for tag, a, b, c, d in SequenceMatcher(None, middle, other, autojunk=False).get_opcodes():
            yield tag != "equal", head + a, head + b, head + c, head + d
    if tail:
        yield False, len(first) - tail, len(first), len(second) - tail, len(second)
