"""Every planted fault of an export is found, and its cause is named; a sound one is not blamed."""

import shutil
from pathlib import Path

import pytest

import exports
from export_faults import FAULTS, Planted
from finetui_core.export import parity
from finetui_core.export.trained import trained_side
from finetui_core.runs.paths import RunPaths


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunPaths, Path]:
    """A run and a folder with both kinds of its exports."""
    folder = tmp_path_factory.mktemp("faults")
    run = exports.sample_run(folder)
    for target in ("adapter", "merged"):
        assert exports.export(run, "--to", target, "--out", str(folder / target), "--no-check") == 0
    return run, folder


@pytest.fixture(scope="module")
def asked_once():
    """The run's side, asked once: all these tests are of one checkpoint."""
    kept = {}

    def side(source, rounded_to=None):
        if rounded_to not in kept:
            kept[rounded_to] = trained_side(source, rounded_to)
        return kept[rounded_to]

    return side


@pytest.mark.parametrize("name", ["none", *FAULTS])
def test_the_cause_is_named(name, sound, asked_once, tmp_path, capsys, monkeypatch):
    run, folder = sound
    fault = FAULTS.get(name, Planted("merged", lambda folder, run: None, ""))
    exports.ask_here(monkeypatch)
    monkeypatch.setattr(parity, "trained_side", asked_once)
    out = tmp_path / "out"
    shutil.copytree(folder / fault.target, out)
    fault.plant(out, run)
    code = exports.export(run, "--check", str(out), "--json")
    found = exports.told(capsys)
    assert (found["cause"], code) == (fault.cause, 3 if fault.cause else 0), found["says"]
    if fault.cause:
        assert not found["agrees"] and found["first"] and fault.cause in found["says"]
