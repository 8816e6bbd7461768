"""Files of a coarser type than the computation: rounding is no fault, and hides none."""

import shutil
from pathlib import Path

import pytest
import torch

import exports
from export_faults import FAULTS
from finetui_core.export import causes, parity
from finetui_core.runs.paths import RunPaths


@pytest.fixture(scope="module")
def coarse(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunPaths, Path]:
    """A run and its merged model, of a base in bfloat16 that has learned very little."""
    folder = tmp_path_factory.mktemp("coarse")
    run = exports.sample_run(folder, "train.learning_rate=0.0005", dtype=torch.bfloat16)
    assert exports.export(run, "--to", "merged", "--out", str(folder / "merged"), "--no-check") == 0
    return run, folder


@pytest.mark.parametrize(("name", "cause"), [("none", ""), ("the base's weights", causes.UNTUNED)])
def test_rounding_hides_no_fault(name, cause, coarse, tmp_path, capsys, monkeypatch):
    run, folder = coarse
    exports.ask_here(monkeypatch)
    shutil.copytree(folder / "merged", tmp_path / "out")
    if cause:
        FAULTS[name].plant(tmp_path / "out", run)
    code = exports.export(run, "--check", str(tmp_path / "out"), "--json")
    found = exports.told(capsys)
    assert (found["cause"], code) == (cause, 3 if cause else 0), found["says"]
    assert found["largest"] < parity.TOLERANCE["bfloat16"]
