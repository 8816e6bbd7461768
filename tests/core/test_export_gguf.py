"""GGUF files: written, read back, and damaged; and llama.cpp's own converter as a program that the user names."""

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

import exports
from finetui_core.export.gguf_check import without_marks
from finetui_core.export.gguf_file import window_of
from finetui_core.export.gguf_tokens import tokenizer_from, tokens_of

gguf = pytest.importorskip("gguf")
TEXTS = ["Where is my order?", "Hello\n\n  there", "naïve 荷物 👍🏽", "it's 1204 or 7", "<|endoftext|>x"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> exports.Make:
    return exports.runs_of(tmp_path_factory.mktemp("gguf"))


def field(path: Path, name: str) -> Any:
    return gguf.GGUFReader(path).get_field(name).contents()


@pytest.mark.parametrize(
    ("architecture", "method", "there"),
    [("llama", "lora", "llama"), ("mistral", "full", "llama"), ("gpt2", "lora", "gpt2")],
)
def test_the_file_holds_what_the_run_has(architecture, method, there, run, tmp_path, capsys):
    paths, out = run(architecture, method), tmp_path / "out"
    assert exports.export(paths, "--to", "gguf", "--out", str(out), "--json") == 0
    told = exports.told(capsys)
    assert told["parity"]["agrees"] and told["parity"]["differing"] == 0
    assert "bit by bit" in told["parity"]["notes"][0]
    assert any("attends to 8 tokens" in note for note in told["notes"]) == (architecture == "mistral")
    assert ("only in conversations of up to 8 tokens" in told["parity"]["says"]) == (
        architecture == "mistral"
    )
    assert told["parity"]["says"] in (out / "README.md").read_text()
    file = out / "model.gguf"
    assert field(file, "general.architecture") == there
    assert field(file, "tokenizer.ggml.pre") == "gpt-2"
    assert field(file, "tokenizer.ggml.eos_token_id") == 0
    template = (paths.checkpoint(4) / "chat_template.jinja").read_text()
    assert field(file, "tokenizer.chat_template") == without_marks(template)
    assert "generation %" not in field(file, "tokenizer.chat_template")
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_sample_model_says_that_numbers_are_split_otherwise(tmp_path, capsys):
    run = exports.sample_run(tmp_path)
    code = exports.export(run, "--to", "gguf", "--out", str(tmp_path / "out"), "--json")
    told = exports.told(capsys)
    assert any("numbers above all" in note for note in told["notes"])
    assert (code, told["parity"]["cause"]) in ((0, ""), (3, "another tokenizer"))


def test_a_damaged_file_is_found(run, tmp_path, capsys):
    paths, out = run("llama", "lora"), tmp_path / "out"
    assert exports.export(paths, "--to", "gguf", "--out", str(out), "--no-check") == 0
    file = out / "model.gguf"
    content = bytearray(file.read_bytes())
    content[-40] ^= 0x40
    file.write_bytes(content)
    assert exports.export(paths, "--check", str(out), "--json") == 3
    assert exports.told(capsys)["cause"] == "other weights than the trained ones"


def test_rows_turn_as_llama_cpp_turns_them():
    """A head's rows 0..h/2 and h/2..h become neighbours."""
    import torch

    from finetui_core.export.gguf_file import _rotated

    rows = torch.arange(8).reshape(8, 1)
    assert _rotated(rows, 2).flatten().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_tokens_are_read_back_as_they_were(run):
    folder = run("llama", "lora").checkpoint(4)
    tokens = tokens_of(folder, 310)
    assert tokens.is_exact and len(tokens.texts) == 310
    made, original = tokenizer_from(tokens), Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in TEXTS:
        assert (
            made.encode(text, add_special_tokens=False).ids
            == original.encode(text, add_special_tokens=False).ids
        )


def test_marks_of_answers_become_conditions():
    text = "{%- generation -%}a{%- endgeneration %}{% generation %}b{%endgeneration%}"
    assert without_marks(text) == "{%- if true -%}a{%- endif %}{% if true %}b{%endif%}"


CONVERTER = """
import json, sys
from pathlib import Path
import numpy as np
import gguf
folder, out = Path(sys.argv[1]), sys.argv[sys.argv.index("--outfile") + 1]
tokenizer = json.loads((folder / "tokenizer.json").read_text())
vocabulary = sorted(tokenizer["model"]["vocab"].items(), key=lambda one: one[1])
special = {one["content"] for one in tokenizer["added_tokens"]}
writer = gguf.GGUFWriter(out, "llama")
writer.add_tokenizer_model("gpt2")
writer.add_tokenizer_pre("gpt-2")
writer.add_token_list([text for text, _ in vocabulary])
writer.add_token_types([3 if text in special else 1 for text, _ in vocabulary])
writer.add_token_merges([" ".join(one) for one in tokenizer["model"]["merges"]])
writer.add_eos_token_id(EOS)
writer.add_chat_template((folder / "chat_template.jinja").read_text())
writer.add_tensor("a", np.zeros(4, np.float32))
writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()
"""


def test_a_converter_makes_the_file(run, tmp_path, capsys):
    converter, out = tmp_path / "convert.py", tmp_path / "out"
    converter.write_text(CONVERTER.replace("EOS", "0"))
    arguments = ("--to", "gguf", "--converter", str(converter), "--json")
    assert exports.export(run("llama", "lora"), *arguments, "--out", str(out)) == 0
    told = exports.told(capsys)
    assert told["parity"]["agrees"] and "not compared" in told["parity"]["notes"][0]
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "model.gguf", "parity.json"]

    converter.write_text(CONVERTER.replace("EOS", "5"))
    assert exports.export(run("llama", "lora"), *arguments, "--out", str(tmp_path / "other")) == 3
    assert "do not end an answer" in exports.told(capsys)["parity"]["says"]


