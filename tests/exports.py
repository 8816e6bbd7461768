"""Runs to export, and the check of an export without a process of its own, which takes seconds to load torch."""

import json
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from finetui_core.cli.main import main
from finetui_core.export import child, parity
from finetui_core.export import trained as trained_module
from finetui_core.runs.paths import RunPaths
from training import new_run, train_here, write_project, write_rows

LAYERS = 2
TINY_LLAMA = Path(__file__).parents[1] / "sample_data" / "tiny-llama"


def ask_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the exported files be loaded in this process, by the very code of the other one, for short answers."""

    def asked(request: child.Request, place: Path) -> Any:
        try:
            return child.measured(request)
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    monkeypatch.setattr(parity, "ask_child", asked)
    for module in (child, trained_module):  # answers of 16 tokens are most of the time
        monkeypatch.setattr(module, "NEW_TOKENS", 3)


def trained(folder: Path, architecture: str = "llama", *overrides: str) -> RunPaths:
    """A finished run of a tiny model, whose adapter has moved far enough to be seen in the logits."""
    recipe = folder / "recipe.toml"
    if not recipe.is_file():
        write_project(folder, architecture=architecture, rows=16)
    paths = new_run(
        recipe, "train.num_train_epochs=2", "save.total_limit=5", "train.learning_rate=0.05", *overrides
    )
    assert train_here(paths) == 0
    return paths


def _layer_of(name: str) -> int:
    found = re.search(r"layers\.(\d+)\.", name)
    return int(found[1]) if found else 0


def sample_run(folder: Path, *overrides: str, dtype: torch.dtype = torch.float32) -> RunPaths:
    """A run of the sample model's first layers, which has a start token, turn marks and its own chat template."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(TINY_LLAMA, folder / "model", dirs_exist_ok=True)
    model = folder / "model"
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "num_hidden_layers": LAYERS}))
    tensors = load_file(model / "model.safetensors")
    kept = {name: one.to(dtype) for name, one in tensors.items() if _layer_of(name) < LAYERS}
    save_file(kept, model / "model.safetensors", {"format": "pt"})
    write_rows(folder / "train.jsonl", 8)
    recipe = folder / "recipe.toml"
    text = """
[model]
name = "model"
[data]
train = "train.jsonl"
max_length = 128
[train]
learning_rate = 0.02
max_steps = 4
per_device_train_batch_size = 2
[save]
steps = 2
total_limit = 5
[eval]
samples = 0
"""
    recipe.write_text(text)
    paths = new_run(recipe, *overrides)
    assert train_here(paths) == 0
    return paths


def export(run: RunPaths, *arguments: str) -> int:
    return main(["--traceback", "export", str(run.root), *arguments])


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The last line of what a command printed as JSON."""
    value: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return value


Make = Callable[[str, str], RunPaths]


def runs_of(folder: Path) -> Make:
    """The run of each architecture and method, trained when it is first asked for."""

    @cache
    def of(architecture: str, method: str) -> RunPaths:
        return trained(folder / architecture, architecture, f'train.method="{method}"')

    return of
