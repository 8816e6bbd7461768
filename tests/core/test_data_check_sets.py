"""What rows are to each other: keys, groups, near-duplicates, leakage, contamination and word differences."""

import os
import random
import subprocess
import sys
from array import array
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_pairs import TEXTS, near_copies
from scanned_rows import chat, document, scanned

from finetui_core.data.check import groups, near
from finetui_core.data.check.contamination import contamination
from finetui_core.data.check.contradictions import contradiction
from finetui_core.data.check.differences import kind_of_difference, word_diff
from finetui_core.data.check.findings import Found
from finetui_core.data.check.groups import group_found, label_set, repeated
from finetui_core.data.check.keys import letters, normalised, prompt_key, row_key
from finetui_core.data.check.leakage import leakage_found, leaked, near_leakage_found
from finetui_core.data.check.minhash import Groups, shingles, similar_pairs, similarity, sketch
from finetui_core.data.check.near import near_found, near_pairs, near_text
from finetui_core.data.conversation import Conversation, Message, Row
from finetui_core.errors import Problem

ANY_TEXT = st.text(st.characters(), max_size=300)
WORDS = st.lists(
    st.sampled_from(["alpha", "Beta", "gamma", "12", "x7", "Straße", "Ünder", "год", "你好", "naïve"]),
    min_size=1,
)
BROKEN = Problem("broken")


def by_rule(found: list[Found]) -> dict[str, Found]:
    return {one.rule: one for one in found}


@given(WORDS, st.randoms(use_true_random=False))
def test_case_spaces_and_sentence_punctuation_leave_the_prompt_key_alone(
    words: list[str], rng: random.Random
) -> None:
    plain = chat(" ".join(words), "a")
    dressed = " " * rng.randint(0, 2)
    for word in words:
        dressed += rng.choice((str.upper, str.lower, str.title, str))(word)
        dressed += rng.choice(("", ".", ",", "!", "?", ";", "…", '"', "”", ")", "。"))
        dressed += rng.choice((" ", "\n", "\t ", "  ", "\u00a0", " – "))
    assert prompt_key(chat(dressed, "b")) == prompt_key(plain)


@given(ANY_TEXT, ANY_TEXT)
def test_any_text_has_keys_letters_and_differences(first: str, second: str) -> None:
    for row in (chat(first, second), document(first)):
        assert 0 < row_key(row) < 1 << 64
        assert 0 < prompt_key(row) < 1 << 64
    assert normalised(normalised(first).decode("utf-8", "surrogatepass")) == normalised(first) or "-" in first
    assert len(letters(first)) <= 6 * len(first)
    contradiction(first, first, second)
    kind_of_difference(first, second)
    assert kind_of_difference(first, first) == "same"
    assert similarity(shingles(first), shingles(first)) == 1


@given(ANY_TEXT, ANY_TEXT)
def test_a_word_difference_covers_both_texts_and_its_like_pieces_are_alike_but_for_spaces(
    first: str, second: str
) -> None:
    spans = word_diff(first, second)
    assert "".join(first[span.first_begin : span.first_end] for span in spans) == first
    assert "".join(second[span.second_begin : span.second_end] for span in spans) == second
    for span in spans:
        ours = first[span.first_begin : span.first_end]
        theirs = second[span.second_begin : span.second_end]
        if not span.changed:
            assert "".join(ours.split()) == "".join(theirs.split())


def test_a_word_difference_names_the_words_that_changed() -> None:
    first, second = "The red fox jumps high.", "The quick red fox sleeps high."
    pieces = [
        (
            first[span.first_begin : span.first_end].strip(),
            second[span.second_begin : span.second_end].strip(),
        )
        for span in word_diff(first, second)
        if span.changed
    ]
    assert pieces == [("", "quick"), ("jumps", "sleeps")]


def test_the_difference_of_two_very_long_texts_ends() -> None:
    rng = random.Random(1)
    first, second = (" ".join(f"w{rng.randrange(50)}" for _ in range(200_000)) for _ in range(2))
    spans = word_diff("same start " + first, "same start " + second)
    assert [span.changed for span in spans][:2] == [False, True]
    assert spans[-1].first_end == len(first) + 11


def test_the_row_key_sees_every_letter_role_call_and_tool() -> None:
    call = ({"type": "function", "function": {"name": "f", "arguments": {"a": 1}}},)
    question = Message("user", "q")
    rows = [
        chat("q", "a"),
        chat("Q", "a"),
        chat("q", "a."),
        chat("q", "a", "system"),
        Conversation((question, Message("assistant", "a", call)), None, ""),
        Conversation((question, Message("assistant", "a")), ({"type": "function"},), ""),
        Conversation((question, Message("tool", "a")), None, ""),
        Conversation((Message("user", "qassistant 1 0\na"),), None, ""),
        document("q"),
    ]
    assert len({row_key(row) for row in rows}) == len(rows)


