"""A comparison on disk: killed and gone on with, changed plans, and what the untrained model has said before."""

import os
from contextlib import suppress

import msgspec
import pytest

from comparisons import a_plan, answers, rows_of
from finetui_core.errors import InputError, RunFailed
from finetui_core.evaluate.answers_file import read_answers
from finetui_core.evaluate.comparison import Follower, Planned, Ways, run_comparison
from finetui_core.evaluate.figures import ComparisonPaths, Prompt, Result, Working
from finetui_core.evaluate.kept_answers import (
    arm_fingerprint,
    comparison_folders,
    folder_fingerprint,
)
from finetui_core.evaluate.scoring import choose_scoring
from finetui_core.runs.records import encode_line

REFERENCES = ["yes", "no"] * 10
RIGHT = {"zero_shot": 5, "few_shot": 8, "tuned": 20}


def planned(runs, folder, arms=("zero_shot", "tuned"), *, shots="four", weights="step 1", metric=None):
    """Of the arms with shots the prompts depend on `shots`, the tuned ones' weights are `weights`."""
    rows = rows_of(REFERENCES)
    prompts = {
        arm: [
            Prompt(row.index, row.prompt, (shots,) if "shot" in arm and arm != "zero_shot" else ())
            for row in rows
        ]
        for arm in arms
    }
    prints = {
        arm: arm_fingerprint(weights if arm == "tuned" else "base", 32, rows, prompts[arm]) for arm in arms
    }
    plan = a_plan(arms, len(rows), fingerprints=prints)
    return Planned(ComparisonPaths(folder), plan, rows, prompts, choose_scoring(rows, metric, runs), runs)


class Asking:
    """Answers as a model would: RIGHT says how many it knows. After `most` answers it is interrupted."""

    def __init__(self, most=10**6, error=KeyboardInterrupt, refused=()):
        self.asked, self.most, self.error, self.refused = [], most, error, refused

    def __call__(self, arm, prompts, rows, path, progress):
        done = read_answers(path)
        texts = [one if number < RIGHT[arm.name] else "?" for number, one in enumerate(REFERENCES)]
        with path.open("ab") as file:
            for answer in answers(texts):
                if answer.index in done:
                    continue
                if len(self.asked) == self.most:
                    file.write(b'{"index":3,"text":"torn')
                    raise self.error
                if answer.index in self.refused:
                    answer = msgspec.structs.replace(answer, ended="error", error="a page of HTML")
                self.asked.append((arm.name, answer.index))
                file.write(encode_line(answer))
                progress(answer.index + 1)


def go(one, asking, judge=None, load=None):
    said = []
    result = run_comparison(one, Ways(asking, load or (lambda: None), judge), Follower(said.append))
    return result, said


def working(one):
    return msgspec.json.decode(one.paths.working.read_bytes(), type=Working)


def test_what_is_answered_is_kept_when_it_is_interrupted(tmp_path):
    one = planned(tmp_path, tmp_path / "c")
    first = Asking(most=27)
    with pytest.raises(KeyboardInterrupt):
        go(one, first)
    assert working(one).phase == "stopped"
    assert not one.paths.result.exists()
    again = Asking()
    result, said = go(one, again)
    assert len(again.asked) == 40 - 27
    assert not {*first.asked} & {*again.asked}
    assert result.verdict.arm == "tuned"
    assert any(line.startswith("tuned: 7 of 20 rows are answered already") for line in said)
    assert msgspec.json.decode(one.paths.result.read_bytes(), type=Result) == result
    assert one.paths.page.read_text().startswith("# Is the tuned model better?")
    assert (working(one).phase, working(one).pid) == ("done", os.getpid())
    go(one, nothing := Asking(), load=pytest.fail)
    assert nothing.asked == []


def test_a_failure_says_what_it_was_and_keeps_the_answers(tmp_path):
    one = planned(tmp_path, tmp_path / "c")
    with pytest.raises(RunFailed):
        go(one, Asking(most=3, error=RunFailed("the device is gone")))
    assert (working(one).phase, working(one).message) == ("failed", "the device is gone")
    assert len(read_answers(one.paths.answers("zero_shot"))) == 3


