"""BM25 over texts, and a folder of documents cut into passages."""

from hypothesis import given
from hypothesis import strategies as st

from finetui_core.evaluate.retrieval import retriever, terms


def test_the_text_with_the_rare_words_of_the_question_comes_first() -> None:
    best = retriever(["Where is my parcel?", "Where is my refund?", "Where is the cat?"])
    assert best("My REFUND, where is it?", 2) == [1, 0]
    assert best("Nothing alike", 3) == [] and best("", 3) == [] and best("?!", 3) == []
    assert retriever([])("parcel", 3) == [] and retriever(["", "?"])("parcel", 3) == []


def test_equal_texts_come_in_their_order() -> None:
    assert retriever(["a b", "a b", "a c", "a b"])("b", 2) == [0, 1]


def test_scripts_without_spaces_are_found() -> None:
    best = retriever(["我的退款在哪里", "今天天气很好", "配達はいつですか"])
    assert best("退款", 3) == [0] and best("配達いつ", 3)[0] == 2
    assert terms("Café 我的订单 x") == ["café", "我的", "的订", "订单", "x"]


@given(st.lists(st.text(max_size=30), max_size=8), st.text(max_size=30), st.integers(0, 9))
def test_any_texts_and_any_question(texts: list[str], question: str, count: int) -> None:
    found = retriever(texts)(question, count)
    assert len(found) <= count and len(set(found)) == len(found)
    assert all(set(terms(texts[at])) & set(terms(question)) for at in found)
    assert found == retriever(texts)(question, count)
