"""Run directories made without a trainer, quickly and of any length."""

import json
import os
import time
from pathlib import Path
from typing import Any

import msgspec

from finetui_core.files import write_atomically
from finetui_core.runs.paths import RunPaths, create_run
from finetui_core.runs.process import host_name, process_identity
from finetui_core.runs.records import Attempt, End, Heartbeat

START = 1_763_800_000.0
"""2025-11-22 08:26:40 UTC, the time of the first record."""
ENDED = End(START + 600, exit_code=0, reason="exit code 0")


def write_run(root: Path, name: str = "demo", *, steps: int = 60, end: End | None = ENDED) -> RunPaths:
    """A run that has ended as `end` says; without it, one whose trainer seems to be this process."""
    paths = create_run(root, name, "", {}, {"created": START})
    ticks, boot = process_identity(os.getpid())
    attempt = Attempt(1, os.getpid(), ticks, boot, host_name(), os.getpid(), ticks, START, None, end)
    write_atomically(paths.attempt(1), msgspec.json.encode(attempt), durable=False)
    add_steps(paths, 1, steps)
    add_lines(
        paths.events, {"type": "ready", "total_steps": 2 * steps}, {"type": "phase", "phase": "training"}
    )
    for step in range(50, min(steps, 200) + 1, 50):
        add_lines(
            paths.events, {"type": "evaluation", "step": step, "eval_loss": 2 - step / 1000, "best": True}
        )
    beat(paths, steps)
    gib = 2**30
    machine = {"cpu": 0.5, "memory_used": 3 * gib, "memory_total": 16 * gib, "disk_free": 9 * gib, "gpus": []}
    add_lines(paths.system(1), machine)
    paths.log(1).write_text("loading the model\nall is well\n")
    return paths


def beat(paths: RunPaths, step: int, phase: str = "training") -> None:
    heartbeat = Heartbeat(step, max(START + step, time.time()), step, 2 * step, 0.5, phase, os.getpid())
    write_atomically(paths.heartbeat, msgspec.json.encode(heartbeat), durable=False)


def add_steps(paths: RunPaths, first: int, last: int) -> None:
    """Append the metrics of the steps from `first` to `last`; about 250 bytes each."""
    with paths.metrics(1).open("a") as file:
        for step in range(first, last + 1):
            file.write(
                f'{{"t":{START + step},"step":{step},"epoch":{step / 1000},"loss":{1 + 1000 / (step + 500):.6f},'
                f'"learning_rate":{2e-4 / step:.3e},"grad_norm":{0.5 + step % 7 / 10},"tokens":{step * 4096},'
                f'"supervised_tokens":{step * 1024},"tokens_per_second":{4000 + step % 13},"step_seconds":1.0,'
                f'"gpu_memory_peak":{8 * 2**30}}}\n'
            )


def add_lines(path: Path, *records: dict[str, Any]) -> None:
    """Append records as a foreign program would: any text, escaped as JSON allows."""
    with path.open("a") as file:
        file.writelines(json.dumps({"t": START, "attempt": 1, **record}) + "\n" for record in records)


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))