def test_a_changed_plan_asks_anew_and_the_old_one_finds_its_answers_again(tmp_path):
    arms = ("zero_shot", "few_shot")
    go(planned(tmp_path, tmp_path / "c", arms), Asking())
    changed = Asking()
    go(planned(tmp_path, tmp_path / "c", arms, shots="other"), changed)
    assert {arm for arm, _ in changed.asked} == {"few_shot"}
    back = Asking()
    go(planned(tmp_path, tmp_path / "c", arms), back)
    assert back.asked == []


def test_the_bar_measured_before_training_is_taken_over_by_the_run(tmp_path):
    before = planned(tmp_path, tmp_path / ".compare" / "mine-1", ("zero_shot", "few_shot"))
    go(before, Asking())
    run = tmp_path / "20260101T000000-mine-abcdef" / "report" / "compare"
    after = planned(tmp_path, run, ("zero_shot", "few_shot", "tuned"))
    asking = Asking()
    result, _ = go(after, asking)
    assert {arm for arm, _ in asking.asked} == {"tuned"}
    assert [one.arm.name for one in result.arms] == ["zero_shot", "few_shot", "tuned"]
    assert {one.root for one in comparison_folders(tmp_path)} == {before.paths.root, run}
    trained_on = planned(tmp_path, run, ("zero_shot", "few_shot", "tuned"), weights="step 2")
    go(trained_on, further := Asking())
    assert {arm for arm, _ in further.asked} == {"tuned"}


def test_missing_answers_are_asked_again_and_an_arm_without_all_is_left_out(tmp_path):
    one = planned(tmp_path, tmp_path / "c")

    def stops(arm, prompts, rows, path, progress):
        with suppress(KeyboardInterrupt):
            Asking(most=20 if arm.name == "zero_shot" else 7, refused=(3,))(
                arm, prompts, rows, path, progress
            )

    result, _ = go(one, stops)
    assert [arm.arm.name for arm in result.arms] == ["zero_shot"]
    assert result.arms[0].errors == 1
    assert result.plan.notes == ("tuned is left out, 14 of 20 rows have no answer: a page of HTML",)
    again = Asking()
    result, _ = go(one, again)
    assert ("zero_shot", 3) in again.asked
    assert len(again.asked) == 1 + 13 + 1
    assert result.verdict.arm == "tuned"
    nothing = planned(tmp_path, tmp_path / "d")
    with pytest.raises(RunFailed, match="zero_shot gave no answer: nothing was written"):
        go(nothing, lambda *asked: None)


def test_one_process_at_a_time(tmp_path):
    one = planned(tmp_path, tmp_path / "c")

    def meets_another(*asked):
        with pytest.raises(InputError, match=f"another process is at this comparison .process {os.getpid()}"):
            go(one, Asking())
        Asking()(*asked)

    go(one, meets_another)


def test_a_metric_that_fails_loses_no_answer(tmp_path):
    (tmp_path / "fails_at_last.py").write_text("def score(answer, reference): return 1 / (answer != '?')")
    one = planned(tmp_path, tmp_path / "c", metric="fails_at_last:score")
    with pytest.raises(InputError, match="ZeroDivisionError"):
        go(one, Asking())
    assert working(one).phase == "failed"
    go(planned(tmp_path, tmp_path / "c"), again := Asking())
    assert again.asked == []


def test_a_model_is_known_by_its_files(tmp_path):
    files = [tmp_path / "config.json", tmp_path / "model.safetensors"]
    files[0].write_text("{}")
    files[1].write_bytes(bytes(200_000))
    before = folder_fingerprint(files)
    assert folder_fingerprint(reversed(files)) == before
    files[1].write_bytes(bytes(199_999) + b"1")
    assert folder_fingerprint(files) != before