@pytest.mark.parametrize("known", [True, False])
def test_a_window_that_the_converter_writes_is_no_limit(known, run, tmp_path, capsys):
    converter = tmp_path / "convert.py"
    writes = "writer.add_sliding_window(8); " if known else ""
    converter.write_text(CONVERTER.replace("EOS", "0").replace("writer.add_t", f"{writes}writer.add_t", 1))
    arguments = ("--to", "gguf", "--converter", str(converter), "--json", "--out", str(tmp_path / "out"))
    assert exports.export(run("mistral", "full"), *arguments) == 0
    assert ("up to 8 tokens" in exports.told(capsys)["parity"]["says"]) != known


def test_a_window_counts_where_positions_reach_beyond_it():
    from transformers import GPT2Config, MistralConfig, Qwen2Config

    slides = {"use_sliding_window": True, "sliding_window": 64, "num_hidden_layers": 4}
    assert window_of(MistralConfig(sliding_window=64, max_position_embeddings=65)) == 64
    assert window_of(MistralConfig(sliding_window=64, max_position_embeddings=64)) is None
    assert window_of(MistralConfig(sliding_window=None)) is None and window_of(GPT2Config()) is None
    assert window_of(Qwen2Config(**slides, max_window_layers=2)) == 64
    assert window_of(Qwen2Config(**slides, max_window_layers=4)) is None


def test_a_converter_that_fails_leaves_nothing(run, tmp_path, capsys):
    converter, out = tmp_path / "convert.py", tmp_path / "out"
    converter.write_text("import sys; sys.exit('no such architecture')")
    arguments = ("--to", "gguf", "--out", str(out), "--converter", str(converter))
    assert exports.export(run("llama", "lora"), *arguments) == 2
    assert "no such architecture" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["convert.py"]


def test_without_the_package_the_way_out_is_named(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("finetui_core.export.gguf_file.find_spec", lambda name: None)
    assert exports.export(run("llama", "lora"), "--to", "gguf", "--out", str(tmp_path / "out")) == 2
    assert "pip install 'finetui[gguf]'" in capsys.readouterr().err
