"""A model's shape: from a folder, the hub cache on disk, or the shipped table; never an error, whatever is there."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetui_core.preflight.config_files import known_names
from finetui_core.preflight.shape import linears, model_shape, parameters, shape_of

LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 300,
    "max_position_embeddings": 256,
}


def write_config(folder: Path, config: Any) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("meta-llama/Llama-2-7b-hf", 6_738_415_616),
        ("meta-llama/Llama-2-7b-chat-hf", 6_738_415_616),
        ("mistralai/Mistral-7B-v0.1", 7_241_732_096),
        ("unsloth/llama-3-8b-bnb-4bit", 8_030_261_248),
        ("qwen/QWEN2.5-7b-instruct", 7_615_616_512),
        ("google/gemma-2-9b-it", 9_241_705_984),
        ("gpt2", 124_439_808),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", 46_702_792_704),
    ],
)
def test_a_known_model_has_its_published_number_of_parameters(name: str, count: int) -> None:
    shape = model_shape(name)
    assert shape is not None
    assert parameters(shape) == count
    assert shape.source.startswith("the shipped table of 20")


def test_each_shipped_configuration_builds_its_class_with_as_many_parameters() -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    wrong = []
    for name in known_names():
        known = model_shape(name)
        assert known is not None
        layers = "n_layer" if "n_layer" in known.config else "num_hidden_layers"
        config = {**known.config, layers: 1}  # the others are like it
        shape = shape_of(config, "")
        assert shape is not None
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
        names = {
            path.rpartition(".")[2]
            for path, module in model.named_modules()
            if type(module).__name__ in ("Linear", "Conv1D") and module is not model.get_output_embeddings()
        }
        if model.num_parameters() != parameters(shape) or names != {one.name for one in linears(shape)}:
            wrong.append(name)
    assert wrong == []


def test_an_unknown_model_has_no_shape() -> None:
    assert model_shape("nobody/nothing-7B") is None
    assert model_shape("") is None
    assert model_shape("../../etc") is None
    assert model_shape("a\0b") is None
    assert model_shape("x" * 10_000) is None


def test_a_folder_wins_over_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path / "gpt2", LLAMA)
    shape = model_shape("gpt2")
    assert shape is not None
    assert (shape.model_type, shape.layers, shape.kv_heads, shape.head_dim) == ("llama", 3, 2, 16)
    assert shape.source == str(Path("gpt2") / "config.json")


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"])
def test_the_hub_cache_on_disk_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    cache = tmp_path / {"HF_HUB_CACHE": ".", "HF_HOME": "hub", "XDG_CACHE_HOME": "huggingface/hub"}[variable]
    model = cache / "models--some--model"
    write_config(model / "snapshots" / "abc", LLAMA)
    write_config(model / "snapshots" / "older", {**LLAMA, "num_hidden_layers": 7})
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("abc")
    shape = model_shape("some/model")
    assert shape is not None
    assert shape.layers == 3
    pinned = model_shape("some/model", "older")
    assert pinned is not None
    assert pinned.layers == 7
    assert model_shape("some/model", "../abc") is None


def test_what_a_model_says_of_its_text_part_counts(tmp_path: Path) -> None:
    config = {"model_type": "gemma3", "text_config": {**LLAMA, "model_type": "gemma3_text"}}
    shape = model_shape(write_config(tmp_path, config))
    assert shape is not None
    assert (shape.model_type, shape.layers) == ("gemma3_text", 3)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(
    changed=st.dictionaries(st.sampled_from([*LLAMA, "text_config", "num_experts", "head_dim"]), JSON_VALUES)
)
def test_no_configuration_raises_and_no_shape_is_absurd(
    tmp_path_factory: pytest.TempPathFactory, changed: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("model")
    shape = model_shape(write_config(folder, {**LLAMA, **changed}))
    if shape is not None:
        assert 0 < parameters(shape) < 10**19
        assert shape.layers >= 1
        assert shape.kv_heads <= shape.heads


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b'"llama"',
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"model_type": "llama", "hidden_size": ' + b"9" * 5000 + b"}",
        b'{"model_type": "llama", "hidden_size": NaN, "vocab_size": Infinity}',
        b" " * 1_000_001 + json.dumps(LLAMA).encode(),
        json.dumps({**LLAMA, "hidden_size": -64}).encode(),
        json.dumps({**LLAMA, "num_hidden_layers": True}).encode(),
        json.dumps({**LLAMA, "num_hidden_layers": 1e300}).encode(),
        json.dumps({**LLAMA, "model_type": ["llama"]}).encode(),
    ],
)
def test_a_hostile_configuration_is_no_shape(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "config.json").write_bytes(raw)
    assert model_shape(str(tmp_path)) is None


def test_a_configuration_that_is_no_file_is_no_shape(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    assert model_shape(str(tmp_path)) is None
