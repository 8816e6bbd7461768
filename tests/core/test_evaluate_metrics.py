"""Scores of answers: values worked out by hand, and what must hold for any two texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.evaluate.metrics import (
    METRICS,
    chrf,
    exact_match,
    json_exact,
    json_fields,
    json_valid,
    macro_f1,
    rouge_l,
    task_of,
    token_f1,
)

TEXT = st.text(max_size=40)


@pytest.mark.parametrize("name", METRICS)
@given(answer=TEXT, reference=TEXT)
def test_every_score_is_between_0_and_1(name, answer, reference):
    assert 0 <= METRICS[name](answer, reference) <= 1


@pytest.mark.parametrize("name", ["exact_match", "token_f1", "rouge_l", "chrf"])
@given(text=TEXT)
def test_the_reference_itself_is_right(name, text):
    assert METRICS[name](text, text) == pytest.approx(1)


def test_exact_match_forgives_case_articles_and_punctuation():
    assert exact_match("The Eiffel  Tower!", "eiffel tower") == 1
    assert exact_match("Eiffel", "eiffel tower") == 0


def test_token_f1_by_hand():
    assert token_f1("in Paris France", "Paris") == pytest.approx(0.5)
    assert token_f1("", "Paris") == 0


def test_rouge_l_by_hand():
    assert rouge_l("police kill the gunman", "police killed the gunman") == pytest.approx(0.75)
    assert rouge_l("the gunman kill police", "police killed the gunman") == pytest.approx(0.5)


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_rouge_l_counts_the_longest_common_subsequence(one, other):
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, left in enumerate(one):
        for j, right in enumerate(other):
            table[i + 1][j + 1] = table[i][j] + 1 if left == right else max(table[i][j + 1], table[i + 1][j])
    if one and other:
        expected = 2 * table[-1][-1] / (len(one) + len(other))
        assert rouge_l(" ".join(one), " ".join(other)) == pytest.approx(expected)


def test_chrf_by_hand():
    """ "abc" against "abq": 2 of 3 letters, 1 of 2 pairs, 0 of 1 triples, the same share on both sides."""
    assert chrf("abc", "abq") == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert chrf("xyz", "abq") == 0


def test_json_scores():
    reference = '{"name": "Ada", "age": 36, "tags": ["a", "b"]}'
    assert json_exact('```json\n{"age": 36, "tags": ["a", "b"], "name": "Ada"}\n```', reference) == 1
    assert json_fields('{"name": "Ada", "age": 37, "tags": ["a", "b"]}', reference) == pytest.approx(3 / 4)
    assert json_fields('{"name": "Ada", "age": 36, "tags": ["a", "b"], "x": 1}', reference) == pytest.approx(
        4 / 5
    )
    assert json_valid("Here you go: {}", reference) == 0
    assert json_fields("Here you go: {}", reference) == 0
    assert json_fields("[" * 100_000, reference) == 0


def test_true_is_not_1_in_json():
    assert json_fields('{"ok": 1}', '{"ok": true}') == 0


def test_macro_f1_counts_each_label_the_same():
    assert macro_f1(["a", "a", "a", "a"], ["a", "a", "a", "b"]) == pytest.approx((2 * 3 / 7 + 0) / 2)
    assert macro_f1([], []) == 0


@pytest.mark.parametrize(
    ("references", "task"),
    [
        (["yes", "no"] * 10, "labels"),
        (['{"a": 1}', '{"a": 2}'], "json"),
        (["Paris", "Rome", "in 1912"], "short"),
        (["A long answer that goes on for more than ten words in all of it."] * 1, "text"),
    ],
)
def test_the_task_is_seen_from_the_references(references, task):
    assert task_of(references) == task
