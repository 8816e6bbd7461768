"""A reading of the machine never fails and never hangs, whatever the driver does."""

import os
import threading
import time
from collections.abc import Set
from pathlib import Path

import psutil
import pytest

from finetui_core.hardware import nvml
from finetui_core.hardware import sample as module
from finetui_core.hardware.nvml import GpuProbe
from finetui_core.hardware.oom import oom_kills
from finetui_core.hardware.sample import sample


def test_bindings_that_do_not_fit_the_driver_are_survived() -> None:
    def broken(own: Set[int]) -> nvml.Gpus:
        raise AttributeError("undefined symbol")

    assert GpuProbe(broken).read() == ([], "the GPUs cannot be read: undefined symbol")


def test_a_driver_that_hangs_holds_up_nobody() -> None:
    answers = threading.Event()

    def hang(own: Set[int]) -> nvml.Gpus:
        answers.wait()
        return [{"index": 0}], None

    probe = GpuProbe(hang, deadline=0.001)
    gpus, note = probe.read()
    assert gpus == [] and note is not None and "hangs" in note
    before = threading.active_count()
    probe.read()
    assert threading.active_count() == before
    answers.set()
    deadline = time.monotonic() + 10
    while probe.read() != ([{"index": 0}], None):
        assert time.monotonic() < deadline


def test_a_sample_without_a_gpu_holds_the_rest(tmp_path: Path) -> None:
    probe = GpuProbe(lambda own: ([], "no NVIDIA GPU"))
    record = sample(tmp_path, os.getpid(), probe)
    assert record["gpus"] == [] and record["gpu_note"] == "no NVIDIA GPU"
    assert 0 <= record["cpu"] <= 1
    assert 0 < record["memory_used"] < record["memory_total"]
    assert record["disk_free"] > 0 and record["trainer_rss"] > 1_000_000


def test_what_cannot_be_read_is_none_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(module.psutil, "virtual_memory", fail)
    record = sample(tmp_path / "gone", -1, GpuProbe(lambda own: ([{"index": 0}], None)))
    assert record["memory_used"] is record["disk_free"] is record["trainer_rss"] is None
    assert record["gpus"] == [{"index": 0}] and "gpu_note" not in record
    assert record["cpu"] is not None


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("cgroup", "files", "kills"),
    [
        ("0::/a/b\n", {"cgroup/a/b/memory.events": "oom 4\noom_kill 3\n"}, 3),
        ("0::/host/path\n", {"cgroup/memory.events": "oom_kill 2\n", "proc/vmstat": "oom_kill 9\n"}, 2),
        ("4:memory:/x\n0::/\n", {"cgroup/memory/x/memory.oom_control": "under_oom 0\noom_kill 5\n"}, 5),
        ("3:cpu:/\n", {"proc/vmstat": "nr_free 1\noom_kill 7\n"}, 7),
        ("", {}, 0),
    ],
)
def test_oom_kills_are_counted_where_the_kernel_keeps_them(
    tmp_path: Path, cgroup: str, files: dict[str, str], kills: int
) -> None:
    write(tmp_path / "proc/self/cgroup", cgroup)
    for name, text in files.items():
        write(tmp_path / name, text)
    assert oom_kills(tmp_path / "proc", tmp_path / "cgroup") == kills


def test_no_proc_means_no_count(tmp_path: Path) -> None:
    assert oom_kills(tmp_path, tmp_path) == 0
