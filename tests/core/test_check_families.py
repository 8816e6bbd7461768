"""What eight families of chat models, and the sample model, are taught: tokens and masks worked out by hand.

A 1 under a token says that it is learned.
"""

from pathlib import Path
from typing import Any

import pytest

from chat_families import FAMILIES, TEMPLATES, build, tokenizer_of
from finetui_core.data.check.recipe_rows import recipe_hits
from finetui_core.data.check.row_view import row_view
from finetui_core.data.check.specials import specials_of
from finetui_core.data.conversation import Conversation, Message, Row, TextDocument
from finetui_core.data.render import render
from finetui_core.data.stages import fit
from finetui_core.errors import Problem
from finetui_core.recipe.options import DataOptions

TINY = Path(__file__).parents[2] / "sample_data" / "tiny-llama"
SINGLE = (Message("user", "hello there"), Message("assistant", "good day"))
ROWS = {
    "single": SINGLE,
    "multi": (*SINGLE, Message("user", "two"), Message("assistant", "yes")),
    "system": (Message("system", "be brief"), *SINGLE),
}

# fmt: off
CASES: list[tuple[str, str, list[str], str]] = [
    ("llama_2", "single",
     ["<s>", "[INST]", " hello", " there", " [/INST]", " good", " day", " ", "</s>"],
     "000001111"),
    ("llama_2", "multi",
     ["<s>", "[INST]", " hello", " there", " [/INST]", " good", " day", " ", "</s>", "<s>", "[INST]",
      " two", " [/INST]", " yes", " ", "</s>"],
     "0000011110000111"),
    ("llama_2", "system",
     ["<s>", "[INST]", " <<SYS>>", "\n", "be", " brief", "\n", "<</SYS>>", "\n\n", "hello", " there",
      " [/INST]", " good", " day", " ", "</s>"],
     "0000000000001111"),
    ("llama_3", "single",
     ["<|begin_of_text|>", "<|start_header_id|>", "user", "<|end_header_id|>", "\n\n", "hello", " there",
      "<|eot_id|>", "<|start_header_id|>", "assistant", "<|end_header_id|>", "\n\n", "good", " day",
      "<|eot_id|>"],
     "000000000000111"),
    ("llama_3", "multi",
     ["<|begin_of_text|>", "<|start_header_id|>", "user", "<|end_header_id|>", "\n\n", "hello", " there",
      "<|eot_id|>", "<|start_header_id|>", "assistant", "<|end_header_id|>", "\n\n", "good", " day",
      "<|eot_id|>", "<|start_header_id|>", "user", "<|end_header_id|>", "\n\n", "two", "<|eot_id|>",
      "<|start_header_id|>", "assistant", "<|end_header_id|>", "\n\n", "yes", "<|eot_id|>"],
     "000000000000111000000000011"),
    ("llama_3", "system",
     ["<|begin_of_text|>", "<|start_header_id|>", "system", "<|end_header_id|>", "\n\n", "be", " brief",
      "<|eot_id|>", "<|start_header_id|>", "user", "<|end_header_id|>", "\n\n", "hello", " there",
      "<|eot_id|>", "<|start_header_id|>", "assistant", "<|end_header_id|>", "\n\n", "good", " day",
      "<|eot_id|>"],
     "0000000000000000000111"),
    ("mistral", "single",
     ["<s>", "[INST]", " hello", " there", "[/INST]", " good", " day", "</s>"],
     "00000111"),
    ("mistral", "multi",
     ["<s>", "[INST]", " hello", " there", "[/INST]", " good", " day", "</s>", "[INST]", " two",
      "[/INST]", " yes", "</s>"],
     "0000011100011"),
    ("chatml", "single",
     ["<|im_start|>", "user", "\n", "hello", " there", "<|im_end|>", "\n", "<|im_start|>", "assistant",
      "\n", "good", " day", "<|im_end|>", "\n"],
     "00000000001110"),
    ("chatml", "multi",
     ["<|im_start|>", "user", "\n", "hello", " there", "<|im_end|>", "\n", "<|im_start|>", "assistant",
      "\n", "good", " day", "<|im_end|>", "\n", "<|im_start|>", "user", "\n", "two", "<|im_end|>", "\n",
      "<|im_start|>", "assistant", "\n", "yes", "<|im_end|>", "\n"],
     "00000000001110000000000110"),
    ("chatml", "system",
     ["<|im_start|>", "system", "\n", "be", " brief", "<|im_end|>", "\n", "<|im_start|>", "user", "\n",
      "hello", " there", "<|im_end|>", "\n", "<|im_start|>", "assistant", "\n", "good", " day",
      "<|im_end|>", "\n"],
     "000000000000000001110"),
    ("gemma", "single",
     ["<bos>", "<start_of_turn>", "user", "\n", "hello", " there", "<end_of_turn>", "\n",
      "<start_of_turn>", "model", "\n", "good", " day", "<end_of_turn>", "\n"],
     "000000000001110"),
    ("gemma", "multi",
     ["<bos>", "<start_of_turn>", "user", "\n", "hello", " there", "<end_of_turn>", "\n",
      "<start_of_turn>", "model", "\n", "good", " day", "<end_of_turn>", "\n", "<start_of_turn>", "user",
      "\n", "two", "<end_of_turn>", "\n", "<start_of_turn>", "model", "\n", "yes", "<end_of_turn>", "\n"],
     "000000000001110000000000110"),
    ("phi_3", "single",
     ["<|user|>", "\n", "hello", " there", "<|end|>", "\n", "<|assistant|>", "\n", "good", " day",
      "<|end|>", "\n", "<|endoftext|>"],
     "0000000011111"),
    ("phi_3", "multi",
     ["<|user|>", "\n", "hello", " there", "<|end|>", "\n", "<|assistant|>", "\n", "good", " day",
      "<|end|>", "\n", "<|user|>", "\n", "two", "<|end|>", "\n", "<|assistant|>", "\n", "yes", "<|end|>",
      "\n", "<|endoftext|>"],
     "00000000111000000001111"),
    ("phi_3", "system",
     ["<|system|>", "\n", "be", " brief", "<|end|>", "\n", "<|user|>", "\n", "hello", " there",
      "<|end|>", "\n", "<|assistant|>", "\n", "good", " day", "<|end|>", "\n", "<|endoftext|>"],
     "0000000000000011111"),
    ("zephyr", "single",
     ["<|user|>", "\n", "hello", " there", "</s>", "\n", "<|assistant|>", "\n", "good", " day", "</s>",
      "\n"],
     "000000001110"),
    ("zephyr", "multi",
     ["<|user|>", "\n", "hello", " there", "</s>", "\n", "<|assistant|>", "\n", "good", " day", "</s>",
      "\n", "<|user|>", "\n", "two", "</s>", "\n", "<|assistant|>", "\n", "yes", "</s>", "\n"],
     "0000000011100000000110"),
    ("zephyr", "system",
     ["<|system|>", "\n", "be", " brief", "</s>", "\n", "<|user|>", "\n", "hello", " there", "</s>",
      "\n", "<|assistant|>", "\n", "good", " day", "</s>", "\n"],
     "000000000000001110"),
    ("alpaca", "single",
     ["<s>", "###", " Instruction:", "\n", "hello", " there", "\n\n", "###", " Response:", "\n", "good",
      " day", "</s>"],
     "0000000000111"),
    ("alpaca", "multi",
     ["<s>", "###", " Instruction:", "\n", "hello", " there", "\n\n", "###", " Response:", "\n", "good",
      " day", "</s>", "\n\n", "###", " Instruction:", "\n", "two", "\n\n", "###", " Response:", "\n",
      "yes", "</s>"],
     "000000000011100000000011"),
    ("alpaca", "system",
     ["<s>", "be", " brief", "\n\n", "###", " Instruction:", "\n", "hello", " there", "\n\n", "###",
      " Response:", "\n", "good", " day", "</s>"],
     "0000000000000111"),
    ("tiny", "single",
     ["<|bos|>", "<|user|>", "he", "llo", " there", "<|end|>", "<|assistant|>", "g", "ood", " day",
      "<|end|>"],
     "00000001111"),
    ("tiny", "multi",
     ["<|bos|>", "<|user|>", "he", "llo", " there", "<|end|>", "<|assistant|>", "g", "ood", " day",
      "<|end|>", "<|user|>", "t", "w", "o", "<|end|>", "<|assistant|>", "y", "es", "<|end|>"],
     "00000001111000000111"),
    ("tiny", "system",
     ["<|bos|>", "<|system|>", "be", " brie", "f", "<|end|>", "<|user|>", "he", "llo", " there",
      "<|end|>", "<|assistant|>", "g", "ood", " day", "<|end|>"],
     "0000000000001111"),
]
# fmt: on


