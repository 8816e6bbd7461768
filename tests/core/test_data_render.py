"""Token ids and loss masks.

The expected values are worked out by hand: the runs of learned tokens, decoded, in order.
The templates are written from the documentation of the model families they are named after.
"""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetui_core.data.conversation import Conversation, Message, Row, TextDocument
from finetui_core.data.render import Example, ensure_template, render, renderer, template_of
from finetui_core.errors import InputError, Problem
from tiny_tokenizers import SPECIAL, byte_level, sentencepiece_like

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{{ m.content }}"
    "{% for c in m.tool_calls or [] %}{{ '<tool_call>' + c.function | tojson + '</tool_call>' }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MARKED_CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    "{% for c in m.tool_calls or [] %}{{ '<tool_call>' + c.function | tojson + '</tool_call>' }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endgeneration %}{% else %}"
    "{{ m.content }}{{ '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# The marks leave the end token out, as published templates have done.
SHORT_MARKED_CHATML = MARKED_CHATML.replace(
    "{{ '<|im_end|>\n' }}{% endgeneration %}", "{% endgeneration %}{{ '<|im_end|>\n' }}"
)
LLAMA_2 = (
    "{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}"
    "{% set system = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' %}"
    "{% else %}{% set rest = messages %}{% set system = '' %}{% endif %}"
    "{% for m in rest %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if m.role == 'user' %}"
    "{{ bos_token + '[INST] ' + (system if loop.first else '') + m.content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA_3 = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + '[/INST]' }}"
    "{% elif m.role == 'assistant' %}{{ ' ' + m.content | trim + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
# Qwen 3 writes an empty thought before the answer to the last question, and none before earlier answers.
THINKING = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# DeepSeek R1 asks for an answer with an open thought that is not in the answers of a finished conversation.
OPEN_THOUGHT = LLAMA_3.replace(
    "assistant<|end_header_id|>\n\n' }}{% endif %}", "assistant<|end_header_id|>\n\n<think>' }}{% endif %}"
)
NO_END = (
    "{% for m in messages %}{{ m.role + ':\n' + m.content + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:\n' }}{% endif %}"
)

# The header of the next turn is all that ends one, and must not be taught as its end.
MARKED_WITHOUT_END = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
    "{% else %}{{ m.content }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MISTRAL_OPEN_THOUGHT = MISTRAL + "{% if add_generation_prompt %}{{ ' <think>' }}{% endif %}"

TWO_ROUNDS = Conversation(
    (
        Message("user", "hello"),
        Message("assistant", "good day"),
        Message("user", "two"),
        Message("assistant", "yes"),
    ),
    None,
    "f:1",
)


def with_template(tokenizer: Any, template: str) -> Any:
    tokenizer.chat_template = template
    return tokenizer


def example(row: Row, tokenizer: Any, train_on: str = "assistant") -> Example:
    rendered = render(row, tokenizer, train_on)
    assert isinstance(rendered, Example), rendered
    assert rendered.ids.dtype == np.int32 and rendered.mask.dtype == bool
    assert len(rendered.ids) == len(rendered.mask)
    return rendered


def learned(row: Row, tokenizer: Any, train_on: str = "assistant") -> list[str]:
    rendered = example(row, tokenizer, train_on)
    runs = itertools.groupby(
        zip(rendered.ids.tolist(), rendered.mask.tolist(), strict=True), key=lambda pair: pair[1]
    )
    return [tokenizer.decode([token for token, _ in run]) for is_learned, run in runs if is_learned]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (CHATML, ["good day<|im_end|>", "yes<|im_end|>"]),
        (MARKED_CHATML, ["good day<|im_end|>", "yes<|im_end|>"]),
        (SHORT_MARKED_CHATML, ["good day<|im_end|>", "yes<|im_end|>"]),
        (LLAMA_2, [" good day </s>", " yes </s>"]),
        (LLAMA_3, ["good day<|eot_id|>", "yes<|eot_id|>"]),
        (MISTRAL, [" good day</s>", " yes</s>"]),
        (THINKING, ["good day<|im_end|>", "<think>\n\n</think>\n\nyes<|im_end|>"]),
        (OPEN_THOUGHT, ["good day<|eot_id|>", "yes<|eot_id|>"]),
        (NO_END, ["good day\n", "yes\n</s>"]),
        (MARKED_WITHOUT_END, ["good day", "yes\n</s>"]),
        (MISTRAL_OPEN_THOUGHT, [" good day</s>", " yes</s>"]),
    ],
)
@pytest.mark.parametrize("trim_offsets", [True, False])
def test_answers_and_their_ends_are_learned(template: str, expected: list[str], trim_offsets: bool) -> None:
    tokenizer = with_template(byte_level(adds_bos=True, trim_offsets=trim_offsets), template)
    assert learned(TWO_ROUNDS, tokenizer) == expected
    assert learned(TWO_ROUNDS, tokenizer, "last") == expected[-1:]


