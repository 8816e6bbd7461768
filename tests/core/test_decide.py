"""The rule of `ftui decide`: the situations it was made for, and what must hold for any answers."""

import random
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetui_core.decide.answers import answers_into, answers_toml, nothing_known, read_answers
from finetui_core.decide.explain import can_change, explain, next_question, values_of
from finetui_core.decide.page import page
from finetui_core.decide.questions import KINDS, SHIPPED, UNKNOWN, Answer, read_questions, shipped
from finetui_core.decide.rule import decide
from finetui_core.errors import InputError

QUESTIONS = shipped()
SITUATIONS = tomllib.loads((Path(__file__).parent / "decide_situations.toml").read_text())["vignette"]
VALUES = {one.key: [*values_of(one, QUESTIONS), UNKNOWN] for one in QUESTIONS.questions}
ANSWERS = st.fixed_dictionaries({key: st.sampled_from(values) for key, values in VALUES.items()})


@pytest.mark.parametrize("situation", SITUATIONS, ids=[one["id"] for one in SITUATIONS])
def test_each_known_situation_gets_the_verdict_of_the_literature(situation):
    assert decide(situation["answers"], QUESTIONS).verdict == situation["verdict"]


@pytest.mark.parametrize("situation", SITUATIONS, ids=[one["id"] for one in SITUATIONS])
def test_asking_in_order_and_stopping_early_gives_the_same_verdict(situation):
    answers, asked = nothing_known(), []
    while (question := next_question(answers, QUESTIONS, asked)) is not None:
        answers[question.key] = situation["answers"][question.key]
        asked.append(question.key)
    assert decide(answers, QUESTIONS).verdict == situation["verdict"]
    assert len(asked) < len(KINDS)


@settings(deadline=None, max_examples=20)
@given(ANSWERS, st.randoms(use_true_random=False))
def test_the_order_of_answers_changes_nothing(answers: dict[str, Answer], shuffle: random.Random):
    keys = list(answers)
    shuffle.shuffle(keys)
    assert explain({key: answers[key] for key in keys}, QUESTIONS) == explain(answers, QUESTIONS)


@given(ANSWERS)
def test_more_examples_never_lead_away_from_training(answers):
    trained = {"fine_tune", "both"}
    few, many = ({**answers, "labelled_examples": count} for count in (10, 5_000))
    if decide(few, QUESTIONS).verdict in trained:
        assert decide(many, QUESTIONS).verdict == decide(few, QUESTIONS).verdict


@given(ANSWERS)
def test_more_missing_facts_never_lead_away_from_retrieval(answers):
    looked_up = {"rag", "both"}
    verdicts = [decide({**answers, "facts_needed": facts}, QUESTIONS).verdict for facts in (0, 1, 2)]
    for less, more in pairwise(verdicts):
        if less in looked_up:
            assert more in looked_up
    for before, after in (("none", "missing_facts"), ("wrong_behaviour", "both")):
        if decide({**answers, "failure_kind": before}, QUESTIONS).verdict in looked_up:
            assert decide({**answers, "failure_kind": after}, QUESTIONS).verdict in looked_up


@settings(deadline=None, max_examples=30)
@given(ANSWERS)
def test_a_flip_gives_the_verdict_that_it_names(answers):
    explained = explain(answers, QUESTIONS)
    for flip in explained.flips:
        assert flip.verdict != explained.decision.verdict
        assert decide({**answers, **flip.changes}, QUESTIONS).verdict == flip.verdict


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(SITUATIONS), st.integers(0, 2**32), st.integers(0, 12))
def test_when_nothing_more_is_asked_no_answer_changes_the_verdict(situation, seed, known):
    draw = random.Random(seed)
    answers = nothing_known()
    for key in draw.sample(list(KINDS), known):
        answers[key] = situation["answers"][key]
    asked: list[str] = []
    while (question := next_question(answers, QUESTIONS, asked)) is not None:
        answers[question.key] = draw.choice(values_of(question, QUESTIONS))
        asked.append(question.key)
    verdict = decide(answers, QUESTIONS).verdict
    for _ in range(50):
        rest = {
            key: draw.choice(VALUES[key]) for key in KINDS if answers[key] == UNKNOWN and key not in asked
        }
        assert decide({**answers, **rest}, QUESTIONS).verdict == verdict


