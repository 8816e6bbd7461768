"""Filters of rows: the test that spares decoding never loses a row, and each field asks what its name says."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.data.lines import RowText
from finetui_core.data.row_filter import open_row, quick_test, row_filter

TEXT = st.text(alphabet=st.sampled_from('abABßſK "\\né0_:'), max_size=12)
WORD = st.text(alphabet=st.sampled_from("abABkss0é"), min_size=1, max_size=3)


def row(*turns: tuple[str, str]) -> RowText:
    value = {"messages": [{"role": role, "content": text} for role, text in turns]}
    raw = msgspec.json.encode(value)
    return RowText(4, 5, raw, len(raw))


@given(text=TEXT, words=st.lists(WORD, min_size=1, max_size=2), negated=st.booleans())
def test_rows_that_fit_are_never_passed_over(text: str, words: list[str], negated: bool) -> None:
    one = row(("user", text), ("assistant", "x"))
    written = " ".join(f"-{word}" if negated else word for word in words)
    if row_filter(written, lambda number: ())(open_row(one, "messages", "f")):
        assert quick_test(written)(one.raw)


def test_each_field_asks_for_its_own() -> None:
    one = open_row(row(("system", "Be short."), ("user", "Where?"), ("assistant", "Here.")), "messages", "f")

    def fits(text: str) -> bool:
        return row_filter(text, lambda number: ("secret",) if number == 4 else ())(one)

    assert all(
        fits(text)
        for text in (
            "rule:secret", "role:system", "system:short", "question:where", "answer:here", "turns=3", "row=4",
            "line=5", "length<1k", "-role:tool", '"be short"',
        )
    )  # fmt: skip
    assert not any(fits(text) for text in ("rule:sec", "role:tool", "question:yes", "turns>3", "bytes>1k"))
