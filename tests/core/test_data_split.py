"""Rows kept apart for validation."""

import os
import subprocess
import sys
from collections import Counter
from hashlib import blake2b
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import finetui_core
from finetui_core.data.conversation import Conversation, Message, TextDocument
from finetui_core.data.split import prompt_digest, split, whole_groups


def ask(prompt: str, answer: str) -> Conversation:
    return Conversation((Message("user", prompt), Message("assistant", answer)), None, "f:1")


ROWS = st.lists(
    st.builds(ask, st.sampled_from("abcdefgh"), st.text(max_size=3))
    | st.builds(TextDocument, st.sampled_from("xyz"), st.just("f:1")),
    max_size=30,
)


@given(ROWS, st.floats(0, 0.5), st.integers(0, 2**32))
def test_equal_prompts_stay_together_and_no_row_is_lost(
    rows: list[Conversation | TextDocument], fraction: float, seed: int
) -> None:
    train, val = split(rows, fraction, seed)
    assert Counter(train) + Counter(val) == Counter(rows)
    assert not {prompt_digest(row) for row in train} & {prompt_digest(row) for row in val}
    assert (train, val) == split(rows, fraction, seed)
    groups = len({prompt_digest(row) for row in rows})
    assert bool(val) == (fraction > 0 and groups >= 2)
    assert bool(train) == bool(rows)


def plainly_kept_apart(digests: list[bytes], fraction: float, seed: int) -> set[int]:
    """The rule written out: whole groups in an order that the seed draws, up to the share."""
    groups: dict[bytes, list[int]] = {}
    for index, digest in enumerate(digests):
        groups.setdefault(digest, []).append(index)
    if fraction <= 0 or len(groups) < 2:
        return set()
    drawn = sorted(groups, key=lambda digest: blake2b(digest, key=str(seed).encode()).digest())
    room = max(1, round(fraction * len(digests)))
    chosen: set[int] = set()
    for digest in drawn:
        if len(chosen) + len(groups[digest]) <= room:
            chosen.update(groups[digest])
    return chosen or set(groups[min(drawn, key=lambda digest: len(groups[digest]))])


DIGESTS = st.integers(1, 16).flatmap(
    lambda width: st.lists(st.lists(st.sampled_from([0, 1, 255]), min_size=width, max_size=width).map(bytes))
)


@given(DIGESTS, st.floats(0, 0.5), st.integers(0, 2**32))
def test_the_choice_is_that_of_the_rule_also_for_digests_that_end_in_zeros(
    digests: list[bytes], fraction: float, seed: int
) -> None:
    assert whole_groups(digests, fraction, seed) == plainly_kept_apart(digests, fraction, seed)


def test_the_share_and_the_order_are_kept() -> None:
    rows = [ask(str(number), "a") for number in range(1000)]
    train, val = split(rows, 0.05, 42)
    assert len(val) == 50
    assert list(val) == sorted(val, key=rows.index) and list(train) == sorted(train, key=rows.index)
    assert split(rows, 0.05, 43)[1] != val


def test_one_large_group_does_not_fill_the_validation_rows() -> None:
    rows = [ask("same", str(number)) for number in range(90)] + [
        ask(str(number), "a") for number in range(10)
    ]
    for seed in range(20):
        assert len(split(rows, 0.1, seed)[1]) == 10


def test_tools_and_earlier_turns_belong_to_the_prompt_and_the_answer_does_not() -> None:
    assert prompt_digest(ask("q", "one")) == prompt_digest(ask("q", "two"))
    with_tools = Conversation(ask("q", "one").messages, ({"name": "f"},), "f:1")
    assert prompt_digest(with_tools) != prompt_digest(ask("q", "one"))


def test_another_process_makes_the_same_choice() -> None:
    rows = [ask(str(number), "a") for number in range(40)]
    program = (
        "from finetui_core.data.conversation import *\nfrom finetui_core.data.split import split\n"
        "ask = lambda n: Conversation((Message('user', str(n)), Message('assistant', 'a')), None, 'f:1')\n"
        "rows = [ask(n) for n in range(40)]\n"
        "print([row.messages[0].content for row in split(rows, 0.2, 7)[1]])"
    )
    folder = str(Path(finetui_core.__file__).parent.parent)
    environment = {**os.environ, "PYTHONHASHSEED": "123", "PYTHONPATH": folder}
    output = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert output.strip() == str([row.messages[0].content for row in split(rows, 0.2, 7)[1]])
