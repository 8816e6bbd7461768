"""Names of keys, as people write them and as Textual spells them."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.keymap import key_of, mark_of


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("p", "p"),
        ("G", "G"),
        ("7", "7"),
        ("?", "question_mark"),
        ("question_mark", "question_mark"),
        ("+", "plus"),
        ("-", "minus"),
        ("/", "slash"),
        ("é", "é"),
        ("f5", "f5"),
        ("pageup", "pageup"),
        ("ctrl+x", "ctrl+x"),
        ("shift+tab", "shift+tab"),
        ("ctrl+shift+left", "ctrl+shift+left"),
        ("", None),
        (" ", "space"),
        ("pp", None),
        ("f13", None),
        ("hyper+x", None),
        ("ctrl+", None),
        ("\x1b", None),
        ("a,b", None),
    ],
)
def test_the_name_of_a_key(written: str, key: str | None) -> None:
    assert key_of(written) == key


@given(st.text(max_size=12))
def test_no_text_raises_and_names_are_stable(written: str) -> None:
    key = key_of(written)
    assert key is None or key_of(key) == key


@pytest.mark.parametrize("mark", string.punctuation)
def test_every_mark_has_the_name_that_textual_gives_it(mark: str) -> None:
    from textual.keys import _character_to_key

    assert key_of(mark) == _character_to_key(mark)
    assert mark_of(_character_to_key(mark)) == mark
