"""Bad input: one clear report, exit code 2, nothing half-written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from training import KillAt, Killed, events, ftui, new_run, train_here, write_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "project").parent


def write_row(row: Any) -> Callable[[Path], None]:
    return lambda folder: (folder / "train.jsonl").open("a").write(json.dumps(row) + "\n") and None


def chat(*turns: tuple[str, str]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def replace_data(content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / "train.jsonl").write_bytes(content) and None


def make_folder(folder: Path) -> None:
    (folder / "train.jsonl").unlink()
    (folder / "train.jsonl").mkdir()


class Case(NamedTuple):
    """What is broken, which options are set, and what must be said."""

    name: str
    damage: Callable[[Path], Any]
    options: tuple[str, ...]
    said: tuple[str, ...]


CASES = [
    Case("missing file", lambda f: (f / "train.jsonl").unlink(), (), ("recipe.toml:5:9", "train.jsonl")),
    Case("folder for a file", make_folder, (), ("train.jsonl", "folder")),
    Case("empty data set", replace_data(b""), (), ("train.jsonl", "empty")),
    Case("binary file", replace_data(b"\x7fELF\x00\x01\x02\x00" * 99), (), ("train.jsonl",)),
    Case("no JSON", lambda f: (f / "train.jsonl").open("a").write("{oops\n"), (), ("train.jsonl:41",)),
    Case(
        "wrong role", write_row(chat(("usr", "a"), ("assistant", "b"))), (), ("train.jsonl:41", "usr", "user")
    ),
    Case(
        "no assistant turn",
        replace_data(json.dumps(chat(("user", "a"))).encode() + b"\n"),
        (),
        ("train.jsonl:1", "assistant"),
    ),
    Case(
        "all rows too long", lambda f: None, ("data.max_length=8",), ("40 of 40 rows", "data.max_length = 8")
    ),
    Case(
        "all rows dropped", lambda f: None, ("data.max_length=8", "data.overlength=drop"), ("no row is left",)
    ),
    Case(
        "unknown model folder",
        lambda f: None,
        ("model.name=./nothing",),
        ("--set model.name", "there is no folder"),
    ),
    Case(
        "unknown model", lambda f: shutil.rmtree(f / "model"), (), ("there is no folder model", "hf download")
    ),
    Case(
        "model without a tokenizer",
        lambda f: [path.unlink() for path in (f / "model").glob("tokenizer*")],
        (),
        ("recipe.toml:3:8", "tokenizer"),
    ),
    Case(
        "modules that match nothing",
        lambda f: None,
        ("lora.target_modules=['c_attn']",),
        ("lora.target_modules names c_attn", "q_proj"),
    ),
    Case(
        "context too short",
        lambda f: None,
        ("data.max_length=1000",),
        ("data.max_length = 1000", "256 tokens"),
    ),
    Case(
        "several faults at once",
        lambda f: (f / "recipe.toml").write_text(
            (f / "recipe.toml").read_text().replace("seed = 3", "sed = 3\nmax_grad_norm = 'x'")
        ),
        (),
        ("recipe.toml:13:1", "did you mean", "seed", "recipe.toml:14:"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_is_reported_and_leaves_nothing(project: Path, case: Case) -> None:
    case.damage(project)
    options = [part for option in case.options for part in ("--set", option)]
    done = ftui("train", "recipe.toml", *options, folder=project)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for part in case.said:
        assert part.lower() in done.stderr.lower(), done.stderr
    assert not (project / "runs").exists() or not list((project / "runs").iterdir())


def test_runs_folder_that_cannot_be_written(project: Path) -> None:
    (project / "occupied").write_text("a file")
    done = ftui("train", "recipe.toml", "--runs", "occupied/runs", folder=project)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "the run's folder cannot be made" in done.stderr
    assert "FTUI_RUNS" in done.stderr


def test_no_room_for_one_checkpoint(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = new_run(project / "recipe.toml")
    usage = shutil.disk_usage(project)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert train_here(paths) == 2
    (error,) = events(paths, "error")
    assert "one checkpoint takes about" in error["problems"][0]["what"]


def test_quantized_training_without_the_library_or_device(project: Path) -> None:
    done = ftui("train", "recipe.toml", "--set", "train.method=qlora", folder=project)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "bitsandbytes" in done.stderr
    assert "finetui[train,quant]" in done.stderr
    assert "needs an NVIDIA GPU" in done.stderr


def test_unknown_run_and_command(project: Path) -> None:
    assert ftui("status", "nothing", folder=project).returncode == 2
    wrong = ftui("ctl", "latest", "explode", folder=project)
    assert (wrong.returncode, "invalid choice" in wrong.stderr) == (2, True)


def test_resume_with_every_checkpoint_damaged_starts_over(project: Path) -> None:
    paths = new_run(project / "recipe.toml")
    with pytest.raises(Killed):
        train_here(paths, 1, lambda output: KillAt(output, "metric", 5))
    for checkpoint in paths.checkpoints.iterdir():
        (checkpoint / "optimizer.safetensors").write_bytes(b"")
    done = ftui("resume", paths.id, folder=project)
    assert done.returncode == 0, done.stderr
    assert "optimizer.safetensors has 0 bytes" in done.stderr
    assert "starts from its first step" in done.stderr
