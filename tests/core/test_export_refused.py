"""What cannot be exported: one sentence with a way out, exit code 2, and nothing half-written."""

import base64
import errno
import fcntl
import json
import os
import shutil
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
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


class FakeHub(BaseHTTPRequestHandler):
    """The hub as far as a small upload asks it: keeps what it is asked."""

    asked: ClassVar[list[tuple[str, str, bytes]]] = []
    refuses = False

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append((self.path, self.headers.get("Authorization", ""), body))
        if self.path.endswith("/create"):
            return self._answer({"url": "https://huggingface.co/me/bot"})
        if self.path.endswith("/preupload/main"):
            files = [
                {**one, "uploadMode": "regular", "shouldIgnore": False} for one in json.loads(body)["files"]
            ]
            return self._answer({"files": files})
        if self.refuses:
            return self._answer({"error": f"no room for {self.headers.get('Authorization')}"}, 403)
        url = "https://huggingface.co/me/bot/commit/1"
        return self._answer({"success": True, "commitUrl": url, "commitOid": "1" * 40})

    def do_GET(self) -> None:
        self._answer({"id": "me/bot", "sha": "0" * 40, "siblings": []})

    def _answer(self, value: Any, code: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def fake_hub(monkeypatch):
    server = HTTPServer(("127.0.0.1", 0), FakeHub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(FakeHub, "asked", [])
    monkeypatch.setattr(FakeHub, "refuses", False)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnopqrstuvwxyz012345")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    yield FakeHub
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_is_published_privately_and_the_token_is_in_no_file(fake_hub, run, tmp_path, capsys, monkeypatch):
    exports.ask_here(monkeypatch)
    out = tmp_path / "out"
    assert exports.export(run, "--to", "hub", "--name", "me/bot", "--out", str(out)) == 0
    token = os.environ["HF_TOKEN"]
    created = next(body for path, _, body in fake_hub.asked if path.endswith("/create"))
    assert json.loads(created).get("visibility", "private") == "private" and b"private" in created
    assert {given for _, given, _ in fake_hub.asked} == {f"Bearer {token}"}
    commit = next(body for path, _, body in fake_hub.asked if "/commit/" in path)
    lines = [json.loads(line) for line in commit.splitlines()]
    sent = {one["value"]["path"]: one["value"]["content"] for one in lines if one["key"] == "file"}
    assert sent.keys() == {path.name for path in out.iterdir()}
    assert base64.b64decode(sent["adapter_config.json"]) == (out / "adapter_config.json").read_bytes()
    written = capsys.readouterr()
    assert "https://huggingface.co/me/bot" in written.out or "me/bot" in written.out
    assert token not in written.out + written.err
    assert not any(token.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_hub_that_refuses_does_not_lose_the_export(fake_hub, run, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(fake_hub, "refuses", True)
    out = tmp_path / "out"
    arguments = ["export", str(run.root), "--to", "hub", "--name", "me/bot", "--out", str(out), "--no-check"]
    assert main(arguments) == 1
    written = capfd.readouterr().err
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