@given(st.lists(st.integers(0, 12), max_size=60), st.integers(1, 9))
def test_repeats_are_those_of_a_brute_force_search(keys: list[int], at_once: int) -> None:
    expected: dict[int, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        if key:
            expected[key].append(row)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "_AT_ONCE", at_once)
        found = sorted(repeated(array("Q", keys)))
    assert found == sorted(rows for rows in expected.values() if len(rows) > 1)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 79), min_size=2, max_size=25), st.randoms(use_true_random=False))
def test_near_groups_are_those_of_a_brute_force_search(picked: list[int], rng: random.Random) -> None:
    copies = near_copies()
    texts = ["\n".join(rng.choice(copies[place])) for place in picked]
    runs = [shingles(text) for text in texts]
    expected, found = Groups(), Groups()
    for second in range(len(texts)):
        for first in range(second):
            if similarity(runs[first], runs[second]) >= 0.6:
                expected.link(first, second)
    for pair in similar_pairs(sketch(texts), texts.__getitem__):
        assert pair.first < pair.second
        assert pair.similarity == similarity(runs[pair.first], runs[pair.second]) >= 0.6
        found.link(pair.first, pair.second)
    assert [found.root(n) for n in range(len(texts))] == [expected.root(n) for n in range(len(texts))]


@settings(max_examples=30, deadline=None)
@given(st.lists(ANY_TEXT, max_size=12))
def test_any_texts_are_sketched_and_a_text_is_like_its_repetition(texts: list[str]) -> None:
    twice = texts + texts
    linked = Groups()
    for pair in similar_pairs(sketch(twice), twice.__getitem__):
        linked.link(pair.first, pair.second)
    assert all(linked.linked(place, place + len(texts)) for place in range(len(texts)))


def test_long_texts_are_compared_like_short_ones() -> None:
    rng = random.Random(6)
    words = [f"word{rng.randrange(5000)}" for _ in range(40_000)]
    changed = [word if rng.random() > 0.05 else "other" for word in words]
    texts = [" ".join(words), " ".join(reversed(words)), " ".join(changed)]
    (pair,) = similar_pairs(sketch(texts), texts.__getitem__)
    assert (pair.first, pair.second) == (0, 2)


def test_sketches_are_the_same_in_every_process() -> None:
    code = (
        "import hashlib; from finetui_core.data.check.minhash import sketch; from labelled_pairs import TEXTS\n"
        "done = sketch(answer for _, answer in TEXTS)\n"
        "print(hashlib.sha256(done.bands.tobytes() + done.prints.tobytes()).hexdigest())"
    )
    path = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1


def test_duplicates_name_the_first_row_and_unreadable_rows_are_none() -> None:
    rows: list[Row | Problem] = [
        chat("a", "b"),
        BROKEN,
        chat("a", "b"),
        BROKEN,
        chat("A", "b"),
        chat("a", "b"),
    ]
    found = by_rule(group_found(scanned(rows), rows.__getitem__, file=3))
    exact = found["exact_duplicate"]
    assert (exact.count, exact.of, exact.severity) == (2, 6, "warning")
    assert [(e.file, e.row, e.line, e.other, e.other_file) for e in exact.examples] == [
        (3, 2, 3, 0, 3),
        (3, 5, 6, 0, 3),
    ]
    assert (found["repeated_prompt"].count, found["repeated_prompt"].note) == (2, "1 prompt")


def test_contradictions_come_surest_first_and_say_why() -> None:
    rows = [
        chat("Is it safe?", "It is safe to touch."),
        chat("is it safe", "It is unsafe to touch."),
        chat("How many?", "12"),
        chat("How many?", "13"),
        chat("Open?", "Yes."),
        chat("Open?", "No."),
        chat("Tell me about bees.", "Bees make honey."),
        chat("Tell me about bees.", "Bees live in hives."),
    ]
    contradictions = by_rule(group_found(scanned(rows), rows.__getitem__))["contradiction"]
    assert [(e.row, e.other, e.excerpt) for e in contradictions.examples] == [
        (5, 4, "yes or no"),
        (3, 2, "number"),
        (1, 0, "opposite"),
    ]
    assert contradictions.count == 6


def test_a_set_of_few_short_answers_is_one_of_labels() -> None:
    rng = random.Random(1)
    rows = [
        chat(f"Text {rng.random()} {TEXTS[n % 20][1]}", rng.choice(("spam", "ham", "Not sure")))
        for n in range(90)
    ]
    assert label_set(scanned(rows), rows.__getitem__) == {"spam", "ham", "Not sure"}
    rows += [chat(f"Explain {n}", TEXTS[n][1]) for n in range(20)]
    assert label_set(scanned(rows), rows.__getitem__) == frozenset()
    numbers = [chat(f"What is {n} + {n}?", f"{2 * n}") for n in range(90)]
    assert label_set(scanned(numbers), numbers.__getitem__) == frozenset()


