"""Precision and recall of the rules about sets, on the labelled pairs; the table of the docs takes these figures."""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

from labelled_pairs import (
    CONTRADICTIONS,
    LABELS,
    OTHER_PROMPTS,
    VARIATIONS,
    Pair,
    near_copies,
    right_labels,
    same_prompts,
    template_pairs,
    unlike_pairs,
    wrong_labels,
)
from scanned_rows import chat, document, scanned

from finetui_core.data.check.catalogue import RULES
from finetui_core.data.check.groups import group_found
from finetui_core.data.check.keys import prompt_key
from finetui_core.data.check.leakage import leakage_found, near_leakage_found
from finetui_core.data.check.near import near_found, near_pairs
from finetui_core.data.conversation import Row

Case = TypeVar("Case")
Measured = tuple[float, float, int]
SYSTEM = "You are a helpful assistant."


def measured() -> dict[str, Measured]:
    """Precision, recall and the number of positives, by rule."""
    copies, templates, unlike = near_copies(), template_pairs(), unlike_pairs()
    documents = [_documents(pair) for pair in copies]
    same = [(chat(a, "x"), chat(b, "y")) for a, b in same_prompts()]
    other = [(chat(a, "x"), chat(b, "y")) for a, b in OTHER_PROMPTS]
    return {
        "exact_duplicate": _rates(
            lambda pair: "exact_duplicate" in _rules(pair),
            [(chat(*one), chat(*one)) for one, _ in copies],
            _chats(copies + templates),
        ),
        "repeated_prompt": _rates(lambda pair: "repeated_prompt" in _rules(pair), same, other),
        "contradiction": _rates(
            lambda pair: "contradiction" in _rules(pair), _answers(CONTRADICTIONS), _answers(VARIATIONS)
        ),
        "near_duplicate": _rates(
            lambda pair: "near_duplicate" in _near_rules(pair), _chats(copies + templates), _chats(unlike)
        ),
        "inconsistent_label": _rates(
            lambda pair: "inconsistent_label" in _near_rules(pair),
            _chats(wrong_labels()),
            _chats(right_labels()),
        ),
        "leakage": _rates(_leaks, same, other),
        "near_leakage": _rates(
            _nearly_leaks,
            [pair for pair in documents if prompt_key(pair[0]) != prompt_key(pair[1])],
            [_documents(pair) for pair in templates + unlike],
        ),
        "mixed_system_prompts": _rates(
            lambda systems: "mixed_system_prompts" in _rules(_with_systems(systems)),
            [{"": 5, SYSTEM: 60}, {"": 60, SYSTEM: 5}, {SYSTEM: 60, "Be rude.": 2}, {SYSTEM: 9, SYSTEM.upper(): 9}],
            [{"": 60}, {SYSTEM: 60}, {"Be kind.": 30, "Be brief.": 30}, {f"You play {n}.": 6 for n in range(10)}],
        ),
        "length_outlier": _length_rates(),
    }  # fmt: skip


def entity_measured() -> Measured:
    """How well rows of one template are told from copies, among rows that are near each other."""
    return _rates(
        lambda pair: _kinds(pair) <= {"names", "digits"} and bool(_kinds(pair)),
        [pair for pair in _chats(template_pairs()) if _kinds(pair)],
        _chats(near_copies()),
    )


def test_every_rule_about_sets_reaches_the_precision_that_its_severity_needs() -> None:
    table = measured()
    for rule, (precision, recall, positives) in table.items():
        assert precision >= (0.95 if RULES[rule].severity == "error" else 0.9), (rule, precision)
        assert recall >= 0.7, (rule, recall)
        assert positives >= 4
    assert table["leakage"][:2] == (1, 1)
    assert table["near_duplicate"][1] >= 0.95
    assert table["contradiction"][1] >= 0.9
    assert sum(positives for _, _, positives in table.values()) > 400


def test_rows_of_one_template_are_told_from_copies() -> None:
    precision, recall, positives = entity_measured()
    assert precision == 1
    assert recall >= 0.9
    assert positives > 20


def _rates(finds: Callable[[Case], bool], positives: list[Case], negatives: list[Case]) -> Measured:
    right, wrong = sum(map(finds, positives)), sum(map(finds, negatives))
    return right / max(1, right + wrong), right / len(positives), len(positives)


def _rules(rows: Iterable[Row]) -> set[str]:
    rows = list(rows)
    return {found.rule for found in group_found(scanned(rows), rows.__getitem__)}


def _near_rules(rows: Iterable[Row]) -> set[str]:
    rows = list(rows)
    pairs = near_pairs(scanned(rows), rows, rows.__getitem__)
    return {found.rule for found in near_found(scanned(rows), pairs, rows.__getitem__, frozenset(LABELS))}


def _kinds(rows: Iterable[Row]) -> set[str]:
    rows = list(rows)
    return {pair.kind for pair in near_pairs(scanned(rows), rows, rows.__getitem__)}


def _leaks(pair: tuple[Row, Row]) -> bool:
    return bool(leakage_found(scanned(pair[:1]), scanned(pair[1:])))


def _nearly_leaks(pair: tuple[Row, Row]) -> bool:
    train, val = pair[:1], pair[1:]
    found = near_leakage_found(scanned(train), scanned(val), train, val, train.__getitem__, val.__getitem__)
    return bool(found)


def _chats(pairs: Iterable[Pair]) -> list[tuple[Row, Row]]:
    return [(chat(*first), chat(*second)) for first, second in pairs]


def _documents(pair: Pair) -> tuple[Row, Row]:
    return document("\n".join(pair[0])), document("\n".join(pair[1]))


def _answers(triples: Iterable[tuple[str, str, str]]) -> list[tuple[Row, Row]]:
    return [(chat(asked, first), chat(asked, second)) for asked, first, second in triples]


def _with_systems(systems: dict[str, int]) -> list[Row]:
    rows = []
    for system, number in systems.items():
        rows += [chat(f"Question {n}?", f"Answer {n}.", system) for n in range(number)]
    return rows


def _length_rates() -> Measured:
    """Answers of 40 to 400 letters, and ten that are thirty times longer or nearly empty."""
    rng = random.Random(2)
    sizes = [int(rng.lognormvariate(5, 0.5)) for _ in range(500)] + [12_000] * 5 + [1] * 5
    rows = [chat("?", "x" * size, "") for size in sizes]
    (found,) = [one for one in group_found(scanned(rows), rows.__getitem__) if one.rule == "length_outlier"]
    right = Counter(example.row >= 500 for example in found.examples)
    return right[True] / found.count, right[True] / 10, 10
