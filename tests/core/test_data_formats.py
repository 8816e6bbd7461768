"""Row layouts: how each becomes a conversation, and the reason for each refusal."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.data.conversation import Conversation, Message, TextDocument
from finetui_core.data.formats import CONVERTERS, sniff
from finetui_core.data.load import load
from finetui_core.errors import InputError, Problem

SCHEMA = {"name": "find", "description": "Find it", "parameters": {"type": "object", "properties": {}}}
TOOL = {"type": "function", "function": SCHEMA}
CALL = {"type": "function", "function": {"name": "find", "arguments": {"what": "it"}}}


def convert(layout: str, value: dict[str, Any]) -> Conversation:
    row = CONVERTERS[layout](value, "f:1")
    assert isinstance(row, Conversation), row
    return row


def turns(layout: str, value: dict[str, Any]) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in convert(layout, value).messages]


def chat(*messages: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in messages]}


def test_messages_keep_roles_and_join_text_parts() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    value = chat(("developer", "be brief"), ("user", parts), ("assistant", "c"))
    value["messages"][1]["weight"] = 1
    assert turns("messages", value) == [("system", "be brief"), ("user", "ab"), ("assistant", "c")]


@pytest.mark.parametrize("arguments", [{"what": "it"}, '{"what": "it"}'])
@pytest.mark.parametrize("tools", [[TOOL], [SCHEMA], json.dumps([SCHEMA])])
def test_tool_calls_come_in_the_form_that_templates_read(arguments: object, tools: object) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": arguments}}
    value = chat(("user", "find it"), ("assistant", None), ("tool", "here"), ("assistant", "done"))
    value["messages"][1]["tool_calls"] = [call]
    value["messages"][2] |= {"tool_call_id": "c1", "name": "find"}
    value["tools"] = tools
    row = convert("messages", value)
    assert row.tools == (TOOL,)
    assert row.messages[1] == Message("assistant", "", ({"id": "c1", **CALL},))
    assert row.messages[2] == Message("tool", "here", name="find", tool_call_id="c1")


def test_sharegpt_with_a_function_call() -> None:
    value = {
        "system": "be brief",
        "conversations": [
            {"from": "human", "value": "find it"},
            {"from": "function_call", "value": json.dumps({"name": "find", "arguments": {"what": "it"}})},
            {"from": "observation", "value": "here"},
            {"from": "gpt", "value": "done"},
        ],
        "tools": json.dumps([SCHEMA]),
    }
    row = convert("sharegpt", value)
    assert row.messages == (
        Message("system", "be brief"),
        Message("user", "find it"),
        Message("assistant", "", (CALL,)),
        Message("tool", "here"),
        Message("assistant", "done"),
    )
    assert row.tools == (TOOL,)


def test_alpaca_with_history_and_input() -> None:
    value = {"instruction": "q", "input": "i", "output": "a", "system": "s", "history": [["q0", "a0"]]}
    assert turns("alpaca", value) == [
        ("system", "s"),
        ("user", "q0"),
        ("assistant", "a0"),
        ("user", "q\ni"),
        ("assistant", "a"),
    ]
    assert turns("alpaca", {"instruction": "q", "input": "", "output": "a"})[0] == ("user", "q")


def test_prompt_and_completion_as_text_or_as_messages() -> None:
    expected = [("user", "q"), ("assistant", "a")]
    assert turns("prompt_completion", {"prompt": "q", "completion": "a"}) == expected
    as_messages = {
        key: chat(turn)["messages"] for key, turn in zip(("prompt", "completion"), expected, strict=True)
    }
    assert turns("prompt_completion", as_messages) == expected


def test_text_is_a_document() -> None:
    assert CONVERTERS["text"]({"text": " a "}, "f:1") == TextDocument(" a ", "f:1")


@pytest.mark.parametrize(
    ("layout", "value", "words"),
    [
        ("messages", {"messages": "hi"}, "expected a list, found a string (at $.messages)"),
        ("messages", {"messages": [3]}, "expected an object, found a number (at $.messages[0])"),
        ("messages", {}, "expected a list, found nothing (at $.messages)"),
        ("messages", chat(("user", None), ("assistant", "a")), "found nothing (at $.messages[0].content)"),
        ("messages", chat(("user", "q")), "no assistant turn"),
        ("messages", chat(("user", "q"), ("assistant", " \n")), "turn 2 is an empty assistant turn"),
        ("messages", chat(("usr", "q")), 'unknown role "usr" (at $.messages[0].role)'),
        (
            "messages",
            chat(("user", [{"type": "image_url"}])),
            'type "image_url" (at $.messages[0].content[0])',
        ),
        (
            "messages",
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}
                ]
            },
            "not valid JSON",
        ),
        ("messages", chat(("assistant", "a")) | {"tools": "[{"}, "not valid JSON"),
        (
            "messages",
            chat(("assistant", "a")) | {"tools": {"a": 1}},
            "expected a list, found an object (at $.tools)",
        ),
        ("sharegpt", {"conversations": [{"from": "bot", "value": "a"}]}, 'unknown role "bot"'),
        ("sharegpt", {"conversations": [{"from": "function_call", "value": "find it"}]}, "not valid JSON"),
        ("alpaca", {"instruction": 3, "output": "a"}, "found a number (at $.instruction)"),
        ("alpaca", {"instruction": "q", "output": "a", "history": [["q"]]}, "$.history[0]"),
        ("prompt_completion", {"prompt": "q", "completion": ""}, "empty assistant turn"),
        ("text", {"text": "\n"}, "the text is empty"),
    ],
)
def test_a_refused_row_says_why_and_where(layout: str, value: dict[str, Any], words: str) -> None:
    problem = CONVERTERS[layout](value, "f:7")
    assert isinstance(problem, Problem)
    assert words in problem.what and problem.where == "f:7"


def test_an_unknown_role_names_the_nearest_one() -> None:
    problem = CONVERTERS["messages"](chat(("Assistant", "a")), "f:1")
    assert isinstance(problem, Problem) and problem.hint == 'Did you mean "assistant"?'


@pytest.mark.parametrize(
    ("row", "layout"),
    [
        (chat(("user", "q")), "messages"),
        ({"conversations": [{"from": "human", "value": "q"}]}, "sharegpt"),
        ({"conversations": [{"role": "user", "content": "q"}]}, "messages"),
        ({"instruction": "q", "input": "", "output": "a"}, "alpaca"),
        ({"prompt": "q", "completion": "a", "id": 1}, "prompt_completion"),
        ({"text": "a", "label": 0}, "text"),
    ],
)
def test_the_layout_is_recognised_past_a_broken_first_row(row: dict[str, Any], layout: str) -> None:
    assert sniff([{"oops": 1}, row, row], "f") == layout


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"question": "q", "answer": "a"}, "question, answer"),
        ({"chosen": "a", "rejected": "b"}, "preference"),
        ({"data": [{"prompt": "q"}]}, 'inside "data"'),
    ],
)
def test_an_unknown_layout_lists_what_was_seen(row: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        sniff([row], "f")


def test_load_keeps_good_rows_and_lists_bad_ones(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "q", "completion": "a"}\n{broken\n{"prompt": "q"}\n')
    loaded = load(str(path))
    assert [row.source for row in loaded.rows] == [f"{path}:1"]
    assert [problem.where for problem in loaded.rejected] == [f"{path}:2:2", f"{path}:3"]
    assert loaded.format == "prompt_completion"
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("content", ["\n \n", "[]", "nonsense\n"])
def test_a_file_without_a_readable_row_is_an_input_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        load(str(path))
    assert caught.value.problems[0].where.startswith(str(path))


KEYS = st.sampled_from(
    [
        "messages",
        "conversations",
        "tools",
        "system",
        "history",
        "instruction",
        "input",
        "output",
        "prompt",
        "completion",
        "text",
        "role",
        "content",
        "from",
        "value",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "type",
    ]
)
WORDS = st.sampled_from(
    ["user", "assistant", "gpt", "human", "function_call", "text", "{}", '{"name": "f"}', "[]", ""]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


@given(st.dictionaries(KEYS, ANYTHING, max_size=4), st.sampled_from(sorted(CONVERTERS)))
def test_any_json_becomes_a_row_or_a_problem(value: dict[str, Any], layout: str) -> None:
    row = CONVERTERS[layout](value, "f:1")
    if isinstance(row, Conversation):
        assert any(message.role == "assistant" for message in row.messages)
    else:
        assert isinstance(row, TextDocument | Problem)