@pytest.mark.parametrize(
    ("template", "expected"),
    [(LLAMA_2, [" good day </s>", " yes </s>"]), (MISTRAL, [" good day</s>", " yes</s>"])],
)
def test_the_space_that_begins_an_answer_belongs_to_it_in_sentencepiece_too(
    template: str, expected: list[str]
) -> None:
    assert learned(TWO_ROUNDS, with_template(sentencepiece_like(), template)) == expected


def test_a_space_that_ends_the_prompt_is_not_learned() -> None:
    template = CHATML.replace("m.role + '\n'", "m.role + ': '").replace("assistant\n'", "assistant: '")
    row = Conversation((Message("user", "hello"), Message("assistant", "🦙 yes 🦙")), None, "f:1")
    assert learned(row, with_template(byte_level(), template)) == ["🦙 yes 🦙<|im_end|>"]


@pytest.mark.parametrize("content", ["a", "b", "b\na", "a\nb", "ab\nb", "a a\na"])
def test_an_answer_is_found_whatever_letters_it_begins_and_ends_with(content: str) -> None:
    turns = (Message("user", "a"), Message("assistant", content), *TWO_ROUNDS.messages[2:])
    row = Conversation(turns, None, "f:1")
    for template, end in ((THINKING, "<|im_end|>"), (OPEN_THOUGHT, "<|eot_id|>")):
        assert learned(row, with_template(byte_level(), template))[0] == content + end


def test_the_system_turn_is_not_learned() -> None:
    row = Conversation((Message("system", "be brief"), *TWO_ROUNDS.messages), None, "f:1")
    for template in (CHATML, MARKED_CHATML, LLAMA_2, LLAMA_3):
        tokenizer = with_template(byte_level(), template)
        assert learned(row, tokenizer) == learned(TWO_ROUNDS, tokenizer)


@pytest.mark.parametrize("tokenizer", [byte_level(adds_bos=True), byte_level(), sentencepiece_like()])
@pytest.mark.parametrize("template", [LLAMA_3, MISTRAL])
def test_the_start_token_is_there_once(tokenizer: Any, template: str) -> None:
    ids = example(TWO_ROUNDS, with_template(tokenizer, template)).ids.tolist()
    assert ids[0] == tokenizer.bos_token_id and ids.count(tokenizer.bos_token_id) == 1


def test_all_learns_every_token_but_the_start_token() -> None:
    tokenizer = with_template(byte_level(adds_bos=True), LLAMA_3)
    rendered = example(TWO_ROUNDS, tokenizer, "all")
    assert not rendered.mask[0] and rendered.mask[1:].all()
    asks_again = Conversation((*TWO_ROUNDS.messages, Message("user", "no")), None, "f:1")
    assert tokenizer.decode(example(asks_again, tokenizer, "all").ids).endswith("no<|eot_id|>")
    assert example(asks_again, tokenizer).ids.tolist() == rendered.ids.tolist()


