"""The rules on texts: what they find on labelled rows, on any text, and that no report shows a secret."""

import json
from pathlib import Path

import pytest
from data_rules_page import data_rules_page, rows_measured
from hypothesis import example, given
from hypothesis import strategies as st
from labelled_rows import damaged, labelled_rows, secrets
from labelled_texts import SOUND

from finetui_core.data.check.catalogue import RULES
from finetui_core.data.check.encoding import (
    control_place,
    invisible_place,
    may_be_damaged,
    may_hide,
    mojibake_places,
    repair_mojibake,
    strip_hidden,
)
from finetui_core.data.check.excerpts import excerpt
from finetui_core.data.check.findings import Hit
from finetui_core.data.check.languages import language_hits, scripts_of
from finetui_core.data.check.secrets import may_hold_secret, secrets_in
from finetui_core.data.check.texts import answer_hits, refusal_phrases, refusal_place, text_hits
from finetui_core.data.conversation import Conversation, Message

ROOT = Path(__file__).parents[2]
PATH = "$.messages[1].content"

# Any text, and texts of the characters that the rules are about.
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=300)
DAMAGE = ["Ã", "©", "â", "€", "™", "”", "»", "ð", "\x9f", "\xa0"]
HIDDEN = ["\u200d", "\ufe0f", "\U0001f469", "\x1b[", "\x9b", "\x07", "س", "的"]
SIGNS = ["sk-", "AKIA", "://a:", "@", "```", "<br>", "&nbsp;", "([{", "4929 ", "1.2", "\n", "I can't "]
AWKWARD = st.lists(
    st.sampled_from(DAMAGE)
    | st.sampled_from(HIDDEN)
    | st.sampled_from(SIGNS + secrets())
    | st.text(max_size=5),
    max_size=30,
).map("".join)
TEXTS = ANY_TEXT | AWKWARD


def all_hits(text: str, asked: str = "What is in it?") -> list[Hit]:
    row = Conversation((Message("user", asked), Message("assistant", text)), None, "")
    return [*text_hits(text, PATH, "assistant"), *answer_hits(text, PATH), *language_hits(row)]


def rules_of(text: str) -> set[str]:
    return {hit.rule for hit in all_hits(text)}


def test_the_page_about_the_rules_is_what_the_rules_say_and_what_was_measured() -> None:
    """Where this fails: PYTHONPATH=core python tests/core/data_rules_page.py > docs/data-rules.md"""
    assert (ROOT / "docs" / "data-rules.md").read_text(encoding="utf-8") == data_rules_page()


def test_every_rule_of_one_row_reaches_the_precision_that_its_severity_needs() -> None:
    table = rows_measured()
    assert len(labelled_rows()) >= 300
    for rule, (precision, recall, positives) in table.items():
        assert precision >= (0.95 if RULES[rule].severity == "error" else 0.9), (rule, precision)
        assert recall >= 0.8, (rule, recall)
        assert positives >= 10, rule
    assert table["secret"][:2] == (1, 1)
    assert len(table) == 22


@given(TEXTS, TEXTS)
def test_no_text_is_too_odd_to_be_looked_at(asked: str, text: str) -> None:
    for hit in all_hits(text, asked):
        assert hit.rule in RULES
        assert len(hit.excerpt) <= 80
    assert all(letters > 0 for letters in scripts_of(text).values())
    assert all(0 <= start < end <= len(text) for start, end in mojibake_places(text))


@pytest.mark.parametrize("secret", secrets(), ids=lambda secret: secret[:8])
def test_a_secret_is_named_by_its_kind_and_length_and_never_shown(secret: str) -> None:
    (place,) = secrets_in(f"The key: {secret} \n")
    key = f"The key: {secret} \n"[place.start : place.end]
    assert key in secret
    (hit,) = [hit for hit in all_hits(f"The key: {secret} \n") if hit.rule == "secret"]
    assert f"{key[:4]}… ({place.kind}, {len(key)} characters)" in hit.excerpt
    assert key[:12] not in hit.excerpt


@given(
    st.sampled_from(secrets()),
    AWKWARD,
    AWKWARD,
    st.sampled_from(["", "I'm sorry, but I can't help with that. "]),
)
def test_no_rule_shows_a_secret_whatever_stands_around_it(
    secret: str, before: str, after: str, lead: str
) -> None:
    text = f"{lead}{before} {secret} {after}"
    keys = {text[place.start : place.end] for place in secrets_in(text)}
    for hit in all_hits(text):
        assert not any(key in hit.excerpt or key in hit.path for key in keys)
    for start in range(0, len(text), len(text) // 8 + 1):
        assert not any(key in excerpt(text, start) for key in keys)


@given(AWKWARD)
def test_the_gate_on_raw_bytes_lets_every_secret_through(text: str) -> None:
    if secrets_in(text):
        assert may_hold_secret(json.dumps(text).encode())
        assert may_hold_secret(json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        assert may_hold_secret(json.dumps(text).replace("/", "\\/").encode())


def test_the_gate_on_raw_bytes_rules_out_texts_without_keys() -> None:
    assert not any(may_hold_secret(answered.encode()) for _, answered in SOUND)


@given(TEXTS)
def test_the_gates_on_characters_hide_nothing(text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    if mojibake_places(text):
        assert may_be_damaged(data)
    place = control_place(text)
    if invisible_place(text) is not None or (place is not None and text[place] > "\x7f"):
        assert may_hide(data)


@pytest.mark.parametrize(
    ("encoding", "times"), [("latin-1", 1), ("cp1252", 1), ("cp1252", 2), ("latin-1", 2)]
)
def test_damage_is_undone(encoding: str, times: int) -> None:
    for pair in SOUND:
        for text in pair:
            assert repair_mojibake(damaged(text, encoding, times)) == text


@given(st.lists(st.sampled_from([text for pair in SOUND for text in pair] + ["“ÔÉ»ÅÄ…™ "])).map("".join))
def test_sound_texts_are_left_as_they_are(text: str) -> None:
    assert not mojibake_places(text)
    assert repair_mojibake(text) == text
    assert strip_hidden(text) == text


@given(TEXTS)
@example("Â\x9b\x08@")
def test_what_is_stripped_of_hidden_characters_holds_none(text: str) -> None:
    stripped = strip_hidden(text)
    assert control_place(stripped) is None
    assert invisible_place(stripped) is None
    assert strip_hidden(stripped) == stripped


def test_every_stock_refusal_is_found() -> None:
    for phrase in refusal_phrases():
        assert refusal_place(f"{phrase.capitalize()} this.") == 0, phrase


def test_what_is_in_a_text_is_told_with_its_place() -> None:
    text = "A long beginning that nobody needs to see in a report of faults. Then <br> and more, and more."
    assert all_hits(text) == [
        Hit("html_leftovers", PATH, text[text.index("<br>") - 24 :][:80]),
    ]
    assert rules_of("a \x1b[31mred\x1b[0m word") == {"terminal_control"}
    assert strip_hidden("a \x1b[31mred\x1b[0m word\x07") == "a red word"
    assert scripts_of("Hello мир 日本語です") == {"Latin": 5, "Cyrillic": 3, "Japanese": 5}
