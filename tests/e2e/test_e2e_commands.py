"""The commands as a user types them: exit codes, JSON, and what lies on disk afterwards."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from finetui_core.cli.demo import sample_data, show_change
from finetui_core.cli.train import make_run
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView
from training import curve, events, ftui, new_run, real_ftui, train_here, write_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("commands")).parent


def the_run(folder: Path, name: str) -> RunPaths:
    (found,) = [path for path in (folder / "runs").iterdir() if f"-{name}-" in path.name]
    return RunPaths(found)


def test_train_in_the_foreground_ends_with_a_finished_run(project: Path) -> None:
    done = real_ftui(
        "train", "recipe.toml", "--name", "fore", "--json", "--set", "train.seed=9", folder=project
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["state"], facts["step"], facts["total_steps"]) == ("finished", 8, 8)
    assert facts["best_eval_loss"] < facts["eval_loss"] + 1e-9
    assert "validation loss" in done.stderr
    paths = the_run(project, "fore")
    assert "seed = 9" in paths.recipe.read_text()
    assert json.loads(paths.resolved_recipe.read_text())["lora"]["lora_dropout"] == 0.1
    assert paths.latest.read_text() == "step-000008\n"
    assert (paths.checkpoints / paths.best.read_text().strip() / "manifest.json").is_file()
    for path in paths.root.rglob("*"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    (ready,) = events(paths, "ready")
    assert ready["matched_modules"]["q_proj"] == 2
    assert ready["layout"]["packed"] is True
    listed = ftui("runs", "--json", folder=project)
    assert facts["id"] in {one["id"] for one in json.loads(listed.stdout)}
    status = ftui("status", facts["id"], "--json", folder=project)
    assert json.loads(status.stdout)["state"] == "finished"
    again = ftui("resume", "fore", folder=project)
    assert (again.returncode, "is finished" in again.stderr) == (2, True)


def test_detached_run_is_steered_and_resumed(project: Path) -> None:
    options = ("--set", "train.max_steps=100000", "--set", "save.steps=50", "--name", "steered")
    started = ftui("train", "recipe.toml", "--detach", "--json", *options, folder=project)
    assert started.returncode == 0, started.stderr
    assert json.loads(started.stdout)["state"] == "running"
    busy = ftui("resume", "steered", folder=project)
    assert (busy.returncode, "is running" in busy.stderr) == (2, True)
    for action in ("pause", "checkpoint", "evaluate", "resume", "sample"):
        told = ftui("ctl", "steered", action, "--json", folder=project)
        assert (told.returncode, json.loads(told.stdout)["status"]) == (0, "done"), told.stderr
        if action == "pause":
            state = json.loads(ftui("status", "steered", "--json", folder=project).stdout)["state"]
            assert state == "paused"
    stopped = ftui("ctl", "steered", "stop", folder=project)
    assert stopped.returncode == 0, stopped.stderr
    facts = json.loads(ftui("status", "steered", "--json", folder=project).stdout)
    assert facts["state"] == "stopped"
    assert facts["last_checkpoint"] == f"checkpoints/step-{facts['step']:06d}"
    told_late = ftui("ctl", "steered", "stop", folder=project)
    assert (told_late.returncode, "is not running" in told_late.stderr) == (2, True)
    paths = the_run(project, "steered")
    resumed = ftui("resume", "steered", "--detach", folder=project)
    assert resumed.returncode == 0, resumed.stderr
    assert ftui("ctl", "steered", "abort", folder=project).returncode == 0
    view = RunView(paths)
    view.refresh()
    assert [attempt.attempt for attempt in view.attempts] == [1, 2]
    assert [point["step"] for point in view.steps] == list(range(1, len(view.steps) + 1))


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "mistral"])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_was_trained_loads_in_plain_libraries(tmp_path: Path, architecture: str, method: str) -> None:
    from peft import PeftModel

    recipe = write_project(tmp_path, architecture=architecture, dropout=0.0)
    paths = new_run(recipe, f"train.method={method}", "train.num_train_epochs=3")
    assert train_here(paths) == 0
    losses = [event["eval_loss"] for event in events(paths, "evaluation")]
    assert min(losses[1:]) < losses[0]
    best = paths.checkpoints / paths.best.read_text().strip()
    tokenizer = AutoTokenizer.from_pretrained(best)
    assert tokenizer.chat_template
    ids = tokenizer("Where is my order?", return_tensors="pt")["input_ids"]
    if method == "full":
        assert AutoModelForCausalLM.from_pretrained(best)(ids).logits.shape[1] == ids.shape[1]
        return
    base = AutoModelForCausalLM.from_pretrained(recipe.parent / "model")
    untuned = base(ids).logits
    tuned = PeftModel.from_pretrained(base, best).eval()
    adapted = tuned(ids).logits
    assert not torch.allclose(untuned, adapted, atol=1e-3)
    tuned.merge_and_unload().save_pretrained(tmp_path / "merged")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")(ids).logits
    assert torch.allclose(merged, adapted, atol=1e-4)


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    recipe = write_project(tmp_path, dropout=0.0)
    project = recipe.parent
    alone = new_run(recipe, "lora.lora_dropout=0")
    assert train_here(alone) == 0
    done = ftui(
        "train", "recipe.toml", "--name", "two", "--set", "lora.lora_dropout=0",
        "--set", "launch.nproc_per_node=2", "--set", "train.per_device_train_batch_size=4", folder=project,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + the_run(project, "two").log(1).read_text()
    both, one = curve(the_run(project, "two")), curve(alone)
    assert len(both) == len(one)
    for ours, theirs in zip(both, one, strict=True):
        measured = [number for number in ours if number is not None]
        assert measured == pytest.approx([number for number in theirs if number is not None], rel=1e-5)


def test_weights_of_two_runs_with_the_same_seed_are_equal(project: Path) -> None:
    weights: list[dict[str, Any]] = []
    for _ in range(2):
        paths = new_run(project / "recipe.toml")
        assert train_here(paths) == 0
        weights.append(load_file(paths.checkpoint(8) / "adapter_model.safetensors"))
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])


def test_a_dead_terminal_or_supervisor_does_not_end_the_run(project: Path) -> None:
    started = ftui(
        "train", "recipe.toml", "--detach", "--name", "orphan", "--set", "train.max_steps=100000",
        "--set", "save.steps=1000", folder=project,
    )  # fmt: skip
    assert started.returncode == 0, started.stderr
    view = RunView(the_run(project, "orphan"))
    view.refresh()
    os.kill(view.attempts[-1].supervisor_pid, 9)
    status = json.loads(ftui("status", "orphan", "--json", folder=project).stdout)
    assert status["state"] == "running"
    assert ftui("ctl", "orphan", "stop", folder=project).returncode == 0
    assert json.loads(ftui("status", "orphan", "--json", folder=project).stdout)["state"] == "stopped"


@pytest.mark.parametrize("asked_by", ["Ctrl-C", "SIGTERM to the trainer"])
def test_an_interrupt_writes_a_checkpoint_and_ends(project: Path, asked_by: str) -> None:
    name = asked_by.split()[0].lower().replace("-", "")
    command = subprocess.Popen(
        [sys.executable, "-m", "finetui_core.cli.main", "train", "recipe.toml", "--name", name,
         "--set", "train.max_steps=100000", "--set", "save.steps=100000"],
        cwd=project, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert command.stderr is not None
    said = ""
    while "validation loss" not in said:
        said += command.stderr.readline()
    view = RunView(the_run(project, name))
    while not view.steps:
        view.refresh()
    if asked_by == "Ctrl-C":
        command.send_signal(signal.SIGINT)
    else:
        os.kill(view.attempts[-1].pid, signal.SIGTERM)
    said += command.communicate(timeout=240)[1]
    assert command.returncode == (130 if asked_by == "Ctrl-C" else 0), said
    view.refresh()
    assert view.state.state == "stopped"
    assert view.summary()["last_checkpoint"] == f"checkpoints/step-{view.steps[-1]['step']:06d}"
    assert "continue with: ftui resume" in said


def test_the_demo_shows_what_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ("train.max_steps=2", "eval.max_rows=8", "eval.sample_max_new_tokens=4")
    paths = make_run(sample_data() / "recipes" / "quickstart.toml", overrides, "demo", tmp_path)
    assert train_here(paths) == 0
    show_change(paths, as_json=True)
    change = json.loads(capsys.readouterr().out)
    assert change["before"]["step"] == 0
    assert change["after"]["eval_loss"] != change["before"]["eval_loss"]
    assert len(change["answers"]) == 3
    show_change(paths, as_json=False)
    shown = capsys.readouterr().out
    assert "perplexity" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
