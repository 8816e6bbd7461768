"""Blind ratings: fair and hidden order, going on later, and what the counts can show."""

from dataclasses import dataclass

import msgspec
import pytest

from comparisons import a_result
from finetui_core.evaluate.ratings import Rating, next_pair, rating, summary


def rate_all(result, choose, seed=1):
    rated = []
    while (pair := next_pair(result, rated, seed)) is not None:
        rated.append(rating(pair, choose(pair), float(len(rated))))
    return rated


def test_every_row_is_shown_once_in_an_order_that_hides_the_arms():
    result = a_result({"zero_shot": [0.0] * 200, "tuned": [1.0] * 200})
    rated = rate_all(result, lambda pair: "tie")
    assert sorted(one.index for one in rated) == list(range(200))
    assert [one.index for one in rated] != list(range(200))
    assert 70 < sum(one.first == "tuned" for one in rated) < 130
    assert rated == rate_all(result, lambda pair: "tie")
    assert [one.index for one in rate_all(result, lambda pair: "tie", seed=2)] != [one.index for one in rated]


def test_rating_goes_on_from_the_file_and_passes_over_equal_answers():
    result = a_result({"zero_shot": [0.0] * 10, "tuned": [1.0] * 10})
    rated = rate_all(result, lambda pair: "first")
    kept = [msgspec.json.decode(msgspec.json.encode(one), type=Rating) for one in rated[:4]]
    assert next_pair(result, kept, 1).index == rated[4].index
    assert next_pair(result, kept, 1, same=[rated[4].index]).index == rated[5].index
    assert next_pair(result, [], 1, same=range(10)) is None


def test_ratings_of_other_answers_do_not_count():
    result = a_result({"zero_shot": [0.0] * 10, "tuned": [1.0] * 10})
    rated = rate_all(result, lambda pair: "first")
    again = msgspec.structs.replace(
        result, plan=msgspec.structs.replace(result.plan, fingerprints={"tuned": "another"})
    )
    assert next_pair(again, rated, 1) is not None
    assert summary(again, rated).wins == summary(again, rated).losses == 0


@dataclass
class Counts:
    wins: int
    losses: int
    ties: int


@pytest.mark.parametrize(
    ("counts", "p", "more"),
    [
        (Counts(9, 0, 1), 0.0039, 0),
        (Counts(5, 5, 0), 1.0, None),
        (Counts(0, 0, 3), 1.0, None),
        (Counts(14, 6, 0), 0.115, 27),
        (Counts(6, 14, 20), 0.115, 54),
    ],
)
def test_what_the_counts_show_and_how_many_more_are_needed(counts, p, more):
    rows = counts.wins + counts.losses + counts.ties
    result = a_result({"zero_shot": [0.0] * rows, "tuned": [1.0] * rows})
    wanted = iter(["tuned"] * counts.wins + ["zero_shot"] * counts.losses + ["tie"] * counts.ties)

    def choose(pair):
        return {pair.first: "first", pair.second: "second", "tie": "tie"}[next(wanted)]

    found = summary(result, rate_all(result, choose))
    assert (found.arm, found.against) == ("tuned", "zero_shot")
    assert (found.wins, found.losses, found.ties) == (counts.wins, counts.losses, counts.ties)
    assert found.p == pytest.approx(p, abs=0.001)
    assert found.more == more
    assert found.says


def test_one_arm_has_nobody_to_be_rated_against():
    result = a_result({"zero_shot": [0.0] * 3})
    assert next_pair(result, [], 1) is None
    assert summary(result, []) is None