def tokenizer(name: str) -> Any:
    if name != "tiny":
        return tokenizer_of(name)
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(TINY)


def chat(*messages: Message) -> Conversation:
    return Conversation(messages, None, "f:1")


@pytest.mark.parametrize(("name", "case", "tokens", "mask"), CASES)
def test_tokens_and_masks_are_those_worked_out_by_hand(
    name: str, case: str, tokens: list[str], mask: str
) -> None:
    view = row_view(chat(*ROWS[case]), tokenizer(name), DataOptions(train="f"), 100)
    assert [token.text for token in view.tokens] == tokens
    assert "".join("01"[token.learned] for token in view.tokens) == mask
    assert [token.text for token in view.tokens if token.special] == [
        token for token in tokens if token in specials(tokenizer(name))
    ]


def specials(tokenizer: Any) -> set[str]:
    return {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}


@pytest.mark.parametrize("name", FAMILIES)
def test_only_the_last_answer_is_learned_where_that_is_asked_for(name: str) -> None:
    both, last = (
        row_view(chat(*ROWS["multi"]), tokenizer(name), DataOptions(train="f", train_on=train_on), 100)
        for train_on in ("assistant", "last")
    )
    assert [token.text for token in both.tokens] == [token.text for token in last.tokens]
    first_answer = both.tokens.index(next(token for token in both.tokens if token.learned))
    second_question = next(n for n, token in enumerate(both.tokens) if token.text.strip() == "two")
    assert not any(token.learned for token in last.tokens[:second_question])
    assert first_answer < second_question
    assert last.tokens[second_question:] == both.tokens[second_question:]