def test_every_weight_has_a_source_that_is_told():
    for question in QUESTIONS.questions:
        assert QUESTIONS.cited(question.source)
        for option in question.options:
            assert not (option.context or option.behaviour) or QUESTIONS.cited(option.source)
    assert QUESTIONS.cited(QUESTIONS.economy.source)
    assert QUESTIONS.cited(QUESTIONS.thresholds.source)


def test_a_first_question_that_settles_much_is_asked_first():
    assert next_question(nothing_known(), QUESTIONS).key == "prompt_tried"
    settled = {**SITUATIONS[2]["answers"], "style": UNKNOWN}
    assert SITUATIONS[2]["id"] == "P4"
    assert not can_change(QUESTIONS.question("style"), settled, QUESTIONS)


def test_38_more_examples_are_what_the_report_style_lacks():
    situation = next(one for one in SITUATIONS if one["id"] == "N1")
    explained = explain({**situation["answers"], "eval_set": "heldout"}, QUESTIONS)
    first = explained.flips[0]
    assert (first.verdict, first.says) == ("fine_tune", "with 38 more labelled examples")


@given(ANSWERS)
def test_answers_survive_their_file(tmp_path_factory, answers):
    path = tmp_path_factory.mktemp("answers") / "answers.toml"
    path.write_text(answers_toml(answers, QUESTIONS), encoding="utf-8")
    assert read_answers(path, QUESTIONS) == answers


@settings(deadline=None, max_examples=15)
@given(ANSWERS, ANSWERS)
def test_answers_change_in_a_file_and_its_comments_stay(tmp_path_factory, before, after):
    path = tmp_path_factory.mktemp("answers") / "answers.toml"
    lines = answers_toml(before, QUESTIONS).replace("\nstyle = ", "\n# mine\nstyle = ").splitlines()
    text = "\n".join(f"{line}  # why" if line and line[0] != "#" else line for line in lines)
    path.write_text(answers_into(text, after), encoding="utf-8")
    assert read_answers(path, QUESTIONS) == after
    written = path.read_text(encoding="utf-8")
    assert "# mine\nstyle" in written and written.count("  # why") == len(KINDS)


@given(ANSWERS)
@settings(deadline=None, max_examples=20)
def test_the_page_names_every_question_and_its_answer(answers):
    import datetime

    text = page(answers, explain(answers, QUESTIONS), QUESTIONS, datetime.date(2026, 11, 24))
    assert all(f"| {question.asks} |" in text for question in QUESTIONS.questions)
    assert "## Sources" in text


def test_a_team_can_weigh_otherwise(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text(SHIPPED.read_text().replace("behaviour = 5  ", "behaviour = 9  "))
    questions = read_questions(own)
    situation = next(one for one in SITUATIONS if one["id"] == "F1")
    assert decide(situation["answers"], questions).verdict == "prompt_first"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('key = "style"', 'key = "stile"', 'no rule reads "stile"'),
        ('source = "S12" },', 'source = "S99" },', '"S99" is not in [sources]'),
        ('context = 2, source = "S12"', "context = 2", "has no source"),
        ("value = 2, says", "value = true, says", "needs options of type int"),
        ("schema_version = 1", 'schema_version = "1"', "cannot be used"),
    ],
)
def test_bad_questions_are_named_with_their_place(tmp_path, old, new, said):
    own = tmp_path / "own.toml"
    text = SHIPPED.read_text()
    assert old in text
    own.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as raised:
        read_questions(own)
    assert said in str(raised.value)
    assert all(problem.where.startswith(f"{own}:") for problem in raised.value.problems)
