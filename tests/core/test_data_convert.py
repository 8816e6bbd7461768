"""Other layouts and two sides: what a layout cannot hold is said, what it can hold comes back, no group is torn."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.cli.main import main
from finetui_core.data.check.keys import prompt_key
from finetui_core.data.conversation import Conversation, Message
from finetui_core.data.export import LAYOUTS, exporter, is_one_turn, pair_of_strings
from finetui_core.data.formats import CONVERTERS
from finetui_core.data.mend.source import rows_of

SAMPLE = Path(__file__).parents[2] / "sample_data"
READ_AS = {"openai": "messages"}


def ask(question: str, answer: str, **others: Any) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
        **others,
    }


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- Round trips --------------------------------------------------------------------------------------------

TEXT = st.text(max_size=12)
ANSWER = TEXT.filter(str.strip)
NAME = st.sampled_from(["get_price", "look_up"])
CALL = st.builds(
    lambda name, arguments, number: {
        **({"id": f"c{number}"} if number else {}),
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    },
    NAME,
    st.dictionaries(st.sampled_from(["item", "day"]), TEXT | st.integers(0, 9) | st.lists(TEXT, max_size=2)),
    st.integers(0, 3),
)
TURN = (
    st.builds(Message, st.sampled_from(["user", "system"]), TEXT)
    | st.builds(Message, st.just("assistant"), ANSWER)
    | st.builds(
        lambda text, calls: Message("assistant", text, tuple(calls)),
        TEXT,
        st.lists(CALL, min_size=1, max_size=2),
    )
    | st.builds(
        lambda text, name: Message("tool", text, name=name, tool_call_id="c1"), TEXT, NAME | st.none()
    )
)
TOOLS = st.none() | st.just(({"type": "function", "function": {"name": "get_price", "parameters": {}}},))
CHAT = st.builds(
    lambda before, last, after, tools: Conversation((*before, last, *after), tools, "f:1"),
    st.lists(TURN, max_size=4),
    st.builds(Message, st.just("assistant"), ANSWER),
    st.lists(st.builds(Message, st.just("user"), TEXT), max_size=1),
    TOOLS,
)
PLAIN = st.builds(
    lambda system, pairs: Conversation(
        (
            *([Message("system", system)] if system else []),
            *(
                Message(role, text)
                for pair in pairs
                for role, text in zip(("user", "assistant"), pair, strict=True)
            ),
        ),
        None,
        "f:1",
    ),
    TEXT,
    st.lists(st.tuples(TEXT, ANSWER), min_size=1, max_size=3),
)


@pytest.mark.parametrize("layout", LAYOUTS)
@given(row=CHAT | PLAIN)
def test_what_a_layout_holds_comes_back_and_the_rest_is_named(layout: str, row: Conversation) -> None:
    made = exporter(layout)(row)
    if made.value is None:
        assert made.lost
        return
    through_json = json.loads(json.dumps(made.value))
    back = CONVERTERS[READ_AS.get(layout, layout)](through_json, "f:1")
    if layout == "openai":  # ids are made up where there were none
        assert isinstance(back, Conversation) and without_ids(back) == without_ids(row)
    elif not made.lost:
        assert back == row


@given(row=PLAIN)
def test_plain_chats_are_held_by_every_layout(row: Conversation) -> None:
    for layout in LAYOUTS:
        made = exporter(layout)(row)
        assert not made.lost and made.value is not None
        assert CONVERTERS[READ_AS.get(layout, layout)](made.value, "f:1") == row
    if is_one_turn(row):
        assert CONVERTERS["prompt_completion"](pair_of_strings(row), "f:1") == row


def without_ids(row: Conversation) -> list[tuple[Any, ...]]:
    return [
        (
            message.role,
            message.content,
            [call["function"] for call in message.tool_calls or ()],
            message.name,
        )
        for message in row.messages
    ]


@given(row=CHAT)
def test_what_openai_takes_has_an_id_for_each_call_and_a_call_for_each_known_id(row: Conversation) -> None:
    value = exporter("openai")(row).value
    assert value is not None
    for turn in value["messages"]:
        for call in turn.get("tool_calls", ()):
            assert isinstance(call["id"], str) and isinstance(json.loads(call["function"]["arguments"]), dict)
        assert turn["role"] != "tool" or isinstance(turn["tool_call_id"], str)


# --- The command --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_sample_set_goes_there_and_back(here: Path, layout: str) -> None:
    source = SAMPLE / "support_chat_val.jsonl"
    assert main(["data", "convert", str(source), "--to", layout, "-o", "there.jsonl"]) == 0
    assert main(["data", "convert", "there.jsonl", "--to", "messages", "-o", "back.jsonl"]) == 0
    assert read(here / "back.jsonl") == read(source)


def test_nothing_is_lost_in_silence(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_tools = ask("q", "a", tools=[{"type": "function", "function": {"name": "f"}}])
    write(here / "rows.jsonl", [ask("one", "two"), with_tools, with_tools])
    assert main(["data", "convert", "rows.jsonl", "--to", "alpaca", "-o", "new.jsonl"]) == 2
    said = capsys.readouterr().err
    assert "tools: Alpaca has no place for them (2 rows; lines 2, 3)" in said and "--lossy" in said
    assert not list(here.glob("new*"))
    assert (
        main(["data", "convert", "rows.jsonl", "--to", "alpaca", "-o", "new.jsonl", "--lossy", "--json"]) == 0
    )
    report = json.loads(capsys.readouterr().out)
    assert report["rows"] == 1
    assert [loss["rows_left_out"] for loss in report["losses"].values()] == [2]
    assert read(here / "new.jsonl") == [{"instruction": "one", "input": "", "output": "two"}]


def test_keys_beside_the_chat_are_carried_over_but_not_to_openai(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(here / "rows.jsonl", [ask("q", "a", id=7, source={"page": 1})])
    assert main(["data", "convert", "rows.jsonl", "--to", "sharegpt", "-o", "new.jsonl"]) == 0
    (row,) = read(here / "new.jsonl")
    assert (row["id"], row["source"]) == (7, {"page": 1})
    assert main(["data", "convert", "rows.jsonl", "--to", "openai", "-o", "o.jsonl"]) == 2
    assert "other keys: id, source" in capsys.readouterr().err


def test_pairs_become_strings_only_where_every_row_is_a_pair(here: Path) -> None:
    write(here / "pairs.jsonl", [ask("q", "a"), ask("r", "b")])
    assert main(["data", "convert", "pairs.jsonl", "--to", "prompt_completion", "-o", "new.jsonl"]) == 0
    assert read(here / "new.jsonl") == [
        {"prompt": "q", "completion": "a"},
        {"prompt": "r", "completion": "b"},
    ]
    longer = ask("q", "a")
    longer["messages"] += ask("r", "b")["messages"]
    write(here / "mixed.jsonl", [ask("q", "a"), longer])
    assert main(["data", "convert", "mixed.jsonl", "--to", "prompt_completion", "-o", "mixed_new.jsonl"]) == 0
    assert all(isinstance(row["prompt"], list) for row in read(here / "mixed_new.jsonl"))


def test_what_openai_may_refuse_is_said_with_its_source(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_end = ask("q", "a")
    open_end["messages"].append({"role": "user", "content": "And?"})
    write(here / "rows.jsonl", [ask("r", "b"), open_end])
    assert main(["data", "convert", "rows.jsonl", "--to", "openai", "-o", "new.jsonl"]) == 0
    said = capsys.readouterr().err
    assert "there are 2 rows; OpenAI: at least 10 rows (a stored copy of developers.openai.com" in said
    assert (
        "1 rows do not end with an assistant turn (lines 2); OpenAI: the last turn of a row is what is learned"
        in said
    )


def test_a_row_that_cannot_be_read_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "rows.jsonl").write_text(json.dumps(ask("q", "a")) + "\n{oops\n")
    assert main(["data", "convert", "rows.jsonl", "--to", "alpaca", "-o", "new.jsonl"]) == 2
    said = capsys.readouterr().err
    assert "rows.jsonl:2:2" in said and "ftui data fix" in said
    assert not list(here.glob("new*"))


# --- Two sides ----------------------------------------------------------------------------------------------


def test_no_prompt_is_on_both_sides_and_every_row_on_one(here: Path) -> None:
    rows = [
        ask(question, f"a{number}")
        for number in range(30)
        for question in (f"Where is {number}?", f"where is {number}")
    ]
    source = write(here / "rows.jsonl", rows)
    assert main(["data", "split", "rows.jsonl", "--val-fraction", "0.2", "-o", "t.jsonl", "v.jsonl"]) == 0
    train, val = (list(rows_of(name)) for name in ("t.jsonl", "v.jsonl"))
    assert (len(train), len(val)) == (48, 12)
    assert not {prompt_key(row) for row in train} & {prompt_key(row) for row in val}
    lines = source.read_bytes().splitlines()
    both = [(here / name).read_bytes().splitlines() for name in ("t.jsonl", "v.jsonl")]
    assert sorted(both[0] + both[1]) == sorted(lines)
    assert [line for line in lines if line in both[1]] == both[1]
    again = [
        "data",
        "split",
        "rows.jsonl",
        "--val-fraction",
        "0.2",
        "--seed",
        "7",
        "-o",
        "t7.jsonl",
        "v7.jsonl",
    ]
    assert main(again) == 0
    assert (here / "v7.jsonl").read_bytes() != (here / "v.jsonl").read_bytes()


def test_rows_of_one_customer_stay_together(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [ask(f"q{number}", "a", meta={"customer": number % 7}) for number in range(50)]
    write(here / "rows.jsonl", rows)
    split = ["data", "split", "rows.jsonl", "--val-fraction", "0.3", "--by"]
    assert main([*split, "meta.customer", "-o", "t.jsonl", "v.jsonl"]) == 0
    sides = [{row["meta"]["customer"] for row in read(here / name)} for name in ("t.jsonl", "v.jsonl")]
    assert sides[0] | sides[1] == set(range(7)) and not sides[0] & sides[1]
    assert main([*split, "meta.shop", "-o", "t2.jsonl", "v2.jsonl"]) == 2
    assert "50 rows cannot be placed" in (said := capsys.readouterr().err) and 'has no "meta.shop"' in said
    assert not list(here.glob("?2.jsonl"))


def test_rows_that_are_almost_the_same_stay_together_when_asked(here: Path) -> None:
    pytest.importorskip("numpy")
    rows = []
    for number in range(12):
        words = " ".join(f"w{number}x{place}" for place in range(30))
        rows += [ask(f"{words} please help me", "a", n=number), ask(f"{words} kindly help me", "b", n=number)]
    write(here / "rows.jsonl", rows)
    assert (
        main(["data", "split", "rows.jsonl", "--val-fraction", "0.25", "--near", "-o", "t.jsonl", "v.jsonl"])
        == 0
    )
    sides = [{row["n"] for row in read(here / name)} for name in ("t.jsonl", "v.jsonl")]
    assert len(sides[1]) == 3 and not sides[0] & sides[1]


def test_a_file_of_one_group_cannot_be_divided(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here / "rows.jsonl", [ask("q", "a"), ask("Q!", "b")])
    assert main(["data", "split", "rows.jsonl", "--val-fraction", "0.5", "-o", "t.jsonl", "v.jsonl"]) == 2
    assert "they form 1 group" in capsys.readouterr().err
    assert [path.name for path in here.iterdir()] == ["rows.jsonl"]