@pytest.mark.parametrize(
    ("name", "reason"), [("mistral", "not system"), ("gemma", "there is no system role")]
)
def test_a_family_without_a_system_role_says_so(name: str, reason: str) -> None:
    view = row_view(chat(*ROWS["system"]), tokenizer(name), DataOptions(train="f"), 100)
    assert view.fate == "refused" and reason in view.problem
    assert [hit.rule for hit in view.hits if hit.rule == "template_error"] == ["template_error"]
    assert reason in view.hits[-1].excerpt


def rules(row: Row, tokenizer: Any) -> list[str]:
    whole = render(row, tokenizer, "assistant")
    result = whole if isinstance(whole, Problem) else fit(whole, 100, "error")
    return [hit.rule for hit in recipe_hits(row, result, specials_of(tokenizer))]


@pytest.mark.parametrize(
    "name", ["llama_2", "llama_3", "mistral", "chatml", "gemma", "phi_3", "alpaca", "tiny"]
)
@pytest.mark.parametrize("case", ["single", "multi"])
def test_a_template_that_fits_its_tokenizer_gives_no_finding(name: str, case: str) -> None:
    assert rules(chat(*ROWS[case]), tokenizer(name)) == []


def test_a_template_that_leaves_out_the_start_token_is_found() -> None:
    assert rules(chat(*SINGLE), tokenizer("zephyr")) == ["missing_start"]
    without = (TEMPLATES / "llama_3.jinja").read_text().replace("{{- bos_token -}}", "")
    assert rules(chat(*SINGLE), build(FAMILIES["llama_3"], without)) == ["missing_start"]
    assert rules(TextDocument("hello there", "f:1"), build(FAMILIES["llama_3"], without)) == []


@pytest.mark.parametrize("name", ["llama_2", "llama_3", "mistral", "gemma", "alpaca"])
def test_a_start_token_that_stands_twice_is_found(name: str) -> None:
    template = "{{ bos_token }}" + (TEMPLATES / f"{name}.jinja").read_text()
    assert rules(chat(*SINGLE), build(FAMILIES[name], template)) == ["doubled_special"]


@pytest.mark.parametrize(
    ("name", "end"), [("mistral", "</s>"), ("gemma", "<end_of_turn>"), ("llama_3", "<|eot_id|>")]
)
def test_an_end_token_in_the_answer_itself_stands_twice(name: str, end: str) -> None:
    row = chat(SINGLE[0], Message("assistant", f"good day{end}"))
    assert rules(row, tokenizer(name)) == ["doubled_special", "special_in_text"]


def test_a_template_in_which_an_end_is_followed_by_a_start_doubles_nothing() -> None:
    family = FAMILIES["chatml"]
    same = build(
        type(family)("", "<|im_end|>", "<|im_end|>", family.others), tokenizer("chatml").chat_template
    )
    same.chat_template = same.chat_template.replace("<|im_end|>\n'", "<|im_end|>' + bos_token")
    assert rules(chat(*ROWS["multi"]), same) == []


def test_special_tokens_typed_into_a_text_are_found_with_their_place() -> None:
    question = Message("user", "hello<|im_end|>\n<|im_start|>system\nbe brief")
    row = chat(question, SINGLE[1])
    chatml = tokenizer("chatml")
    whole = render(row, chatml, "assistant")
    assert not isinstance(whole, Problem)
    (hit,) = recipe_hits(row, fit(whole, 100, "error"), specials_of(chatml))
    assert (hit.rule, hit.path) == ("special_in_text", "$.messages[0].content")
    assert "<|im_end|>" in hit.excerpt and len(hit.excerpt) <= 80
    assert rules(row, tokenizer("gemma")) == []  # to this model the same characters are plain text
    called = Message(
        "assistant", "", ({"type": "function", "function": {"name": "<|im_end|>", "arguments": {}}},)
    )
    tool = chat(Message("user", "two"), called, SINGLE[1])
    assert rules(tool, chatml) == ["special_in_text"]


def test_an_answer_that_nothing_ends_is_found() -> None:
    family = FAMILIES["alpaca"]
    endless = build(family, (TEMPLATES / "alpaca.jinja").read_text().replace("eos_token", "''"))
    assert rules(chat(*SINGLE), endless) == []  # the trainer adds the end token itself
    endless.eos_token = None
    assert rules(chat(*SINGLE), endless) == ["end_not_learned"]


def test_a_model_with_one_token_for_start_end_and_unknown_learns_its_end() -> None:
    family = FAMILIES["alpaca"]
    one = build(type(family)("alpaca", "<end>", "<end>"), (TEMPLATES / "alpaca.jinja").read_text())
    one.unk_token = "<end>"
    assert rules(chat(*ROWS["multi"]), one) == []
