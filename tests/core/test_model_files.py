"""What is refused of a model's files, and that sound ones of every layout are not."""

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetui_core.data.model_files import check_model_files, check_safetensors
from finetui_core.errors import InputError

SAMPLE = Path(__file__).parents[2] / "sample_data" / "tiny-llama"
CONFIG = json.loads((SAMPLE / "config.json").read_text())
TENSORS = ["lm_head.weight", "model.embed_tokens.weight", *(f"layer.{number}" for number in range(6))]


def write_safetensors(path: Path, names: list[str], size: int = 1024) -> None:
    header = {
        name: {"dtype": "F32", "shape": [size // 4], "data_offsets": [at * size, (at + 1) * size]}
        for at, name in enumerate(names)
    }
    raw = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(size * len(names)))


def write_model(folder: Path, config: dict[str, Any] | None = None, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG if config is None else config))
    (folder / "tokenizer.json").write_text("{}")
    write_safetensors(folder / "model.safetensors", TENSORS)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return folder


def refusals(folder: Path, *, may_run_code: bool = False) -> list[str]:
    try:
        check_model_files(folder, with_weights=True, may_run_code=may_run_code)
    except InputError as error:
        return [problem.what for problem in error.problems]
    return []


def test_the_sample_model_and_a_sharded_one_are_sound(tmp_path: Path) -> None:
    assert refusals(SAMPLE) == []
    folder = write_model(tmp_path / "sharded")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    weight_map = dict.fromkeys(TENSORS, "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert refusals(folder) == []


def test_the_layout_of_the_hub_cache_is_sound_and_a_link_beyond_it_is_not(tmp_path: Path) -> None:
    blobs = tmp_path / "models--a--b" / "blobs"
    snapshot = tmp_path / "models--a--b" / "snapshots" / ("0" * 40)
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    sound = write_model(tmp_path / "sound")
    for path in list(sound.iterdir()):
        path.rename(blobs / path.name)
        (snapshot / path.name).symlink_to(f"../../blobs/{path.name}")
    assert refusals(snapshot) == []
    (snapshot / "chat_template.jinja").symlink_to("/etc/hostname")
    assert "leads out" in refusals(snapshot)[0]


def test_weights_may_be_a_link_to_another_disk(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    (folder / "model.safetensors").rename(tmp_path / "elsewhere.safetensors")
    (folder / "model.safetensors").symlink_to(tmp_path / "elsewhere.safetensors")
    assert refusals(folder) == []


def test_a_code_of_another_repository_is_refused_even_with_consent(tmp_path: Path) -> None:
    config = {**CONFIG, "auto_map": {"AutoModelForCausalLM": "evil/other--own.Own"}}
    assert "another repository" in refusals(write_model(tmp_path / "a", config), may_run_code=True)[0]
    config["auto_map"] = {"AutoModelForCausalLM": "own.Own"}
    assert refusals(write_model(tmp_path / "b", config), may_run_code=True) == []


@pytest.mark.parametrize("where", ["text_config", "vision_config", "a"])
@pytest.mark.parametrize("depth", [1, 3])
def test_code_named_at_any_depth_is_refused(tmp_path: Path, where: str, depth: int) -> None:
    nested: Any = {"auto_map": {"AutoConfig": "own.Own"}}
    for _ in range(depth):
        nested = {where: [nested]}
    assert any("nested" in what for what in refusals(write_model(tmp_path / "m", {**CONFIG, **nested})))


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", {**CONFIG, "vocab_size": 10**12, "trust_remote_code": True})
    (folder / "tokenizer.json").unlink()
    os.mkfifo(folder / "tokenizer.json")
    assert len(refusals(folder)) == 3


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_header_is_refused_or_means_the_same_to_the_library(
    tmp_path: Path, data: st.DataObject
) -> None:
    """What is let through, safetensors itself opens; whatever it refuses is refused here."""
    from safetensors import SafetensorError, safe_open

    path = tmp_path / "model.safetensors"
    write_safetensors(path, TENSORS, 16)
    raw = bytearray(path.read_bytes())
    length = int.from_bytes(raw[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, 8 + length - 1))
        raw[at] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    try:
        found = check_safetensors(path)
    except InputError as error:
        assert str(path) in str(error)
        return
    try:
        with safe_open(path, "numpy") as file:
            assert len(list(file.keys())) == found.tensors
    except SafetensorError as error:
        raise AssertionError(f"let through, and the library says {error}") from error


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=200))
def test_any_bytes_as_a_configuration_end_in_named_faults_or_none(tmp_path: Path, raw: bytes) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "config.json").write_bytes(raw)
    assert all(refusals(folder)) or refusals(folder) == []
