"""Adapters merged tensor by tensor: as peft merges them, whatever the layers, the scaling and the files are."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from finetui_core.errors import InputError
from finetui_core.export.adapter_file import read_adapter_file
from finetui_core.export.beside import as_json
from finetui_core.export.merge import index_of, merged_file, plan_merge
from tiny_models import save_model

IDS = torch.arange(24).reshape(2, 12)


def base_of(
    folder: Path, architecture: str, *, tied: bool = False, dtype: torch.dtype = torch.float32
) -> Path:
    """A base in several files, on the disk as a hub download."""
    save_model(folder / "whole", architecture)
    model: Any = AutoModelForCausalLM.from_pretrained(folder / "whole", dtype=dtype)
    if tied:
        model.config.tie_word_embeddings = True
        model.tie_weights()
    model.save_pretrained(folder / "base", max_shard_size="40KB")
    return folder / "base"


def adapter_on(base: Path, folder: Path, *, grown: int = 0, **options: Any) -> Any:
    """The peft model with an adapter of random weights, which is also in `folder`."""
    torch.manual_seed(1)
    model: Any = AutoModelForCausalLM.from_pretrained(base)
    if grown:
        model.resize_token_embeddings(model.config.vocab_size + grown)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=24, target_modules="all-linear", **options)
    tuned = get_peft_model(model, config)
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    tuned.save_pretrained(folder, save_embedding_layers=False)
    return tuned.eval()


def merged(base: Path, adapter: Path, out: Path) -> Path:
    merge = plan_merge(base, read_adapter_file(adapter), False)
    out.mkdir()
    for name in merge.files:
        (out / name).write_bytes(b"".join(merged_file(merge, name)))
    for name, content in {**index_of(merge.files), "config.json": as_json(merge.config)}.items():
        (out / name).write_bytes(content)
    return out


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    found: torch.Tensor = model.eval()(input_ids=IDS).logits
    return found


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"use_dora": True},
        {"modules_to_save": ["lm_head"]},
        {"modules_to_save": ["lm_head", "norm", "ln_f"]},
    ],
    ids=str,
)
def test_it_is_what_peft_merges(architecture, options, tmp_path):
    base = base_of(tmp_path, architecture)
    tuned = adapter_on(base, tmp_path / "adapter", fan_in_fan_out=architecture == "gpt2", **options)
    out = merged(base, tmp_path / "adapter", tmp_path / "out")
    assert len(list(out.glob("*.safetensors"))) > 1
    model, info = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert float((logits(model) - logits(tuned)).abs().max()) < 2e-5
    reference = tuned.merge_and_unload().state_dict()
    found = model.state_dict()
    assert found.keys() == reference.keys()
    for name, expected in reference.items():
        torch.testing.assert_close(found[name], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("saved", [["lm_head"], ["embed_tokens"], ["embed_tokens", "lm_head"]], ids=str)
def test_what_training_parted_is_no_longer_tied(saved, tmp_path):
    base = base_of(tmp_path, "llama", tied=True)
    tuned = adapter_on(base, tmp_path / "adapter", modules_to_save=saved)
    out = merged(base, tmp_path / "adapter", tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(out)
    assert not model.config.tie_word_embeddings
    assert float((logits(model) - logits(tuned)).abs().max()) < 2e-5


def test_a_vocabulary_that_grew_at_both_ends_is_written(tmp_path):
    base = base_of(tmp_path, "llama")
    tuned = adapter_on(base, tmp_path / "adapter", grown=7, modules_to_save=["embed_tokens", "lm_head"])
    model = AutoModelForCausalLM.from_pretrained(merged(base, tmp_path / "adapter", tmp_path / "out"))
    assert model.config.vocab_size == AutoModelForCausalLM.from_pretrained(base).config.vocab_size + 7
    assert logits(model).shape == logits(tuned).shape
    assert float((logits(model) - logits(tuned)).abs().max()) < 2e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_it_is_rounded_once_to_the_type_of_the_base(dtype, tmp_path):
    base = base_of(tmp_path, "mistral", dtype=dtype)
    adapter_on(base, tmp_path / "adapter")
    out = merged(base, tmp_path / "adapter", tmp_path / "out")
    before = {name: tensor for path in base.glob("*.safetensors") for name, tensor in load_file(path).items()}
    exact = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    exact = PeftModel.from_pretrained(exact, tmp_path / "adapter").merge_and_unload().state_dict()
    for path in out.glob("*.safetensors"):
        for name, tensor in load_file(path).items():
            assert tensor.dtype == before[name].dtype == dtype
            unit = torch.finfo(dtype).eps
            assert bool(
                ((tensor.float() - exact[name]).abs() <= unit * exact[name].abs() / 2 * 1.01 + 1e-7).all()
            )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"peft_type": "LOHA"}, "of the type LOHA"),
        ({"rank_pattern": {"q_proj": 8}}, "rank_pattern"),
        ({"lora_bias": True}, "lora_bias"),
    ],
)
def test_what_cannot_be_merged_is_refused(change, says, tmp_path):
    import json

    base = base_of(tmp_path, "llama")
    adapter_on(base, tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=says):
        read_adapter_file(tmp_path / "adapter")


def test_the_adapter_of_another_model_is_refused(tmp_path):
    base, other = base_of(tmp_path / "a", "llama"), base_of(tmp_path / "b", "gpt2")
    adapter_on(other, tmp_path / "adapter", fan_in_fan_out=True)
    with pytest.raises(InputError, match="no tensor for"):
        plan_merge(base, read_adapter_file(tmp_path / "adapter"), False)


def test_a_vocabulary_that_grew_at_one_end_is_refused(tmp_path):
    base = base_of(tmp_path, "llama")
    adapter_on(base, tmp_path / "adapter", grown=7, modules_to_save=["lm_head"])
    with pytest.raises(InputError, match="grew"):
        plan_merge(base, read_adapter_file(tmp_path / "adapter"), False)
