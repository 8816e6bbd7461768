"""Which held-out rows a comparison asks, and why it leaves the others out."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from finetui_core.data.conversation import Conversation, Message
from finetui_core.errors import InputError
from finetui_core.evaluate.leaks import NEAR, SAME, leaks
from finetui_core.evaluate.rows import HeldOut, clusters, held_out_rows
from finetui_core.recipe.load import parse_recipe

TINY_LLAMA = Path(__file__).parents[2] / "sample_data" / "tiny-llama"
LONG = (
    "the parcel that I ordered from your shop three weeks ago with order number 4821 "
    "has still not arrived at my new house"
)
INSTRUCTION = (
    "Read the message of the customer below with care and answer it in the style of our house, which is friendly, "
    "short and exact; never promise what you cannot keep, and end each answer with a label of the list. "
)


def chat(*turns: str, system: str = "") -> dict[str, Any]:
    messages = [{"role": "system", "content": system}] if system else []
    roles = ("user", "assistant")
    messages += [{"role": roles[at % 2], "content": text} for at, text in enumerate(turns)]
    return {"messages": messages}


def conversation(*turns: str, system: str = "") -> Conversation:
    value = chat(*turns, system=system)
    return Conversation(tuple(Message(one["role"], one["content"]) for one in value["messages"]), None, "f:1")


def held_out(
    folder: Path, train: list[Any], val: list[Any] | None, extra: str = "", most: int = 200
) -> HeldOut:
    for name, rows in (("train", train), ("val", val)):
        if rows is not None:
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = f'[model]\nname = "{TINY_LLAMA}"\n[data]\ntrain = "train.jsonl"\n{extra}'
    text += "" if val is None else '\nval = "val.jsonl"'
    return held_out_rows(parse_recipe(text, "recipe.toml", folder), most)


TRAIN = [chat(f"How does article {number} work in winter?", f"Like {number}.") for number in range(30)]


def test_rows_are_the_last_question_with_what_is_before_it(tmp_path: Path) -> None:
    val = [
        chat("Hello there.", "Good day!", "And where is my shoe?", "Under the bed.", system="Be brief."),
        chat("What is the weight of a whale?", "Large."),
    ]
    found = held_out(tmp_path, TRAIN, val)
    first = found.rows[0]
    assert [one["role"] for one in first.prompt] == ["system", "user", "assistant", "user"]
    assert first.reference == "Under the bed." and first.source.endswith("val.jsonl:1") and first.index == 0
    assert len(found.train_rows) == 30 and not found.excluded and found.file.endswith("val.jsonl")
    assert clusters(found.rows) is None


def test_what_cannot_be_asked_is_counted_by_reason(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {}}}
    val = [
        chat("What is the weight of a whale?", "Large."),
        chat("Who sings at night in the garden?", "A bird."),
        chat("how DOES article 3 work in winter", "Else."),
        {
            "messages": [
                {"role": "user", "content": "Go."},
                {"role": "assistant", "content": "", "tool_calls": [call]},
            ]
        },
        {"messages": [{"role": "assistant", "content": "I begin."}]},
        {"no": "chat"},
    ]
    found = held_out(tmp_path, TRAIN, val)
    assert len(found.rows) == 2
    assert found.excluded == {
        "cannot be read": 1,
        "nothing stands before the answer": 1,
        "the answer is a call of a tool": 1,
        SAME: 1,
    }


def test_rows_of_one_origin_share_a_group(tmp_path: Path) -> None:
    val = [
        chat("Same opening words here?", "Yes.", "First?", "1"),
        chat("Same opening words here!", "Yes.", "Second?", "2"),
        chat("Another thing?", "a") | {"conversation_id": 7},
        chat("Quite another thing?", "b") | {"conversation_id": 7},
        chat("Alone?", "c"),
    ]
    groups = [row.group for row in held_out(tmp_path, TRAIN, val).rows]
    assert groups[0] == groups[1] != groups[2] == groups[3] and all(groups[:4]) and groups[4] == ""
    assert len(set(clusters(held_out(tmp_path, TRAIN, val).rows) or ())) == 3


def test_a_draw_is_the_same_each_time_and_counted(tmp_path: Path) -> None:
    val = [chat(f"Is {number} a number?", "Yes.") for number in range(50)]
    one, other = (held_out(tmp_path, TRAIN, val, most=10) for _ in range(2))
    assert one.rows == other.rows and [row.index for row in one.rows] == list(range(10))
    assert one.excluded == {"not drawn": 40} and one.rows[0].source != one.rows[9].source


@pytest.mark.parametrize(
    ("train", "val", "extra", "said"),
    [
        (TRAIN, None, "val_fraction = 0.0", "keeps no rows apart"),
        (TRAIN, [chat("One?", "1")], "", "only one held-out row can be asked"),
        (TRAIN, TRAIN[:5], "", "all 5 held-out rows ask what a training row asks (5: same question"),
        (
            TRAIN,
            [{"text": "Just text."}] * 3,
            "",
            "none of the 3 held-out rows can be asked (3: not a conversation)",
        ),
    ],
)
def test_without_two_rows_there_is_one_error_with_a_way_out(
    tmp_path: Path, train: list[Any], val: list[Any] | None, extra: str, said: str
) -> None:
    with pytest.raises(InputError) as refused:
        held_out(tmp_path, train, val, extra)
    (problem,) = refused.value.problems
    assert said in problem.what and "ftui data split" in problem.hint


def test_references_that_are_all_empty_are_named(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {}}}
    turn = {"role": "assistant", "content": "", "tool_calls": [call]}
    val = [{"messages": [{"role": "user", "content": f"Do {at}."}, turn]} for at in range(3)]
    with pytest.raises(InputError, match="none of the 3 held-out rows has an answer in text"):
        held_out(tmp_path, TRAIN, val)


@pytest.mark.parametrize(
    ("asked", "trained", "reason"),
    [
        (conversation("Where IS it,  please?", "a"), conversation("where is it please", "b"), SAME),
        (conversation(f"Hi, {LONG}.", "a"), conversation(f"Well, {LONG}!", "b"), NEAR),
        (conversation(LONG.replace("shop", "company"), "a"), conversation(LONG, "b"), None),
        (conversation("Go.", "a", system="Label it."), conversation("Go.", "b", system="Sum it up."), None),
        (conversation("Go.", "a", system="You are kind."), conversation("Go.", "a"), NEAR),
        (
            conversation("我三周前下的订单在哪里？", "a"),
            conversation("我三周前下的订单在哪里", "b"),
            SAME,
        ),
        (conversation("?!", "a"), conversation("...", "b"), None),
    ],
)
def test_leaks(asked: Conversation, trained: Conversation, reason: str | None) -> None:
    assert leaks([asked], [trained]) == ({0: reason} if reason else {})


def test_an_instruction_before_every_question_is_no_leak() -> None:
    train = [conversation(INSTRUCTION + f"Message: {number} is blue.", "a") for number in range(40)]
    test = [conversation(INSTRUCTION + f"Message: {number} is blue.", "a") for number in (39, 40)]
    assert leaks(test, train) == {0: SAME}


def test_a_hundred_thousand_training_rows_take_seconds() -> None:
    words = [f"w{number}" for number in range(5000)]
    train = [
        conversation(" ".join(words[(at * 37 + step * (1 + at % 97)) % 5000] for step in range(30)), "a")
        for at in range(20_000)
    ]
    test = [conversation("Hm. " + row.messages[0].content, "a") for row in train[:200]]
    began = time.process_time()
    assert len(leaks(test, train)) == 200
    assert time.process_time() - began < 6  # a fifth of 100,000 rows, on a busy machine
