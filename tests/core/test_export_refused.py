"""What cannot be exported: one sentence with a way out, exit code 2, and nothing half-written."""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

import exports
from faults import Fault, faulty
from finetui_core.cli.main import main
from finetui_core.export import hub, staging
from finetui_core.runs.paths import RunPaths


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    return exports.trained(tmp_path_factory.mktemp("refused"))


@pytest.fixture
def run(project: RunPaths, tmp_path: Path) -> RunPaths:
    """A copy of the run with its model, to be damaged."""
    folder = tmp_path / "project"
    shutil.copytree(project.root.parents[1], folder)
    paths = RunPaths(folder / "runs" / project.id)
    resolved = paths.resolved_recipe.read_text().replace(str(project.root.parents[1]), str(folder))
    paths.resolved_recipe.write_text(resolved)
    return paths


def _no_checkpoint(run: RunPaths) -> None:
    shutil.rmtree(run.checkpoints)


def _changed_base(run: RunPaths) -> None:
    path = run.root.parents[1] / "model" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _no_base(run: RunPaths) -> None:
    shutil.rmtree(run.root.parents[1] / "model")


def _damaged(run: RunPaths) -> None:
    path = run.checkpoint(4) / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def _there(run: RunPaths) -> None:
    (run.root.parents[2] / "out").mkdir()


def _file_there(run: RunPaths) -> None:
    (run.root.parents[2] / "out").write_text("mine")


def _nothing(run: RunPaths) -> None:
    pass


