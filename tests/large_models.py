"""Real trainings whose checkpoints are of a wanted size: all weights of a random model, and their moments."""

from pathlib import Path

from finetui_core.runs.paths import RunPaths
from tiny_models import save_model
from training import new_run, train_here, write_project

_LAYERS = 4


def train_large(folder: Path, megabytes: int, steps: int) -> RunPaths:
    """Train so many steps with a checkpoint after each, of about so many megabytes (weights and two moments)."""
    recipe = write_project(folder, rows=20)
    hidden = round((megabytes * 1e6 / 12 / _LAYERS / 12) ** 0.5 / 64) * 64  # about 12 hidden² weights a layer
    shape = {"hidden_size": hidden, "intermediate_size": 3 * hidden, "num_hidden_layers": _LAYERS}
    save_shaped(folder / "model", shape)
    paths = new_run(
        recipe,
        "train.method=full",
        f"train.max_steps={steps}",
        "train.num_train_epochs=1000",
        "train.per_device_train_batch_size=2",
        "save.steps=1",
        "eval.steps=100000",
        "eval.meters=false",
        "data.val_fraction=0",
    )
    assert train_here(paths) == 0
    return paths


def save_shaped(folder: Path, shape: dict[str, int]) -> None:
    """A random Llama of that shape, in place of the tiny one."""
    import torch
    from transformers import AutoConfig, LlamaForCausalLM

    save_model(folder, "llama")
    config = AutoConfig.from_pretrained(folder)
    for name, value in shape.items():
        setattr(config, name, value)
    config.num_attention_heads = config.num_key_value_heads = shape["hidden_size"] // 64
    config.head_dim = 64
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
