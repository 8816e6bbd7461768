"""BM25 over texts (Robertson and Zaragoza 2009, as Lucene counts it): which of them share rare words with a question.

Needs no weights and gives the same answer everywhere, so that the retrieved arm is a bar that anybody can build.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np

# Scripts written without spaces between words: Thai to Lao, Myanmar, Khmer, kana, Han.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
)
_RUN = re.compile(rf"([{_UNSPACED}]+)|((?:(?![{_UNSPACED}])\w)+)")

Retriever = Callable[[str, int], list[int]]
"""Of a question and a number, the places of so many texts at most, the best first; none that shares no word."""


def terms(text: str) -> list[str]:
    """The words of a text in small letters; of scripts without spaces each pair of neighbouring characters."""
    found: list[str] = []
    for run, word in _RUN.findall(text.casefold()):
        if len(run) > 1:
            found += [run[at : at + 2] for at in range(len(run) - 1)]
        else:
            found.append(run or word)
    return found


def retriever(texts: Sequence[str]) -> Retriever:
    """The function that finds those of `texts` that fit a question; of equally good ones the first comes first."""
    import bm25s

    vocabulary: dict[str, int] = {}
    documents = [[vocabulary.setdefault(term, len(vocabulary)) for term in terms(text)] for text in texts]
    if not vocabulary:
        return lambda question, count: []
    index = bm25s.BM25()
    index.index((documents, vocabulary), create_empty_token=False, show_progress=False)

    def best(question: str, count: int) -> list[int]:
        asked = [vocabulary[term] for term in terms(question) if term in vocabulary]
        if not asked:
            return []
        scores = index.get_scores_from_ids(asked)
        places = np.flatnonzero(scores > 0)
        order = np.argsort(-scores[places], kind="stable")[:count]
        return [int(place) for place in places[order]]

    return best
