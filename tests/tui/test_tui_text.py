import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from finetui.text import _cut, content, pad, safe, wrapped

anything = st.text(st.characters(exclude_categories=())) | st.text(
    st.sampled_from("a\x1b\n\t\x7f\x85\u202e\u200b\u2028\ud800\ufffd\u0301\u20dd\ufe0f\u115f日👍🏽[/]")
)


@given(anything)
def test_safe_leaves_nothing_that_a_terminal_would_obey(text: str) -> None:
    shown = safe(text)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"}


@given(anything, st.none() | st.integers(0, 30))
def test_safe_twice_is_safe_once(text: str, limit: int | None) -> None:
    assert safe(safe(text, limit), limit) == safe(text, limit)


@given(anything, st.integers(0, 30))
def test_widths_are_those_of_what_is_shown(text: str, width: int) -> None:
    assert cell_len(safe(text, width)) <= width
    assert cell_len(pad(text, width)) == width
    assert all(cell_len(line) <= max(2, width) for line in wrapped(text, width))


@given(anything)
def test_wrapping_loses_nothing_but_spaces(text: str) -> None:
    assert "".join(wrapped(text, 10)).replace(" ", "") == safe(text).replace(" ", "")


def test_hidden_characters_become_marks() -> None:
    assert safe("a\x1b[31m\x7f\u202eb\u200b\ufffd\udc80") == "a␛[31m␡\\u{202e}b\\u{200b}\\u{fffd}\\u{dc80}"
    assert safe("a\nb\tc") == "a␊b␉c"
    assert safe("a\nb\tc", keep="\n\t") == "a\nb\tc"


def test_stacked_marks_are_capped() -> None:
    assert safe("e" + "\u0301" * 6) == "e" + "\u0301" * 4 + "\\u{301}" * 2
    assert safe("\u0915" + "\u0903" * 5) == "\u0915" + "\u0903" * 4 + "\\u{903}"
    assert safe("👍" + "🏽" * 5) == "👍" + "🏽" * 4 + "\\u{1f3fd}"


def test_a_cut_shows() -> None:
    assert safe("日本語", 5) == "日本…"
    assert safe("abc", 3) == "abc"


def test_content_is_never_markup() -> None:
    assert content("[INST] [red]x[/] [@click=app.quit]y").plain == "[INST] [red]x[/] [@click=app.quit]y"


@given(anything, st.integers(0, 3))
def test_of_a_long_text_the_beginning_is_what_is_seen(text: str, limit: int) -> None:
    assert safe(text * 50, limit) == _cut(safe(text * 50), limit)


def test_of_a_very_long_text_the_beginning_is_wrapped() -> None:
    lines = wrapped("e\u0301" * 10**6, 80)
    assert len(lines) < 200 and lines[-1].endswith("…")
