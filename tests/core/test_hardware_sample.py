"""A reading of the machine never fails and never hangs, whatever the driver does."""

import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pynvml
import pytest

from finetui_core.hardware import nvml
from finetui_core.hardware import sample as module
from finetui_core.hardware.nvml import GpuProbe
from finetui_core.hardware.oom import oom_kills
from finetui_core.hardware.sample import sample

NOT_SUPPORTED = pynvml.NVML_ERROR_NOT_SUPPORTED


class Driver:
    """Stands in for NVML: answers by name of the call, or fails with the error code put there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, gpus: int = 1) -> None:
        self.calls: list[str] = []
        self.answers: dict[str, Any] = {
            "nvmlInit": None,
            "nvmlDeviceGetCount": gpus,
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetUUID": lambda handle: f"GPU-{handle}",
            "nvmlDeviceGetName": "NVIDIA Test",
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=50, memory=1),
            "nvmlDeviceGetMemoryInfo": self.memory,
            "nvmlDeviceGetPowerUsage": 250_000,
            "nvmlDeviceGetTemperature": 60,
        }
        self.versions = True
        for name in self.answers:
            monkeypatch.setattr(nvml.pynvml, name, lambda *given, name=name: self.answer(name, *given))

    def answer(self, name: str, *given: Any) -> Any:
        self.calls.append(name)
        answer = self.answers[name]
        if isinstance(answer, pynvml.NVMLError):
            raise answer
        return answer(*given) if callable(answer) else answer

    def memory(self, handle: int, version: int | None = None) -> SimpleNamespace:
        if version is None:
            return SimpleNamespace(total=100, used=31)
        if not self.versions:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        return SimpleNamespace(total=100, used=30, reserved=1)


def test_a_gpu_is_read_in_base_units(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver(monkeypatch)
    gpus, note = GpuProbe().read()
    assert note is None
    assert gpus == [
        {
            "index": 0,
            "uuid": "GPU-0",
            "name": "NVIDIA Test",
            "utilization": 0.5,
            "memory_used": 30,
            "memory_total": 100,
            "memory_reserved": 1,
            "power": 250.0,
            "temperature": 60,
        }
    ]


def test_an_older_driver_counts_reserved_memory_as_used(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver(monkeypatch).versions = False
    (gpu,), _ = GpuProbe().read()
    assert (gpu["memory_used"], gpu["memory_total"], gpu["memory_reserved"]) == (31, 100, None)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        ("nvmlDeviceGetUtilizationRates", "utilization"),
        ("nvmlDeviceGetMemoryInfo", "memory_total"),
        ("nvmlDeviceGetPowerUsage", "power"),
        ("nvmlDeviceGetTemperature", "temperature"),
        ("nvmlDeviceGetUUID", "uuid"),
    ],
)
def test_a_field_that_fails_is_none_alone(monkeypatch: pytest.MonkeyPatch, call: str, field: str) -> None:
    Driver(monkeypatch).answers[call] = pynvml.NVMLError(NOT_SUPPORTED)
    (gpu,), note = GpuProbe().read()
    assert gpu[field] is None and note is None
    assert gpu["name"] == "NVIDIA Test"


def test_a_lost_gpu_is_named_and_the_others_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(monkeypatch, gpus=3)

    def power(handle: int) -> int:
        if handle == 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return 1000

    driver.answers["nvmlDeviceGetPowerUsage"] = power
    gpus, note = GpuProbe().read()
    assert [gpu["index"] for gpu in gpus] == [0, 2]
    assert note is not None and note.startswith("GPU 1:") and "lost" in note


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "no NVIDIA GPU"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "reboot or reload"),
        (pynvml.NVML_ERROR_UNKNOWN, "restart the container"),
        (pynvml.NVML_ERROR_MEMORY, "cannot be read"),
    ],
)
def test_a_failing_driver_is_a_sentence_and_is_not_asked_again_at_once(
    monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    driver = Driver(monkeypatch)
    driver.answers["nvmlInit"] = pynvml.NVMLError(code)
    probe = GpuProbe()
    for _ in range(3):
        gpus, note = probe.read()
        assert gpus == [] and note is not None and words in note
    assert driver.calls == ["nvmlInit"]


def test_nvml_is_started_once(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(monkeypatch)
    probe = GpuProbe()
    probe.read()
    probe.read()
    assert driver.calls.count("nvmlInit") == 1


def test_bindings_that_do_not_fit_the_driver_are_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any) -> None:
        raise AttributeError("undefined symbol")

    Driver(monkeypatch).answers["nvmlInit"] = broken
    assert GpuProbe().read() == ([], "the GPUs cannot be read: undefined symbol")


def test_a_driver_that_hangs_holds_up_nobody() -> None:
    answers = threading.Event()

    def hang() -> nvml.Gpus:
        answers.wait()
        return [{"index": 0}], None

    probe = GpuProbe(hang, deadline=0.001)
    gpus, note = probe.read()
    assert gpus == [] and note is not None and "hangs" in note
    before = threading.active_count()
    probe.read()
    assert threading.active_count() == before
    answers.set()
    while probe.read() != ([{"index": 0}], None):
        pass


def test_a_sample_without_a_gpu_holds_the_rest(tmp_path: Path) -> None:
    probe = GpuProbe(lambda: ([], "no NVIDIA GPU"))
    record = sample(tmp_path, os.getpid(), probe)
    assert record["gpus"] == [] and record["gpu_note"] == "no NVIDIA GPU"
    assert 0 <= record["cpu"] <= 1
    assert 0 < record["memory_used"] < record["memory_total"]
    assert record["disk_free"] > 0 and record["trainer_rss"] > 1_000_000


def test_what_cannot_be_read_is_none_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(module.psutil, "virtual_memory", fail)
    record = sample(tmp_path / "gone", -1, GpuProbe(lambda: ([{"index": 0}], None)))
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
