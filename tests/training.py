"""Runs for tests: small data, a recipe, and the trainer in this process or through the command line."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forks
from finetui_core.cli.train import make_run
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView
from finetui_core.runs.writer import Heartbeat, RunWriter
from tiny_models import save_model

QUESTIONS = ("Where is my order?", "How do I return it?", "What does it cost?", "When do you open?")
ANSWERS = (
    "Hello! It is on its way.",
    "Hello! Send it back to us.",
    "Hello! It costs ten.",
    "Hello! At nine.",
)

RECIPE = """
[model]
name = "model"
[data]
train = "train.jsonl"
val_fraction = 0.2
max_length = 128
[train]
method = "lora"
learning_rate = 0.01
num_train_epochs = 2
per_device_train_batch_size = 8
seed = 3
[lora]
lora_dropout = 0.1
[eval]
samples = 1
sample_max_new_tokens = 4
[save]
steps = 2
"""


def write_rows(path: Path, count: int = 40) -> Path:
    """Short chats of different lengths, every fourth with two turns."""
    lines = []
    for number in range(count):
        pick = number % len(QUESTIONS)
        messages = [
            {"role": "user", "content": f"{QUESTIONS[pick]} (number {number})"},
            {"role": "assistant", "content": ANSWERS[pick] * (1 + number % 3)},
        ]
        if number % 4 == 0:
            messages += [{"role": "user", "content": "Thanks."}, {"role": "assistant", "content": "Bye!"}]
        lines.append(json.dumps({"messages": messages}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_project(folder: Path, *, architecture: str = "llama", dropout: float = 0.1, rows: int = 40) -> Path:
    """A folder with a model, data and a recipe; returns the recipe's path."""
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder / "model", architecture, dropout=dropout)
    write_rows(folder / "train.jsonl", rows)
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    return recipe


def new_run(recipe: Path, *overrides: str) -> RunPaths:
    return make_run(recipe, overrides, None, recipe.parent / "runs")


def train_here(
    paths: RunPaths,
    attempt: int = 1,
    wrap: Callable[[Any], Any] = lambda output: output,
    *,
    inexact: bool = False,
) -> int:
    """Run the trainer's process body in this process; `wrap` may replace its output."""
    from finetui_core.train.__main__ import train
    from finetui_core.train.output import Recorded

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    writer = RunWriter(paths, attempt)
    try:
        with Heartbeat(paths) as heartbeat:
            return train(paths, wrap(Recorded(writer, heartbeat)), inexact=inexact)
    finally:
        writer.close()
        for number, handler in handlers.items():
            signal.signal(number, handler)


class Killed(BaseException):
    """Stands for a SIGKILL: no handler of the trainer may catch it."""


class KillAt:
    """An output that dies when `kind` ("metric" or an event's type) comes for the `count`th time."""

    def __init__(self, inner: Any, kind: str, count: int) -> None:
        self._inner, self._kind, self._left = inner, kind, count

    def metric(self, record: dict[str, Any]) -> None:
        self._inner.metric(record)
        self._meet("metric")

    def event(self, type: str, **fields: Any) -> None:
        self._inner.event(type, **fields)
        self._meet(f"{type}:{fields['phase']}" if type == "phase" else type)

    def beat(self, **fields: Any) -> None:
        self._inner.beat(**fields)

    def sync(self) -> None:
        self._inner.sync()

    def _meet(self, kind: str) -> None:
        if kind == self._kind:
            self._left -= 1
            if self._left == 0:
                raise Killed


def curve(paths: RunPaths) -> list[tuple[Any, ...]]:
    """What must be bitwise equal between two runs: each step's and each evaluation's numbers."""
    view = RunView(paths)
    view.refresh()
    steps = [(one["step"], one["loss"], one["grad_norm"], one["learning_rate"]) for one in view.steps]
    evaluations = [
        (one["step"], one["eval_loss"], one.get("probe_loss"), one["best"])
        for one in view.evaluations
        if not one["asked"]
    ]
    return [*steps, *evaluations]


def events(paths: RunPaths, type: str) -> list[dict[str, Any]]:
    view = RunView(paths)
    view.refresh()
    return [event for event in view.events if event["type"] == type]


def ftui(
    *arguments: str, folder: Path, timeout: float = 240, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run the command line with its runs in `folder`/runs, as processes that are forked: see `forks`."""
    return forks.ftui(arguments, folder, {**os.environ, "HF_HUB_OFFLINE": "1", **environment}, timeout)


def real_ftui(
    *arguments: str, folder: Path, timeout: float = 240, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run the command line as a user does: every process is started anew and imports what it needs."""
    return subprocess.run(
        [sys.executable, "-m", "finetui_core.cli.main", *arguments],
        cwd=folder,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
