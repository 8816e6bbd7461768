"""What each arm is asked: the same questions, with examples or passages before them as far as there is room."""

from pathlib import Path
from typing import Any

import pytest

from finetui_core.data.conversation import Conversation, Message
from finetui_core.evaluate import figures
from finetui_core.evaluate.arms import Help, arms_for, fixed_examples, prompts
from finetui_core.evaluate.documents import Passage
from finetui_core.evaluate.endpoint import Endpoint


def example(number: int, question: str, answer: str, *, system: str = "") -> Conversation:
    turns = (Message("user", question), Message("assistant", answer))
    first = (Message("system", system),) if system else ()
    return Conversation((*first, *turns), None, f"train.jsonl:{number}")


def row(index: int, question: str, *before: dict[str, Any]) -> figures.TestRow:
    return figures.TestRow(
        index, f"val.jsonl:{index + 1}", (*before, {"role": "user", "content": question}), "ref"
    )


def words(messages: Any, tools: Any = None) -> int:
    return sum(len(one["content"].split()) for one in messages)


EXAMPLES = (
    example(1, "Where is my blue parcel?", "On its way.", system="Old system."),
    example(2, "Where is my refund?", "In a week."),
    example(3, "When do you open?", "At nine."),
    example(4, "What does the parcel cost?", "Ten."),
)
PASSAGES = (
    Passage("We open at nine each morning.", "hours.md:3", "Opening hours"),
    Passage("A parcel costs ten euros to send.", "fees.md:3", "Fees"),
)
SYSTEM = {"role": "system", "content": "Be brief."}
ROWS = (row(0, "Is the parcel cost ten?", SYSTEM), row(1, "Zzz?"))


def help_with(room: int = 1000, **others: Any) -> Help:
    settings: dict[str, Any] = {"examples": EXAMPLES, "passages": PASSAGES, "shots": 2, "seed": 1}
    return Help(**(settings | others), room=room, length_of=words)


ALL = arms_for(
    has_run=True, examples=EXAMPLES, documents=Path("docs"), endpoint=Endpoint("http://h/v1", "m"), shots=2
)


def test_the_arms_and_the_order_of_their_costs() -> None:
    assert [(arm.name, arm.weights) for arm in ALL] == [
        ("zero_shot", "base"),
        ("few_shot", "base"),
        ("retrieved", "base"),
        ("documents", "base"),
        ("endpoint", "endpoint"),
        ("tuned", "tuned"),
        ("tuned_retrieved", "tuned"),
        ("tuned_documents", "tuned"),
    ]
    by_cost = [arm.name for arm in sorted(ALL, key=lambda arm: arm.cost)]
    assert by_cost == [*[arm.name for arm in ALL if arm.name != "endpoint"], "endpoint"]
    assert [arm.name for arm in arms_for(has_run=False, examples=())] == ["zero_shot"]
    assert "docs" in ALL[3].says and "m at http://h/v1" in ALL[4].says


def test_each_arm_asks_the_same_question() -> None:
    asked = prompts(ALL, ROWS, help_with())
    assert list(asked) == [arm.name for arm in ALL] and all(one.left_out == 0 for one in asked.values())
    assert asked["zero_shot"].prompts[0].messages == ROWS[0].prompt
    assert asked["tuned"] == asked["endpoint"] == asked["zero_shot"]
    assert asked["tuned_retrieved"] == asked["retrieved"] and asked["tuned_documents"] == asked["documents"]
    for name in ("few_shot", "retrieved"):
        for prompt, asked_row in zip(asked[name].prompts, ROWS, strict=True):
            roles = [one["role"] for one in prompt.messages]
            system = ["system"] if asked_row.index == 0 else []
            assert roles == [*system, "user", "assistant", "user", "assistant", "user"]
            assert prompt.messages[-1] == asked_row.prompt[-1] and prompt.index == asked_row.index
            assert "Old system." not in str(prompt.messages) and len(prompt.used) == 2
    fixed = {prompt.used for prompt in asked["few_shot"].prompts}
    assert len(fixed) == 1


def test_the_most_alike_example_is_nearest_to_the_question() -> None:
    asked = prompts(ALL, ROWS, help_with())
    first, second = asked["retrieved"].prompts
    assert first.used == ("train.jsonl:1", "train.jsonl:4")
    assert first.messages[3]["content"] == "What does the parcel cost?"
    assert second.used == asked["few_shot"].prompts[1].used  # nothing is like it


def test_passages_stand_before_the_question_with_an_instruction() -> None:
    first, second = prompts(ALL, ROWS, help_with())["documents"].prompts
    assert first.used == ("fees.md:3",)
    assert first.messages[-1]["content"] == (
        "Answer the question from these passages.\n\n[1] Fees\nA parcel costs ten euros to send.\n\n"
        "Question: Is the parcel cost ten?"
    )
    assert first.messages[0] == SYSTEM and second.messages == ROWS[1].prompt and second.used == ()


@pytest.mark.parametrize(("room", "used", "left_out"), [(24, 2, 0), (15, 1, 1), (7, 0, 2)])
def test_what_finds_no_room_is_left_out_whole_and_counted(room: int, used: int, left_out: int) -> None:
    asked = prompts(ALL, ROWS[:1], help_with(room))["retrieved"]
    (prompt,) = asked.prompts
    assert len(prompt.used) == used and asked.left_out == left_out
    assert words(prompt.messages) <= room and prompt.messages[-1] == ROWS[0].prompt[-1]
    if used == 1:
        assert prompt.used == ("train.jsonl:4",)  # the better one stays


def test_a_long_example_makes_room_for_a_short_one() -> None:
    examples = (example(1, "Is the parcel cost ten?", "word " * 50), *EXAMPLES[1:])
    asked = prompts(ALL, ROWS[:1], help_with(20, examples=examples))["retrieved"]
    assert asked.prompts[0].used == ("train.jsonl:4",) and asked.left_out == 1


def test_fixed_examples_show_each_label_and_are_the_same_each_time() -> None:
    labels = ["late"] * 20 + ["lost"] * 6 + ["other"] * 4
    examples = tuple(example(at, f"Question {at}?", label) for at, label in enumerate(labels))
    drawn = [fixed_examples(help_with(examples=examples, shots=4, seed=seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    for one in drawn:
        answers = [row.messages[-1].content for row in one]
        assert answers == ["late", "lost", "other", "late"]


def test_rows_with_tools_are_no_examples_and_keep_their_own() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {}}}
    turns = (Message("user", "parcel cost"), Message("assistant", "", (call,)), Message("assistant", "ten"))
    assert [arm.name for arm in arms_for(has_run=False, examples=[Conversation(turns, None, "t:9")])] == [
        "zero_shot"
    ]
    seen: list[Any] = []

    def length(messages: Any, tools: Any) -> int:
        seen.append(tools)
        return words(messages)

    help = Help(EXAMPLES, (), 2, 1, 99, length)
    tooled = figures.TestRow(
        0, "v:1", ({"role": "user", "content": "parcel"},), "r", "", ({"type": "function"},)
    )
    prompts(ALL[2:3], [tooled], help)
    assert ({"type": "function"},) in seen
