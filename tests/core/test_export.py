"""`ftui export`: adapters and merged models for plain peft and transformers, which behave as the run does."""

import json
import os
import stat

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import exports
from finetui_core.cli.main import main
from finetui_core.export import staging, targets
from tiny_models import ARCHITECTURES


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> exports.Make:
    return exports.runs_of(tmp_path_factory.mktemp("exports"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("method", "target"), [("lora", "adapter"), ("lora", "merged"), ("full", "merged")])
def test_no_token_id_differs_and_no_logit(run, architecture, method, target, tmp_path, capsys, monkeypatch):
    exports.ask_here(monkeypatch)
    out = tmp_path / "out"
    assert exports.export(run(architecture, method), "--to", target, "--out", str(out), "--json") == 0
    parity = exports.told(capsys)["parity"]
    assert parity["agrees"] and parity["differing"] == 0
    assert parity["ids"] > 300 and parity["prompts"] == 8
    assert parity["largest"] <= 1e-4
    assert json.loads((out / "parity.json").read_text()) == parity
    assert "What ships behaves as what was trained: 8 prompts, 0 of " in (out / "README.md").read_text()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (out, *out.rglob("*")) if path.is_file()}
    assert modes == {0o600} and stat.S_IMODE(out.stat().st_mode) == 0o700


def test_the_merged_model_needs_nothing_but_transformers(run, tmp_path):
    out = tmp_path / "out"
    assert exports.export(run("llama", "lora"), "--to", "merged", "--out", str(out), "--no-check") == 0
    model, info = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer.chat_template
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert not (out / "parity.json").exists()


def test_a_checkpoint_can_be_named(run, tmp_path, capsys):
    paths = run("llama", "lora")
    exports.export(
        paths,
        "--to",
        "adapter",
        "--out",
        str(tmp_path / "a"),
        "--no-check",
        "--checkpoint",
        "step-2",
        "--json",
    )
    assert exports.told(capsys)["step"] == 2
    exports.export(
        paths,
        "--to",
        "adapter",
        "--out",
        str(tmp_path / "b"),
        "--no-check",
        "--checkpoint",
        "latest",
        "--json",
    )
    assert exports.told(capsys)["step"] == 4
    first, last = (load_file(tmp_path / name / "adapter_model.safetensors") for name in "ab")
    assert any(not torch.equal(first[name], last[name]) for name in first)


def test_what_was_written_is_not_written_again(run, tmp_path, capsys, monkeypatch):
    paths, out = run("llama", "lora"), tmp_path / "out"

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(targets, "card_of", stop)
    assert main(["export", str(paths.root), "--to", "merged", "--out", str(out), "--no-check"]) == 130
    assert not out.exists() and "goes on" in capsys.readouterr().err
    part = staging.staging_folder(out)
    before = (part / "model.safetensors").stat().st_mtime_ns
    (part / "half").write_bytes(b"x")
    monkeypatch.undo()
    assert exports.export(paths, "--to", "merged", "--out", str(out), "--no-check") == 0
    assert "kept what was written: model.safetensors" in capsys.readouterr().err
    assert (out / "model.safetensors").stat().st_mtime_ns == before
    assert not part.exists() and not (out / "half").exists() and not (out / ".export.json").exists()


def test_a_shard_that_changed_meanwhile_is_written_again(run, tmp_path, capsys, monkeypatch):
    paths, out = run("llama", "lora"), tmp_path / "out"

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(targets, "card_of", stop)
    main(["export", str(paths.root), "--to", "merged", "--out", str(out), "--no-check"])
    weights = staging.staging_folder(out) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    monkeypatch.undo()
    assert exports.export(paths, "--to", "merged", "--out", str(out), "--no-check") == 0
    assert "kept what was written" not in capsys.readouterr().err
    content[-1] ^= 1
    assert (out / "model.safetensors").read_bytes() == bytes(content)


def test_vllm_is_told_everything_that_changes_answers(run, tmp_path, capsys):
    out = tmp_path / "a b"
    exports.export(run("llama", "lora"), "--to", "vllm", "--out", str(out), "--no-check", "--name", "bot")
    command = (out / "vllm.txt").read_text().strip()
    assert command == (
        f"vllm serve '{out}' --served-model-name bot --chat-template '{out}/chat_template.jinja' "
        f"--generation-config '{out}' --max-model-len 256"
    )
    assert command in capsys.readouterr().out


def test_the_card_tells_where_it_is_from_and_no_secret(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnopqrstuvwxyz012345")
    paths, out = run("llama", "lora"), tmp_path / "out"
    (paths.root.parents[1] / "model" / "README.md").write_text(
        "---\nlicense: apache-2.0\n---\nhf_abcdefghijklmnopqrstuvwxyz012345"
    )
    exports.export(paths, "--to", "merged", "--out", str(out), "--no-check")
    card = (out / "README.md").read_text()
    assert "license: apache-2.0" in card and "of the data: not stated" in card
    facts = json.loads((paths.checkpoint(4) / "manifest.json").read_text())["facts"]
    assert facts["data_sha256"] in card and "| lora.r | 16 |" in card
    assert "Validation loss" in card and "not compared with the untrained model" in card
    assert (
        "hf_abc" not in card and str(paths.root.parents[2]) not in card and os.environ["HF_TOKEN"] not in card
    )


def test_the_card_of_full_fine_tuning_tells_the_licence_of_its_base(run, tmp_path):
    paths, out = run("llama", "full"), tmp_path / "out"
    (paths.root.parents[1] / "model" / "README.md").write_text("---\nlicense: mit\n---\n")
    exports.export(paths, "--to", "merged", "--out", str(out), "--no-check")
    assert "- of the base model: mit" in (out / "README.md").read_text()
