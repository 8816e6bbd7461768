"""The verdict and its page: which arm is taken, what is said for it, and what is said against it."""

import msgspec
import numpy as np
import pytest

from comparisons import ARMS, a_plan, answers, rows_of
from finetui_core.evaluate.choice import choose
from finetui_core.evaluate.figures import Judged, Result
from finetui_core.evaluate.page import largest_differences, page, plan_lines
from finetui_core.evaluate.scoring import choose_scoring, score_arm
from finetui_core.evaluate.statistics import wilson
from finetui_core.evaluate.verdict import decide


def as_range(count):
    return count if isinstance(count, range) else range(count)


def concluded(tmp_path, right, rows=100, nll=None, **changes):
    """The result of arms that have the first so many of `rows` labels right, or those in a range."""
    references = ["yes", "no"] * (rows // 2) + ["yes"] * (rows % 2)
    tests = rows_of(references)
    plan = a_plan(list(right), rows, **changes)
    given = {
        name: answers(
            [one if number in as_range(count) else "perhaps" for number, one in enumerate(references)],
            (nll or {}).get(name, 5.0),
        )
        for name, count in right.items()
    }
    scoring = choose_scoring(tests, None, tmp_path)
    scores = {name: score_arm(scoring, tests, one, name) for name, one in given.items()}
    arms, verdict = decide(plan, tests, given, scores)
    return Result(plan, arms, verdict, scores), tests, given


def test_the_better_arm_is_taken_and_a_dearer_one_that_is_no_better_is_not(tmp_path):
    result, *_ = concluded(tmp_path, {"zero_shot": 30, "tuned": 70, "few_shot": 40, "retrieved": 72})
    verdict = result.verdict
    assert (verdict.arm, verdict.judgement) == ("tuned", "better")
    assert verdict.says.startswith(
        "Take the tuned model: exact match 70.0 against 30.0 without help, a gain of 40.0 points (+"
    )
    assert any("after Holm's correction over 3 arms" in one for one in verdict.reasons)
    assert any(
        one.startswith("The model with looked-up examples costs more and is not shown to be better")
        for one in verdict.reasons
    )
    assert any("station 6" in one for one in verdict.next_steps)


def test_a_dearer_arm_is_taken_where_it_is_shown_to_be_better(tmp_path):
    result, *_ = concluded(tmp_path, {"zero_shot": 30, "tuned": 50, "retrieved": 80})
    assert (result.verdict.arm, result.verdict.judgement) == ("retrieved", "better")
    assert any("BM25" in one for one in result.verdict.next_steps)
    assert any("ftui data value" in one for one in result.verdict.next_steps)


def test_a_cheaper_arm_that_cannot_be_told_apart_is_named():
    """20 rows: the dearer arm just passes, and the cheaper one just does not."""
    base = [0.0] * 20
    few, retrieved = [1.0] * 6 + [0.0] * 14, [1.0] * 8 + [0.0] * 12
    arms = [ARMS[name] for name in ("zero_shot", "tuned", "few_shot", "retrieved")]
    choice = choose(arms, {"zero_shot": base, "tuned": base, "few_shot": few, "retrieved": retrieved})
    assert choice.against_base["few_shot"].judgement == "no_difference_shown"
    assert (choice.arm, choice.undecided) == ("retrieved", ("few_shot",))


def test_few_rows_are_said_to_be_few(tmp_path):
    result, *_ = concluded(tmp_path, {"zero_shot": 10, "tuned": 14}, rows=24)
    verdict = result.verdict
    assert (verdict.arm, verdict.judgement) == ("zero_shot", "no_difference_shown")
    assert "24 rows do not show that anything is better" in verdict.says
    assert (
        "These 24 rows can only show gains above 30 points, and those where no answer gets worse; a smaller one may "
        "be there." in verdict.reasons
    )
    wide, *_ = concluded(tmp_path, {"zero_shot": 40, "tuned": range(6, 50)})
    assert (
        "These 100 rows can only show gains above 11 points; a smaller one may be there."
        in wide.verdict.reasons
    )
    assert any("would be shown by about" in one for one in wide.verdict.next_steps)
    assert any("More held-out rows" in one for one in verdict.next_steps)
    assert "only show gains above 30 points" in next(
        one for one in plan_lines(result.plan) if "rows can" in one
    )


@pytest.mark.parametrize(
    ("tuned", "rows", "judgement", "words"),
    [
        (20, 100, "worse", "Stay with the model as it is: the tuned model is worse, a loss of 30.0 points"),
        (50, 200, "equivalent", "does as well and no better, a gain of 0.0 points"),
    ],
)
def test_the_base_stays_where_tuning_does_harm_or_nothing(tmp_path, tuned, rows, judgement, words):
    result, *_ = concluded(tmp_path, {"zero_shot": 50, "tuned": tuned}, rows=rows)
    assert (result.verdict.arm, result.verdict.judgement) == ("zero_shot", judgement)
    assert words in result.verdict.says


def test_before_training_the_best_way_is_the_bar_to_beat(tmp_path):
    result, tests, given = concluded(tmp_path, {"zero_shot": 30, "few_shot": 35, "retrieved": 80})
    assert result.verdict.arm == "retrieved"
    assert result.verdict.next_steps[0] == (
        "The bar to beat by training is exact match 80.0: ftui train recipe.toml (station 5)."
    )
    assert page(result, tests, given).startswith("# What is there to beat by training?")
    alone, *_ = concluded(tmp_path, {"zero_shot": 30})
    assert alone.verdict.arm == "zero_shot"


def test_retrieval_that_harms_the_tuned_model_is_said(tmp_path):
    result, *_ = concluded(tmp_path, {"zero_shot": 30, "tuned": 90, "tuned_retrieved": 70})
    assert any(
        one.startswith("Looked-up examples make the tuned model worse, a loss of 20.0 points")
        for one in result.verdict.reasons
    )


def test_likelihood_is_reported_beside_answers(tmp_path):
    result, *_ = concluded(tmp_path, {"zero_shot": 50, "tuned": 50}, nll={"zero_shot": 20.0, "tuned": 5.0})
    assert any(
        one.startswith("The references are likelier under the tuned model, by 1.50 nats per token")
        for one in result.verdict.reasons
    )
    assert result.arms[1].perplexity == pytest.approx(np.exp(0.5))
    assert result.arms[1].bits_per_byte == pytest.approx(0.125 / np.log(2))


def test_answers_cut_and_answers_missing_are_stated(tmp_path):
    references = ["yes", "no"] * 10
    tests, plan = rows_of(references), a_plan(["zero_shot", "endpoint"], 20)
    whole = answers(references)
    cut = [msgspec.structs.replace(one, ended="length") if one.index < 5 else one for one in whole]
    failed = [
        msgspec.structs.replace(one, ended="error", error="a page of HTML") if one.index < 3 else one
        for one in whole
    ]
    given = {"zero_shot": cut, "endpoint": failed}
    scoring = choose_scoring(tests, None, tmp_path)
    scores = {name: score_arm(scoring, tests, one, name) for name, one in given.items()}
    _, verdict = decide(plan, tests, given, scores)
    said = " ".join(verdict.reasons)
    assert "25 % of the answers of the model as it is reach the longest length of 32 tokens" in said
    assert "The endpoint gave no answer to 3 rows, which count as 0." in said


def test_rows_of_one_origin_count_once(tmp_path):
    tests = [
        msgspec.structs.replace(row, group=f"customer {row.index // 10}")
        for row in rows_of(["yes", "no"] * 25)
    ]
    plan = a_plan(["zero_shot", "tuned"], 50)
    given = {"zero_shot": answers(["perhaps"] * 50), "tuned": answers(["yes", "no"] * 25)}
    scoring = choose_scoring(tests, None, tmp_path)
    scores = {name: score_arm(scoring, tests, one, name) for name, one in given.items()}
    _, verdict = decide(plan, tests, given, scores)
    assert verdict.judgement == "no_difference_shown"
    assert any("come from 5 origins" in one for one in verdict.reasons)


def test_a_metric_beyond_one_is_shown_as_it_counts_and_is_never_equivalent(tmp_path):
    rows = 200
    tests, plan = rows_of(["x"] * rows), a_plan(["zero_shot", "tuned"], rows, metric="my:own", task="text")
    given = {name: answers(["x"] * rows) for name in ("zero_shot", "tuned")}
    scores = {name: {"my:own": tuple(7.0 + number % 2 for number in range(rows))} for name in given}
    _, verdict = decide(plan, tests, given, scores)
    assert verdict.judgement == "no_difference_shown"
    assert "points" not in verdict.says


def test_the_page_reads_well_and_no_text_of_others_leaves_its_place(tmp_path):
    hostile = "\x1b]52;c;AA\x07 | **bold** <script>\n# heading\n```"
    references = ["yes", "no"] * 20
    tests = rows_of(references, [f"{hostile} {number}" for number in range(40)])
    plan = a_plan(["zero_shot", "tuned"], 40, excluded={"same question as a training row": 7}, model=hostile)
    given = {
        "zero_shot": answers([hostile] * 39 + [references[39]]),
        "tuned": answers([*references[:39], hostile]),
    }
    scoring = choose_scoring(tests, None, tmp_path)
    scores = {name: score_arm(scoring, tests, one, name) for name, one in given.items()}
    arms, verdict = decide(plan, tests, given, scores)
    judged = Judged("tuned", "zero_shot", 30, 5, 5, 0, wilson(30, 35), 1e-5)
    result = Result(plan, arms, verdict, scores, (judged,))
    text = page(result, tests, given)
    assert text.startswith("# Is the tuned model better?\n")
    assert "\x1b" not in text
    assert "left out: 7 same question as a training row" in text
    assert "| → tuned | 97.5 (" in text
    assert "macro-F1" in text
    assert "30 wins" in text
    shown = [line for line in text.splitlines() if "heading" in line and not line.startswith("    ")]
    assert all("␊" in line for line in shown)
    assert [line for line in text.splitlines() if line.startswith(("```", "# heading"))] == []
    assert text.count("### val.jsonl:") == 3
    assert "### val.jsonl:40" in text
    assert msgspec.json.decode(msgspec.json.encode(result), type=Result) == result


def test_rows_where_arms_differ_most_have_one_on_the_other_side(tmp_path):
    result, *_ = concluded(tmp_path, {"zero_shot": 30, "tuned": 70})
    assert largest_differences(result, "tuned", "zero_shot") == [30, 31, 32]
    same, *_ = concluded(tmp_path, {"zero_shot": 30, "tuned": 30})
    assert largest_differences(same, "tuned", "zero_shot") == []