def test_tool_calls_are_learned_and_tool_results_are_not() -> None:
    call = {"type": "function", "function": {"name": "find", "arguments": {"what": "it"}}}
    turns = (
        Message("user", "q"),
        Message("assistant", "", (call,)),
        Message("tool", "r"),
        Message("assistant", "a"),
    )
    written = '<tool_call>{"name": "find", "arguments": {"what": "it"}}</tool_call>'
    for template in (CHATML, MARKED_CHATML):
        tokenizer = with_template(byte_level(), template)
        assert learned(Conversation(turns, None, "f:1"), tokenizer) == [f"{written}<|im_end|>", "a<|im_end|>"]
    plain = byte_level()
    ensure_template(plain, None)
    schema = {"type": "function", "function": {"name": "find"}}
    row = Conversation(turns, (schema,), "f:1")
    assert learned(row, plain) == [f"{written}</s>", "a</s>"]
    text = plain.decode(example(row, plain).ids)
    assert text == (
        'Tools:\n{"type": "function", "function": {"name": "find"}}\n\n'
        f"User:\nq\n\nAssistant:\n{written}</s>\n\nTool:\nr\n\nAssistant:\na</s>\n\n"
    )


def test_a_document_is_learned_whole_between_start_and_end() -> None:
    document = TextDocument("hello day", "f:1")
    for tokenizer, start in ((byte_level(adds_bos=True), "<s>"), (byte_level(), "")):
        rendered = example(document, tokenizer)
        assert tokenizer.decode(rendered.ids) == start + "hello day</s>"
        assert learned(document, tokenizer) == ["hello day</s>"]
    marked = TextDocument("<s>hello</s>", "f:1")
    assert tokenizer.decode(example(marked, byte_level(adds_bos=True)).ids) == "<s>hello</s>"


def test_the_marks_are_read_as_transformers_reads_them() -> None:
    exact = MARKED_CHATML.replace(
        "<|im_end|>\n' }}{% endgeneration %}", "<|im_end|>' }}{% endgeneration %}{{ '\n' }}"
    )
    tokenizer = with_template(byte_level(), exact)
    messages = [{"role": message.role, "content": message.content} for message in TWO_ROUNDS.messages]
    theirs = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    ours = example(TWO_ROUNDS, tokenizer)
    assert ours.ids.tolist() == theirs["input_ids"]
    assert ours.mask.astype(int).tolist() == theirs["assistant_masks"]


def test_a_template_that_refuses_a_row_gives_its_own_reason() -> None:
    twice = Conversation((Message("user", "a"), Message("user", "b"), Message("assistant", "c")), None, "f:9")
    problem = render(twice, with_template(byte_level(), LLAMA_2), "assistant")
    assert isinstance(problem, Problem) and problem.where == "f:9"
    assert "roles must alternate" in problem.what


def test_an_answer_that_the_template_leaves_out_is_a_problem() -> None:
    silent = "{% for m in messages if m.role == 'user' %}{{ m.content + '\n' }}{% endfor %}"
    problem = render(TWO_ROUNDS, with_template(byte_level(), silent), "assistant")
    assert isinstance(problem, Problem) and "turn 2" in problem.what


def test_an_assistant_turn_may_come_first_where_the_template_allows_it() -> None:
    row = Conversation((Message("assistant", "good day"), *TWO_ROUNDS.messages[2:]), None, "f:1")
    assert learned(row, with_template(byte_level(), CHATML)) == ["good day<|im_end|>", "yes<|im_end|>"]
    assert isinstance(render(row, with_template(byte_level(), LLAMA_2), "assistant"), Problem)


def test_a_slow_tokenizer_is_refused() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(InputError, match="slow"):
        renderer(Slow(), "assistant")


