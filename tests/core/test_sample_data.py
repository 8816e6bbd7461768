"""The sample data rebuilds byte for byte, is clean, and the tiny model can be loaded and trained on it."""

import importlib
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SAMPLE = Path(__file__).parents[2] / "sample_data"
MAKERS = ("words", "grammar", "prose", "support", "messy", "documents", "facts")
MODEL = SAMPLE / "tiny-llama"
ROLES = {"system", "user", "assistant"}
LABELS = {"billing", "delivery", "returns", "technical", "account", "stock"}


@pytest.fixture(scope="module")
def makers() -> Iterator[dict[str, ModuleType]]:
    """The scripts of sample_data/make, imported as they import each other, then forgotten again."""
    known = set(sys.modules)
    sys.path.insert(0, str(SAMPLE / "make"))
    try:
        yield {name: importlib.import_module(name) for name in MAKERS}
    finally:
        sys.path.remove(str(SAMPLE / "make"))
        for name in set(MAKERS) - known:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(MODEL)


def chats(name: str) -> list[list[dict[str, str]]]:
    lines = (SAMPLE / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["messages"] for line in lines]


TRAIN, VAL = chats("support_chat.jsonl"), chats("support_chat_val.jsonl")


def test_chats_rebuild_byte_for_byte(makers: dict[str, ModuleType]) -> None:
    support = makers["support"]
    train, val = support.splits()
    assert support.as_jsonl(train).encode() == support.TRAIN.read_bytes()
    assert support.as_jsonl(val).encode() == support.VAL.read_bytes()


def test_messy_chats_and_their_key_rebuild_byte_for_byte(makers: dict[str, ModuleType]) -> None:
    messy = makers["messy"]
    rows = messy.messy_rows()
    assert messy.as_lines(rows).encode() == messy.MESSY.read_bytes()
    assert messy.as_key(rows).encode() == messy.KEY.read_bytes()


def test_documents_rebuild_byte_for_byte(makers: dict[str, ModuleType]) -> None:
    folder = makers["documents"].FOLDER
    written = {page.name: page.read_bytes() for page in folder.iterdir()}
    assert written == {name: text.encode() for name, text in makers["documents"].pages().items()}


def test_questions_about_the_documents_rebuild_and_are_answered_there(makers: dict[str, ModuleType]) -> None:
    facts = makers["facts"]
    train, val = facts.splits()
    assert facts.as_jsonl(train).encode() == facts.TRAIN.read_bytes()
    assert facts.as_jsonl(val).encode() == facts.VAL.read_bytes()
    assert not {row["group"] for row in train} & {row["group"] for row in val}
    for row in train + val:
        page, answer = row["group"].split(": ", 1)
        text = (SAMPLE / "documents" / f"{page}.md").read_text(encoding="utf-8").replace("\n", " ")
        assert answer.removesuffix(" euros") in text
        assert row["messages"][-1]["content"] == f"{answer}."


def test_general_text_rebuilds_byte_for_byte(makers: dict[str, ModuleType]) -> None:
    prose = makers["prose"]
    assert prose.GENERAL.read_bytes() == "".join(line + "\n" for line in prose.general_lines()).encode()


def test_there_are_enough_chats_and_turns() -> None:
    assert len(TRAIN) >= 800
    assert len(VAL) >= 200
    for rows in (TRAIN, VAL):
        several = [row for row in rows if sum(message["role"] == "user" for message in row) > 1]
        assert len(several) >= 0.15 * len(rows)
        assert any(row[0]["role"] == "system" for row in rows)


def test_each_chat_alternates_ends_with_the_assistant_and_keeps_the_house_style() -> None:
    for row in TRAIN + VAL:
        assert {message["role"] for message in row} <= ROLES
        assert all(message["content"].strip() == message["content"] != "" for message in row)
        turns = [message for message in row if message["role"] != "system"]
        assert [turn["role"] for turn in turns] == ["user", "assistant"] * (len(turns) // 2)
        for reply in turns[1::2]:
            assert reply["content"].rsplit("Label: ", 1)[1] in LABELS


def test_no_opening_is_repeated_in_training_or_shared_with_validation() -> None:
    openings = [
        next(message["content"].lower() for message in row if message["role"] == "user")
        for row in TRAIN + VAL
    ]
    assert len(set(openings)) == len(openings)


def test_each_label_is_common_in_both_files() -> None:
    for rows in (TRAIN, VAL):
        labels = [row[-1]["content"].rsplit("Label: ", 1)[1] for row in rows]
        assert all(labels.count(label) >= 0.1 * len(rows) for label in LABELS)


def test_all_files_together_stay_small() -> None:
    files = [path for path in SAMPLE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in files) < 8_000_000


def test_tokenizer_gives_back_any_text(tokenizer: Any) -> None:
    generator = random.Random(0)
    texts = ["", "Hello Anna!\nLabel: billing", "Zażółć 12.50 € 你好 🙂\t  two  spaces "]
    texts += ["".join(chr(generator.randrange(32, 0x2FFF)) for _ in range(40)) for _ in range(20)]
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids) == text


def test_template_marks_what_the_assistant_says_with_its_end(tokenizer: Any) -> None:
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello there!"},
        {"role": "user", "content": "Thank you"},
        {"role": "assistant", "content": "Goodbye"},
    ]
    rendered = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    pairs = zip(rendered["input_ids"], rendered["assistant_masks"], strict=True)
    supervised = [token for token, mask in pairs if mask]
    assert tokenizer.decode(supervised) == "Hello there!<|end|>Goodbye<|end|>"
    assert tokenizer.eos_token == "<|end|>"


def test_prompt_for_an_answer_begins_the_whole_chat(tokenizer: Any) -> None:
    for row in VAL[:20]:
        prompt = tokenizer.apply_chat_template(row[:-1], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(row, tokenize=False)
        assert whole == prompt + row[-1]["content"] + "<|end|>"


def test_template_renders_tools_their_calls_and_results(tokenizer: Any) -> None:
    call = {"type": "function", "function": {"name": "get_price", "arguments": {"item": "lamp"}}}
    messages = [
        {"role": "user", "content": "What does the lamp cost?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "12"},
    ]
    tools = [{"type": "function", "function": {"name": "get_price", "parameters": {}}}]
    text = tokenizer.apply_chat_template(messages, tools=tools, tokenize=False, add_generation_prompt=True)
    assert '<|assistant|>{"name": "get_price", "arguments": {"item": "lamp"}}<|end|>' in text
    assert text.startswith('<|bos|><|system|>You can call these functions:\n{"type": "function"')
    assert text.endswith("<|user|>Result: 12<|end|><|assistant|>")


def test_rows_are_short(tokenizer: Any) -> None:
    lengths = [len(tokenizer.apply_chat_template(row, return_dict=True)["input_ids"]) for row in TRAIN + VAL]
    assert max(lengths) < 400
    assert sum(length < 200 for length in lengths) > 0.9 * len(lengths)


def test_model_loads_in_float32_with_one_to_four_million_parameters_and_stops_at_the_end_of_a_turn(
    tokenizer: Any,
) -> None:
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    model = transformers.AutoModelForCausalLM.from_pretrained(MODEL)
    assert 1_000_000 <= model.num_parameters() <= 4_000_000
    assert model.dtype == torch.float32
    assert len(tokenizer) == model.config.vocab_size
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_dict=True,
        return_tensors="pt",
    )
    ids = model.generate(**prompt, max_new_tokens=40, do_sample=False)[0]
    assert ids[-1] == tokenizer.eos_token_id
    assert "Paris" in tokenizer.decode(ids)
