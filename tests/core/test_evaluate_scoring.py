"""The metrics of a comparison: chosen by what the references look like, or a user's own, however it behaves."""

import sys

import msgspec
import numpy as np
import pytest

from comparisons import answers, rows_of
from finetui_core.errors import InputError
from finetui_core.evaluate.scoring import choose_scoring, macro_f1_score, mean_score, score_arm

OWN = """
import math
def length(answer, reference): return min(1.0, len(answer) / max(1, len(reference)))
def picky(answer, reference):
    if answer == "bad": raise KeyError("no such thing")
    return 1.0
def lost(answer, reference): return math.nan if answer != reference else 1.0
def wordy(answer, reference): return "good" if answer != reference else 1
constant = 5
"""


@pytest.fixture
def own_module(tmp_path):
    (tmp_path / "own_metric_of_test.py").write_text(OWN)
    yield tmp_path
    sys.modules.pop("own_metric_of_test", None)


@pytest.mark.parametrize(
    ("references", "task", "metrics"),
    [
        (["yes", "no"] * 10, "labels", ["exact_match"]),
        (['{"a": 1}', '{"a": 2}'], "json", ["json_fields", "json_exact", "json_valid"]),
        ([f"city number {n}" for n in range(9)], "short", ["exact_match", "token_f1"]),
        ([f"a long sentence about the matter {n} " * 3 for n in range(9)], "text", ["rouge_l", "chrf"]),
    ],
)
def test_metrics_follow_the_references(tmp_path, references, task, metrics):
    scoring = choose_scoring(rows_of(references), None, tmp_path)
    assert (scoring.task, list(scoring.functions), scoring.metric) == (task, metrics, metrics[0])
    named = choose_scoring(rows_of(references), "chrf", tmp_path)
    assert named.metric == "chrf"
    assert set(named.functions) == {*metrics, "chrf"}


def test_scores_of_rows_with_an_error_and_without_likelihood(tmp_path):
    rows = rows_of(["yes", "no", "yes", "no"])
    scoring = choose_scoring(rows, None, tmp_path)
    given = answers(["Yes.", "no", "no", "no"])
    given[3] = msgspec.structs.replace(given[3], ended="error", error="no answer")
    scores = score_arm(scoring, rows, given, "tuned")
    assert scores == {"exact_match": (1, 1, 0, 0), "nll": (0.5,) * 4}
    assert list(score_arm(scoring, rows, answers(["yes"] * 4, nll=None), "endpoint")) == ["exact_match"]


def test_a_metric_of_the_users_own_decides(own_module):
    rows = rows_of(["four", "five"])
    scoring = choose_scoring(rows, "own_metric_of_test:length", own_module)
    assert scoring.metric == "own_metric_of_test:length"
    assert score_arm(scoring, rows, answers(["fo", "five"]), "tuned")[scoring.metric] == (0.5, 1.0)
    assert str(own_module) not in sys.path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("picky", "raises KeyError"),
        ("lost", "returns nan, which is no finite number"),
        ("wordy", "returns 'good', which is no finite number"),
    ],
)
def test_a_metric_that_fails_names_the_rows(own_module, name, words):
    rows = rows_of([f"reference {number}" for number in range(9)])
    scoring = choose_scoring(rows, f"own_metric_of_test:{name}", own_module)
    with pytest.raises(InputError) as raised:
        score_arm(scoring, rows, answers(["bad"] * 9), "tuned")
    problems = raised.value.problems
    assert words in problems[0].what
    assert problems[0].what.endswith("on the answer of tuned")
    assert problems[0].where == "val.jsonl:1"
    assert len(problems) == 6
    assert "4 more rows" in problems[-1].what


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("bleu", "no metric named 'bleu'"),
        ("no_such_module_here:score", "cannot be imported: ModuleNotFoundError"),
        ("own_metric_of_test:nothing", "has no function 'nothing'"),
        ("own_metric_of_test:constant", "has no function 'constant'"),
        ("leaves_at_import:score", "cannot be imported: SystemExit"),
        (":score", "cannot be imported"),
    ],
)
def test_a_metric_that_is_not_there_is_said_before_anything_runs(own_module, wanted, words):
    (own_module / "leaves_at_import.py").write_text("raise SystemExit(3)")
    with pytest.raises(InputError, match="--metric") as raised:
        choose_scoring(rows_of(["a", "b"]), wanted, own_module)
    assert words in raised.value.problems[0].what
    assert raised.value.problems[0].hint


def test_intervals_of_scores():
    share = mean_score([1.0] * 8 + [0.0] * 2, None, 0)
    assert (round(share.interval.low, 3), round(share.interval.high, 3)) == (0.490, 0.943)
    graded = mean_score([0.2, 0.4, 0.6] * 20, None, 0)
    assert graded.interval.low < graded.mean < graded.interval.high
    assert graded.mean == pytest.approx(0.4)
    grouped = mean_score([1.0] * 20 + [0.0] * 20, ["a"] * 20 + ["b"] * 20, 0)
    assert (grouped.interval.low, grouped.interval.high) == (0.0, 1.0)


def test_the_interval_of_macro_f1_holds_its_value_and_narrows():
    generator = np.random.default_rng(1)
    references = [str(one) for one in generator.integers(0, 3, 400)]
    texts = [one if generator.random() < 0.7 else "other" for one in references]
    wide, narrow = (macro_f1_score(texts[:n], references[:n], None, 0) for n in (40, 400))
    for score in (wide, narrow):
        assert score.interval.low < score.mean < score.interval.high
    assert narrow.interval.high - narrow.interval.low < (wide.interval.high - wide.interval.low) / 2
    assert macro_f1_score(["a", "b"], ["a", "b"], None, 0).mean == 1.0
