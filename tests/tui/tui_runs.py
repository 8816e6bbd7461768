"""Run directories as a trainer would leave them, for the tests of the screens."""

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from finetui_core.files import write_atomically
from finetui_core.runs.paths import RunPaths, create_run
from finetui_core.runs.process import host_name, process_identity
from finetui_core.runs.records import Attempt, End, Heartbeat
from finetui_core.runs.writer import RecordFile

START = 1_763_800_000.0
"""2025-11-22 08:26:40 UTC, the time of the first record."""


def make_run(
    root: Path,
    name: str = "demo",
    *,
    steps: int = 100,
    total_steps: int = 200,
    end: End | None = None,
    gap: range = range(0),
    phase: str = "training",
) -> RunPaths:
    """A run that this process seems to train, or one that has ended as `end` says."""
    paths = create_run(root, name, "", {}, {"created": START})
    ticks, boot = process_identity(os.getpid())
    attempt = Attempt(1, os.getpid(), ticks, boot, host_name(), os.getpid(), ticks, START, None, end)
    write_atomically(paths.attempt(1), msgspec.json.encode(attempt), durable=False)
    append(paths.metrics(1), *(metric(step, total_steps, step in gap) for step in range(1, steps + 1)))
    add_events(
        paths,
        {"type": "phase", "phase": "loading"},
        {
            "type": "ready",
            "total_steps": total_steps,
            "train_rows": 1200,
            "val_rows": 63,
            "trainable_parameters": 884736,
            "total_parameters": 135399744,
        },
        {"type": "phase", "phase": "training"},
    )
    for step in range(50, steps + 1, 50):
        add_events(
            paths,
            {"type": "evaluation", "step": step, "eval_loss": curve(step) + 0.25, "best": True},
            {
                "type": "checkpoint",
                "step": step,
                "bytes": 3_600_000,
                "reason": "epoch",
                "path": f"step-{step}",
            },
        )
    heartbeat = Heartbeat(steps, max(START + steps, time.time()), steps, total_steps, 0.5, phase, os.getpid())
    write_atomically(paths.heartbeat, msgspec.json.encode(heartbeat), durable=False)
    gib = 2**30
    append(
        paths.system(1),
        {"t": START, "cpu": 0.87, "memory_used": 3.2 * gib, "memory_total": 16 * gib, "gpus": []},
    )
    log = "loading the model\n\x1b[32mINFO\x1b[0m 10 %\r 100 %\n<s>[INST] hi [/INST]\n"
    paths.log(1).write_text(log)
    return paths


def curve(step: int) -> float:
    return 1.2 + 2 * math.exp(-step / 60)


def metric(step: int, total_steps: int, nonfinite: bool = False) -> Mapping[str, Any]:
    wobble = 0.15 * math.sin(step * 2.3)
    return {
        "t": START + step,
        "step": step,
        "epoch": 3 * step / total_steps,
        "loss": math.nan if nonfinite else curve(step) + wobble,
        "tokens_per_second": 1204.0,
        "step_seconds": 1.0,
    }


def add_events(paths: RunPaths, *events: Mapping[str, Any]) -> None:
    append(paths.events, *({"t": START, "attempt": 1, **event} for event in events))


def append(path: Path, *records: Mapping[str, Any]) -> None:
    file = RecordFile(path)
    for record in records:
        file.append(record)
    file.close()