def test_documents_have_duplicates_but_no_prompts() -> None:
    rows = [document("One text of a book."), document("one text of a book"), document("One text of a book.")]
    assert set(by_rule(group_found(scanned(rows), rows.__getitem__))) == {"exact_duplicate"}
    assert leaked(scanned(rows[:1]), scanned(rows[1:2])) == {0: 0}


def test_system_prompts_are_named_where_some_rows_lack_them() -> None:
    rows = [chat(f"q{n}", "a", "Be kind." if n % 4 else "") for n in range(40)]
    mixed = by_rule(group_found(scanned(rows), rows.__getitem__))["mixed_system_prompts"]
    assert (mixed.count, mixed.of) == (10, 40)
    assert mixed.note == "25% of the rows have none, 75% the most frequent one"


def test_scripts_are_told_by_share() -> None:
    rows = [chat("q", "a")]
    mix = by_rule(
        group_found(scanned(rows, {"Latin": 990, "Cyrillic": 7, "Han": 3, "": 50}), rows.__getitem__)
    )
    assert mix["language_mix"].count == 10
    assert mix["language_mix"].note == "99% Latin, 0.7% Cyrillic, 0.3% Han"


def test_near_duplicates_leave_exact_ones_out_and_put_copies_before_templates() -> None:
    question, answer = TEXTS[0]
    rows: list[Row | Problem] = [
        chat(question, answer),
        BROKEN,
        chat(question, answer),
        chat(question, answer.upper()),
        chat(*TEXTS[1]),
        chat(question, answer.replace("three times", "4 times")),
    ]
    pairs = near_pairs(scanned(rows), rows, rows.__getitem__)
    assert {(pair.row, pair.other) for pair in pairs} == {(3, 0), (5, 0)}
    near_ones = by_rule(near_found(scanned(rows), pairs, rows.__getitem__))["near_duplicate"]
    assert near_ones.count == 2
    assert near_ones.examples[0].row == 3
    assert near_ones.examples[0].excerpt == "only case, spaces or punctuation differ; 100% alike"


def test_calls_of_tools_count_as_text_and_system_prompts_do_not() -> None:
    call = {"type": "function", "function": {"name": "send", "arguments": {"to": "Ann"}}}
    row = Conversation((Message("system", "S"), Message("assistant", "x", (call,))), None, "")
    assert "Ann" in near_text(row)
    assert "S" not in near_text(row).replace("send", "")


def test_leakage_names_each_validation_row_with_its_training_row() -> None:
    train = [chat("What is a fox?", "a"), chat("Why?", "b")]
    val: list[Row | Problem] = [chat("why", "c"), BROKEN, chat("WHAT is  a fox", "d"), chat("Who?", "e")]
    (found,) = leakage_found(scanned(train), scanned(val), files=(4, 5))
    assert (found.rule, found.severity, found.count, found.of) == ("leakage", "error", 2, 4)
    assert [(e.file, e.row, e.other, e.other_file) for e in found.examples] == [(5, 0, 1, 4), (5, 2, 0, 4)]
    assert leakage_found(scanned(val), scanned([BROKEN])) == []


def test_near_leakage_leaves_out_what_leaks_exactly_and_counts_templates_apart() -> None:
    train = [chat(*TEXTS[n]) for n in range(5)]
    (question, answer), other = TEXTS[2], TEXTS[3]
    val = [
        chat(question, answer),
        chat("Tell me: " + question, answer.replace("invoice", "bill")),
        chat(other[0] + " Say 3.", other[1]),
        chat(*TEXTS[9]),
    ]
    (found,) = near_leakage_found(
        scanned(train), scanned(val), train, val, train.__getitem__, val.__getitem__
    )
    assert [(e.row, e.other) for e in found.examples] in ([(1, 2), (2, 3)], [(2, 3), (1, 2)])
    assert found.note == ""
    places = [chat(f"Who is the mayor of {town}? " + answer, question) for town in ("Graz", "Lyon")]
    apart = near_leakage_found(
        scanned(places[:1]),
        scanned(places[1:]),
        places[:1],
        places[1:],
        places.__getitem__,
        places[1:].__getitem__,
    )
    assert apart == []


def test_contamination_finds_a_passage_word_for_word_and_nothing_shorter() -> None:
    tests = ["short", TEXTS[4][1], TEXTS[5][1]]
    rows = [
        "Nothing of the kind.",
        "It reads: " + TEXTS[5][1].upper().replace(" ", "\n")[10:130] + " and so on",
        TEXTS[4][1][:50],
        "short",
    ]
    assert [(one.row, one.test) for one in contamination(rows, tests)] == [(1, 2)]
    assert contamination(rows, []) == []


def test_without_numpy_the_reason_is_said_and_the_rest_works() -> None:
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "import finetui_core.data.check.near as near, finetui_core.data.check.leakage as leakage\n"
        "print(near.unavailable(), near.RULES)"
    )
    path = os.pathsep.join(sys.path)
    printed = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert printed.stdout.startswith("near-duplicates need numpy: pip install"), printed.stderr
    assert near.unavailable() == ""