def test_where_the_template_comes_from(tmp_path: Path) -> None:
    tokenizer = byte_level(adds_bos=True)
    text, origin = template_of(tokenizer, None)
    assert "generation" in text and text.startswith("{{- bos_token }}") and "default" in origin
    assert tokenizer.chat_template is None
    assert ensure_template(tokenizer, None) == origin and tokenizer.chat_template == text
    assert ensure_template(tokenizer, None) == "the model's own"
    path = tmp_path / "own.jinja"
    path.write_text(CHATML)
    assert ensure_template(tokenizer, str(path)) == f"the file {path}"
    assert tokenizer.chat_template == CHATML


def test_a_template_that_cannot_be_used_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        ensure_template(byte_level(), str(tmp_path / "gone.jinja"))
    path = tmp_path / "bad.jinja"
    path.write_text("line\n{% for m in %}")
    with pytest.raises(InputError) as caught:
        ensure_template(byte_level(), str(path))
    assert caught.value.problems[0].where == f"{path}:2"


TEXTS = (
    st.text(max_size=12)
    .map(str.strip)
    .filter(lambda text: text and not any(mark in text for mark in SPECIAL))
)
CALLS = st.lists(
    st.builds(
        lambda name, value: {"type": "function", "function": {"name": name, "arguments": {"x": value}}},
        TEXTS,
        TEXTS,
    ),
    min_size=1,
    max_size=2,
).map(tuple)
TURNS = st.one_of(
    st.builds(Message, st.sampled_from(["system", "user", "tool", "assistant"]), TEXTS),
    st.builds(Message, st.just("assistant"), st.just("") | TEXTS, CALLS),
)
CONVERSATIONS = (
    st.lists(TURNS, min_size=1, max_size=6)
    .filter(lambda turns: any(turn.role == "assistant" for turn in turns))
    .map(lambda turns: Conversation(tuple(turns), None, "f:1"))
)
TOKENIZERS = {
    trim: {template: with_template(byte_level(trim_offsets=trim), template) for template in templates}
    for trim, templates in (
        (True, (CHATML, MARKED_CHATML, SHORT_MARKED_CHATML)),
        (False, (CHATML, MARKED_CHATML)),
    )
}
PLAIN = byte_level()
ensure_template(PLAIN, None)


@settings(deadline=None)
@given(CONVERSATIONS, st.sampled_from(["assistant", "last"]), st.booleans())
def test_exactly_the_answers_and_their_ends_are_learned(row: Conversation, train_on: str, trim: bool) -> None:
    answers = [message for message in row.messages if message.role == "assistant"]
    written = [message.content + "".join(map(_written, message.tool_calls or ())) for message in answers]
    expected = [text + "<|im_end|>" for text in written][-1 if train_on == "last" else 0 :]
    rendered = [example(row, tokenizer, train_on) for tokenizer in TOKENIZERS[trim].values()]
    tokenizer = TOKENIZERS[trim][CHATML]
    assert tokenizer.decode(rendered[0].ids[rendered[0].mask]) == "".join(expected)
    for other in rendered[1:]:
        assert other.ids.tolist() == rendered[0].ids.tolist()
        assert other.mask.tolist() == rendered[0].mask.tolist()


@settings(deadline=None)
@given(st.lists(TURNS, min_size=1, max_size=5), TEXTS)
def test_the_default_template_learns_the_same_and_ends_each_answer(turns: list[Message], last: str) -> None:
    row = Conversation((*turns, Message("assistant", last)), None, "f:1")
    answers = [message for message in row.messages if message.role == "assistant"]
    rendered = example(row, PLAIN)
    expected = ""
    for message in answers:
        calls = [*([message.content] if message.content else []), *map(_written, message.tool_calls or ())]
        expected += "\n".join(calls) + "</s>"
    assert PLAIN.decode(rendered.ids[rendered.mask]) == expected


def _written(call: dict[str, Any]) -> str:
    return "<tool_call>" + json.dumps(call["function"], ensure_ascii=False) + "</tool_call>"
