"""Recognising what other trainers leave in a folder."""

import os
import re
from pathlib import Path
from typing import Literal

Kind = Literal["trainer_state", "tensorboard", "metrics_jsonl"]

STATE_FILE = "trainer_state.json"
METRIC_FILES = ("metrics.jsonl", "trainer_log.jsonl")
"""A widespread name, and that of LLaMA-Factory."""
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_EVENT_FILE = re.compile(r".*\.?tfevents\.\d+.*")


def kind_of(path: Path) -> Kind | None:
    """How the run of another trainer in the folder `path` is recorded; None where it holds none.

    A `trainer_state.json` counts before TensorBoard's event files, and these before lines of metrics.
    """
    names = _names(path)
    if STATE_FILE in names:
        return "trainer_state"
    if any((path / name / STATE_FILE).is_file() for name in _checkpoint_names(names)):
        return "trainer_state"
    if any(_EVENT_FILE.fullmatch(name) for name in names):
        return "tensorboard"
    if any(name in names for name in METRIC_FILES):
        return "metrics_jsonl"
    return None


def checkpoints_of(path: Path) -> list[tuple[int, Path]]:
    """The folders `checkpoint-N` of transformers' Trainer with their steps, ascending."""
    return [(int(name.partition("-")[2]), path / name) for name in reversed(_checkpoint_names(_names(path)))]


def event_files_of(path: Path) -> list[Path]:
    """TensorBoard's files in the folder, oldest first: their names begin with the time of their making."""
    return [path / name for name in sorted(_names(path)) if _EVENT_FILE.fullmatch(name)]


def metric_file_of(path: Path) -> Path:
    """The file of JSON lines in the folder."""
    return next((path / name for name in METRIC_FILES if (path / name).is_file()), path / METRIC_FILES[0])


def _names(path: Path) -> set[str]:
    try:
        return set(os.listdir(path))  # noqa: PTH208 - names alone are wanted, and quickly
    except OSError:
        return set()


def _checkpoint_names(names: set[str]) -> list[str]:
    """Newest first."""
    found = [name for name in names if _CHECKPOINT.fullmatch(name)]
    return sorted(found, key=lambda name: int(name.partition("-")[2]), reverse=True)