REFUSED: dict[str, tuple[Callable[[RunPaths], None], list[str], str]] = {
    "no checkpoint": (_no_checkpoint, [], "no checkpoint to use"),
    "another base": (_changed_base, [], "not the one that the run was trained on"),
    "another base, for Ollama": (
        _changed_base,
        ["--to", "ollama"],
        "not the one that the run was trained on",
    ),
    "no base": (_no_base, [], "model"),
    "a damaged checkpoint": (_damaged, [], "damaged"),
    "a folder there": (_there, [], "something of this name already"),
    "a file there": (_file_there, [], "something of this name already"),
    "an unknown step": (_nothing, ["--checkpoint", "step-99"], "no checkpoint '99'"),
    "no step": (_nothing, ["--checkpoint", "newest"], "Say best, latest"),
    "an odd name": (_nothing, ["--to", "ollama", "--name", "my bot"], "--name"),
    "no name on the hub": (_nothing, ["--to", "hub"], "--name"),
    "an odd name on the hub": (_nothing, ["--to", "hub", "--name", "me/a/b"], "owner/name"),
    "a converter for nothing": (_nothing, ["--converter", "x.py"], "--to gguf"),
    "no converter": (_nothing, ["--to", "gguf", "--converter", "none.py"], "no converter"),
    "to check and not": (_nothing, ["--no-check", "--check", "x"], "contradict"),
    "nothing to check": (_nothing, ["--check", "nowhere"], "no exported model"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_and_nothing_is_left(name, run, tmp_path, capsys, monkeypatch):
    damage, arguments, says = REFUSED[name]
    monkeypatch.delenv("HF_TOKEN", raising=False)
    damage(run)
    before = sorted(tmp_path.rglob("*"))
    assert exports.export(run, "--out", str(tmp_path / "out"), *arguments) == 2
    written = capsys.readouterr()
    assert says in written.err and "Traceback" not in written.err and not written.out
    assert sorted(tmp_path.rglob("*")) == before


def test_a_recipe_is_no_run(run, capsys):
    assert main(["export", str(run.root.parents[1] / "recipe.toml")]) == 2
    assert "Train it first" in capsys.readouterr().err


def test_the_adapter_alone_needs_no_base(run, tmp_path):
    _no_base(run)
    assert exports.export(run, "--to", "adapter", "--out", str(tmp_path / "out"), "--no-check") == 0
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("call", ["write", "fsync", "mkdir"])
def test_a_disk_that_refuses_leaves_nothing(call, error, run, tmp_path, capsys):
    place = tmp_path / "here"
    place.mkdir()
    out = place / "out"
    with faulty([place], Fault(call, 0, error, lasting=True)) as disk:
        assert exports.export(run, "--to", "merged", "--out", str(out), "--no-check") == 2
    assert disk.struck
    assert "cannot be written" in capsys.readouterr().err and not list(place.iterdir())


def test_a_disk_without_room_is_not_begun_on(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(staging.shutil, "disk_usage", lambda place: SimpleNamespace(free=1000))
    assert exports.export(run, "--to", "merged", "--out", str(tmp_path / "out"), "--no-check") == 2
    assert "1000 B free" in capsys.readouterr().err
    assert not staging.staging_folder(tmp_path / "out").exists()


def test_two_at_once_do_not_meet(run, tmp_path, capsys):
    part = staging.staging_folder(tmp_path / "out")
    part.mkdir()
    (part / "model.safetensors").write_text("of the other one")
    descriptor = os.open(part, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert exports.export(run, "--out", str(tmp_path / "out"), "--no-check") == 2
    finally:
        os.close(descriptor)
    assert "another process is making this export" in capsys.readouterr().err
    assert (part / "model.safetensors").read_text() == "of the other one"


def test_full_fine_tuning_has_no_adapter_and_gpt_2_no_place_in_ollama(tmp_path, capsys):
    run = exports.trained(tmp_path / "p", "gpt2", 'train.method="full"', "train.max_steps=2")
    assert exports.export(run, "--to", "adapter", "--out", str(tmp_path / "a")) == 2
    assert "--to merged" in capsys.readouterr().err
    assert exports.export(run, "--to", "ollama", "--out", str(tmp_path / "b")) == 2
    assert "--to gguf" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


class FakeHub:
    """What stands between ftui and the hub: keeps what it is asked."""

    asked: ClassVar[list[tuple[str, Any]]] = []
    fails = False

    def __init__(self, token: str) -> None:
        self.asked.append(("token", token))

    def create_repo(self, name: str, **options: Any) -> str:
        self.asked.append(("create", {"name": name, **options}))
        return f"https://huggingface.co/{name}"

    def upload_folder(self, **options: Any) -> None:
        self.asked.append(("upload", options))
        if self.fails:
            raise OSError(f"refused for {os.environ['HF_TOKEN']}")


@pytest.fixture
def fake_hub(monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "HfApi", FakeHub)
    monkeypatch.setattr(FakeHub, "asked", [])
    monkeypatch.setattr(FakeHub, "fails", False)
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnopqrstuvwxyz012345")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return FakeHub


def test_it_is_published_privately_and_the_token_is_in_no_file(fake_hub, run, tmp_path, capsys, monkeypatch):
    exports.ask_here(monkeypatch)
    out = tmp_path / "out"
    assert exports.export(run, "--to", "hub", "--name", "me/bot", "--out", str(out)) == 0
    asked = dict(fake_hub.asked)
    assert asked["create"] == {"name": "me/bot", "private": True, "exist_ok": True, "repo_type": "model"}
    assert asked["upload"]["folder_path"] == out and asked["upload"]["repo_id"] == "me/bot"
    written = capsys.readouterr()
    assert "https://huggingface.co/me/bot" in written.out
    token = os.environ["HF_TOKEN"]
    assert token not in written.out + written.err
    assert not any(token.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_hub_that_refuses_does_not_lose_the_export(fake_hub, run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(fake_hub, "fails", True)
    out = tmp_path / "out"
    arguments = ["export", str(run.root), "--to", "hub", "--name", "me/bot", "--out", str(out), "--no-check"]
    assert main(arguments) == 1
    written = capsys.readouterr().err
    assert "the hub did not take it" in written and os.environ["HF_TOKEN"] not in written
    assert (out / "adapter_model.safetensors").is_file()


def test_what_differs_is_not_published(fake_hub, run, tmp_path, monkeypatch):
    monkeypatch.setattr("finetui_core.export.parity.ask_child", lambda request, place: "it is damaged")
    assert exports.export(run, "--to", "hub", "--name", "me/bot", "--out", str(tmp_path / "out")) == 3
    assert not fake_hub.asked


def test_without_a_token_nothing_is_begun(run, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert exports.export(run, "--to", "hub", "--name", "me/bot", "--out", str(tmp_path / "out")) == 2
    assert hub.TOKEN in capsys.readouterr().err and not (tmp_path / "out").exists()
