"""Conversations as rows of training data: whole or not at all, and such that training takes them."""

import os
import resource
from pathlib import Path

import pytest

from finetui_core.data.conversation import Conversation
from finetui_core.data.formats import convert
from finetui_core.data.json_lines import decoded
from finetui_core.errors import InputError
from finetui_core.evaluate.chat_protocol import Answered, Sampling, Side, Turn
from finetui_core.evaluate.chat_settings import in_words, sampling_of
from finetui_core.evaluate.chat_talk import Exchange, Talk, append_row, row_of


def exchange(asked: str, **answers: str) -> Exchange:
    sides: dict[Side, Answered] = {}
    for side in ("base", "tuned"):
        if side in answers:
            sides[side] = Answered(1, side, answers[side], "end")
    return Exchange(asked, answers=sides)


def test_each_side_goes_on_after_its_own_answers() -> None:
    talk = Talk("Be kind.", [exchange("a", base="b", tuned="t"), exchange("c", tuned="u"), Exchange("d")])
    assert [turn.content for turn in talk.turns("tuned")] == ["Be kind.", "a", "t", "c", "u", "d"]
    assert [turn.content for turn in talk.turns("base")] == ["Be kind.", "a", "b", "d"]
    talk.exchanges[0].edited["base"] = "better"
    assert talk.turns("base")[2] == Turn("assistant", "better")
    assert talk.drop_oldest()
    assert [turn.content for turn in talk.turns("tuned")] == ["Be kind.", "c", "u", "d"]
    assert talk.drop_oldest()
    assert not talk.drop_oldest(), "what is asked now stays"


def test_a_row_has_the_edited_answers_and_no_failed_ones(tmp_path: Path) -> None:
    failed = Exchange("x", answers={"tuned": Answered(1, "tuned", "", "error", error="no memory")})
    talk = Talk("Be kind.", [exchange("a", base="b", tuned="t"), failed, exchange("c", tuned="u")])
    talk.exchanges[2].edited["tuned"] = "as it should be"
    file = tmp_path / "rows.jsonl"
    append_row(file, row_of(talk, "tuned"))
    append_row(file, row_of(talk, "base"))
    assert file.stat().st_mode & 0o777 == 0o600
    first, second = (decoded(line) for line in file.read_bytes().splitlines())
    row = convert("messages", first, "rows.jsonl:1")
    assert isinstance(row, Conversation)
    said = [message.content for message in row.messages]
    assert said == ["Be kind.", "a", "t", "c", "as it should be"]
    assert [message["role"] for message in second["messages"]] == ["system", "user", "assistant"]
    with pytest.raises(InputError, match="base has given no answer yet"):
        row_of(Talk("", [failed]), "base")


def test_a_row_is_added_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    row = row_of(Talk("", [exchange("a", tuned="t")]), "tuned")
    file.write_bytes(b'{"messages": []}')  # without an end of line
    append_row(file, row)
    before = file.read_bytes()
    assert before.count(b"\n") == 2
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
    try:
        with pytest.raises(InputError, match="the row cannot be added"):
            append_row(file, row)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == before
    link = tmp_path / "link.jsonl"
    link.symlink_to(file)
    with pytest.raises(InputError, match="it is a link"):
        append_row(link, row)
    with pytest.raises(InputError, match="cannot be added"):
        append_row(tmp_path / "none" / "rows.jsonl", row)
    with pytest.raises(InputError):
        append_row(file, {"messages": [{"role": "user", "content": "no answer"}]})
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(InputError, match="cannot be added"):
        append_row(tmp_path / "pipe.jsonl", row)
    assert file.read_bytes() == before


def test_all_settings_that_cannot_be_are_told_at_once() -> None:
    given = {"temperature": "-1", "top_p": "nan", "max_new_tokens": "1.5", "seed": "7"}
    with pytest.raises(InputError) as caught:
        sampling_of(given, spelled=lambda name: f"--{name}")
    assert [problem.where for problem in caught.value.problems] == [
        "--temperature",
        "--top_p",
        "--max_new_tokens",
    ]
    sampling = sampling_of({"temperature": "0.7", "top_p": "0.9"}, Sampling(seed=3))
    assert in_words(sampling) == "temperature 0.7, top-p 0.9, seed 3, at most 512 tokens"
