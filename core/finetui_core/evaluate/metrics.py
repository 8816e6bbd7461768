"""Scores of one answer against its reference, from 0 to 1, and the choice of those that fit a task."""

import json
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

Task = Literal["labels", "json", "short", "text"]
Metric = Callable[[str, str], float]

MOST_LABELS = 30
SHORT_ANSWER = 10  # words
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_CHRF_ORDER, _CHRF_BETA = 6, 2


def task_of(references: Sequence[str]) -> Task:
    """What the references look like: few different ones, JSON, some words, or text."""
    distinct = {normalised(one) for one in references}
    if references and all(is_json(one) for one in references):
        return "json"
    if len(distinct) <= MOST_LABELS and len(references) >= 2 * len(distinct):
        return "labels"
    words = sorted(len(one.split()) for one in references)
    return "short" if words and words[len(words) // 2] <= SHORT_ANSWER else "text"


def normalised(text: str) -> str:
    """SQuAD's form (Rajpurkar et al. 2016): small letters, no punctuation, no articles, single blanks."""
    plain = unicodedata.normalize("NFKC", text).lower()
    without = "".join(one for one in plain if one not in string.punctuation)
    return " ".join(_ARTICLES.sub(" ", without).split())


def exact_match(answer: str, reference: str) -> float:
    return float(normalised(answer) == normalised(reference))


def token_f1(answer: str, reference: str) -> float:
    """F1 over words, as SQuAD counts them."""
    given, wanted = normalised(answer).split(), normalised(reference).split()
    if not given or not wanted:
        return float(given == wanted)
    shared = sum((Counter(given) & Counter(wanted)).values())
    return 2 * shared / (len(given) + len(wanted))


def rouge_l(answer: str, reference: str) -> float:
    """F1 of the longest common subsequence of words (Lin 2004), in small letters, without stemming."""
    given, wanted = _words(answer), _words(reference)
    if not given or not wanted:
        return float(given == wanted)
    return 2 * _common_subsequence(given, wanted) / (len(given) + len(wanted))


def chrf(answer: str, reference: str) -> float:
    """chrF2 (Popović 2015): F-score of character n-grams up to 6, blanks left out, recall counted twice."""
    given, wanted = "".join(answer.split()), "".join(reference.split())
    if not given or not wanted:
        return float(given == wanted)
    precisions, recalls = [], []
    for order in range(1, _CHRF_ORDER + 1):
        one, other = _ngrams(given, order), _ngrams(wanted, order)
        if not one or not other:
            break
        shared = sum((one & other).values())
        precisions.append(shared / sum(one.values()))
        recalls.append(shared / sum(other.values()))
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    if precision + recall == 0:
        return 0.0
    weight = _CHRF_BETA**2
    return (1 + weight) * precision * recall / (weight * precision + recall)


def json_valid(answer: str, reference: str) -> float:
    return float(is_json(answer))


def json_fields(answer: str, reference: str) -> float:
    """The share of the reference's fields that the answer has with the same value; extra fields cost their share."""
    given, wanted = _leaves(_parsed(answer)), _leaves(_parsed(reference))
    if not wanted:
        return float(given == wanted)
    right = sum(key in given and given[key] == value for key, value in wanted.items())
    return right / len(wanted.keys() | given.keys())


def json_exact(answer: str, reference: str) -> float:
    return float(is_json(answer) and _leaves(_parsed(answer)) == _leaves(_parsed(reference)))


METRICS: Mapping[str, Metric] = {
    "exact_match": exact_match,
    "token_f1": token_f1,
    "rouge_l": rouge_l,
    "chrf": chrf,
    "json_valid": json_valid,
    "json_fields": json_fields,
    "json_exact": json_exact,
}
OF_TASK: Mapping[Task, tuple[str, ...]] = {
    "labels": ("exact_match",),
    "json": ("json_fields", "json_exact", "json_valid"),
    "short": ("exact_match", "token_f1"),
    "text": ("rouge_l", "chrf"),
}
"""The metrics of a task; the verdict is by the first."""


def macro_f1(answers: Sequence[str], references: Sequence[str]) -> float:
    """F1 averaged over the labels of the references, each counting the same."""
    labels = sorted({normalised(one) for one in references})
    pairs = [(normalised(one), normalised(other)) for one, other in zip(answers, references, strict=True)]
    scores = []
    for label in labels:
        both = sum(given == label == wanted for given, wanted in pairs)
        either = sum(given == label for given, _ in pairs) + sum(wanted == label for _, wanted in pairs)
        scores.append(2 * both / either if either else 0.0)
    return sum(scores) / len(scores) if scores else 0.0


def is_json(text: str) -> bool:
    return isinstance(_parsed(text), dict | list)


_NOT_JSON = object()


def _parsed(text: str) -> Any:
    """The value in an answer, also between the fences that chat models put around it."""
    inside = re.fullmatch(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", text, re.DOTALL)
    try:
        return json.loads(inside[1] if inside else text)
    except (ValueError, RecursionError):
        return _NOT_JSON


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    if value is _NOT_JSON:
        return {}
    if isinstance(value, dict) and value:
        return {
            key: leaf for name, part in value.items() for key, leaf in _leaves(part, f"{path}/{name}").items()
        }
    if isinstance(value, list) and value:
        return {
            key: leaf for at, part in enumerate(value) for key, leaf in _leaves(part, f"{path}/{at}").items()
        }
    return {path: value if not isinstance(value, bool) else str(value)}


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _ngrams(text: str, order: int) -> Counter[str]:
    return Counter(text[start : start + order] for start in range(len(text) - order + 1))


def _common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """Its length, by bit-parallel steps (Hyyrö 2004): one integer operation a word."""
    places: dict[str, int] = {}
    for at, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << at
    full = (1 << len(one)) - 1
    row = full
    for word in other:
        matched = row & places.get(word, 0)
        row = ((row + matched) | (row - matched)) & full
    return len(one) - row.bit_count()
