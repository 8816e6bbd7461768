"""What is shown when the driver fails: a library of C functions is faked, everything above it is real."""

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pynvml
import pytest

from finetui_core.hardware.nvml import GpuProbe, Nvml, compute_processes
from finetui_core.hardware.sample import sample

OK = pynvml.NVML_SUCCESS
NOT_SUPPORTED = pynvml.NVML_ERROR_NOT_SUPPORTED
UNKNOWN = pynvml.NVML_ERROR_UNKNOWN
GIB = 2**30
PARTS = 100
"""The handle of MIG instance `place` of GPU `index` is PARTS * (index + 1) + place."""


class Library:
    """Stands in for libnvidia-ml.so.1: the attributes are its functions, called with ctypes arguments.

    `faults` maps (function, handle), or (function, None) for every handle, to the error code returned.
    """

    def __init__(self, gpus: int = 1) -> None:
        self.gpus = gpus
        self.instances: dict[int, tuple[int, ...]] = {}
        self.processes: dict[int, int | None] = {}
        self.faults: dict[tuple[str, int | None], int] = {}
        self.missing: set[str] = set()
        self.answers: dict[str, int] = {}
        self.remapped_rows = (0, 0, 0, 0)
        self.pages = 0
        self.xids: list[tuple[int, int]] = []
        self.tells_xids = True
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., int]:
        if not name.startswith("nvml") or name in self.missing:
            raise AttributeError(name)

        def function(*arguments: Any) -> int:
            self.calls.append(name)
            handle = number(arguments[0]) if arguments else None
            fault = self.faults.get((name, handle), self.faults.get((name, None)))
            return answer(self, name, arguments) if fault is None else fault

        return function


def number(argument: Any) -> int | None:
    """The handle, or the number of a device, in a ctypes argument."""
    if isinstance(argument, ctypes._Pointer):
        return ctypes.cast(argument, ctypes.c_void_p).value
    return argument.value if isinstance(argument, ctypes.c_uint) else None


def set_handle(pointer: Any, value: int) -> None:
    ctypes.memmove(pointer, ctypes.byref(ctypes.c_void_p(value)), ctypes.sizeof(ctypes.c_void_p))


def answer(library: Library, name: str, arguments: tuple[Any, ...]) -> int:
    """What a healthy driver does: fill the structures it was given pointers to."""
    values = {
        "nvmlDeviceGetPowerUsage": 250_500,
        "nvmlDeviceGetEnforcedPowerLimit": 700_000,
        "nvmlDeviceGetTemperature": 61,
        "nvmlDeviceGetCurrentClocksEventReasons": 0,
        "nvmlDeviceGetMaxMigDeviceCount": 7,
        "nvmlDeviceGetClockInfo": 1980,
        "nvmlDeviceGetTotalEccErrors": 0,
        "nvmlDeviceGetSupportedEventTypes": pynvml.nvmlEventTypeXidCriticalError if library.tells_xids else 0,
        "nvmlDeviceGetIndex": (number(arguments[0]) or PARTS) // PARTS - 1 if arguments else 0,
        **library.answers,
    }
    if name in values:
        arguments[-1]._obj.value = values[name]
    elif name == "nvmlDeviceGetCount_v2":
        arguments[0]._obj.value = library.gpus
    elif name == "nvmlDeviceGetHandleByIndex_v2":
        set_handle(arguments[1], PARTS * (arguments[0].value + 1))
    elif name == "nvmlDeviceGetRemappedRows":
        for pointer, value in zip(arguments[1:], library.remapped_rows, strict=True):
            pointer._obj.value = value
    elif name == "nvmlDeviceGetRetiredPages":
        arguments[2]._obj.value = library.pages
    elif name == "nvmlEventSetWait_v2":
        return next_xid(library.xids, arguments[1]._obj)
    elif name == "nvmlDeviceGetUUID":
        arguments[1].value = f"GPU-{number(arguments[0])}".encode()
    elif name == "nvmlDeviceGetName":
        arguments[1].value = b"NVIDIA Test"
    elif name == "nvmlDeviceGetUtilizationRates":
        arguments[1]._obj.gpu = 50
    elif name.startswith("nvmlDeviceGetMemoryInfo"):
        fill_memory(arguments[1]._obj)
    elif name == "nvmlDeviceGetMigMode":
        arguments[1]._obj.value = number(arguments[0]) in library.instances
    elif name == "nvmlDeviceGetMigDeviceHandleByIndex":
        place = arguments[1].value
        if place not in library.instances[number(arguments[0]) or 0]:
            return pynvml.NVML_ERROR_NOT_FOUND
        set_handle(arguments[2], (number(arguments[0]) or 0) + place + 1)
    elif name.startswith("nvmlDeviceGetComputeRunningProcesses"):
        return list_processes(library.processes, *arguments[1:])
    return OK


def fill_memory(memory: Any) -> None:
    """80 GiB, of which the driver reserves 1 and processes use 20, as versions 1 and 2 of the call see it."""
    memory.total, memory.free = 80 * GIB, 59 * GIB
    if hasattr(memory, "reserved"):
        memory.used, memory.reserved = 20 * GIB, GIB
    else:
        memory.used = 21 * GIB


def next_xid(waiting: list[tuple[int, int]], event: Any) -> int:
    """The event set of a driver that was asked not to wait; each is (index of the GPU, number of the error)."""
    if not waiting:
        return pynvml.NVML_ERROR_TIMEOUT
    index, xid = waiting.pop(0)
    event.device = ctypes.cast(ctypes.c_void_p(PARTS * (index + 1)), pynvml.c_nvmlDevice_t)
    event.eventType, event.eventData = pynvml.nvmlEventTypeXidCriticalError, xid
    return OK


def list_processes(processes: dict[int, int | None], count: Any, array: Any) -> int:
    enough = array is not None or not processes
    count._obj.value = len(processes)
    for place, (pid, used) in enumerate(processes.items() if array is not None else ()):
        array[place].pid = pid
        array[place].usedGpuMemory = pynvml.NVML_VALUE_NOT_AVAILABLE_ulonglong.value if used is None else used
    return OK if enough else pynvml.NVML_ERROR_INSUFFICIENT_SIZE


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    fake = Library(gpus=2)
    monkeypatch.setattr(pynvml, "nvmlLib", fake)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    return fake


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_healthy_gpu(library: Library) -> None:
    gpus, note = GpuProbe().read()
    assert note is None
    assert gpus[1] == {
        "index": 1,
        "uuid": "GPU-200",
        "name": "NVIDIA Test",
        "utilization": 0.5,
        "memory_used": 20 * GIB,
        "memory_total": 80 * GIB,
        "memory_reserved": GIB,
        "memory_others": 0,
        "power": 250.5,
        "power_limit": 700.0,
        "temperature": 61,
        "clock": 1980,
        "throttling": [],
        "ecc_uncorrected": 0,
        "rows_remapped": 0,
        "row_remap_pending": False,
        "row_remap_failed": False,
        "pages_retired": 0,
    }


def test_no_library_is_a_fact_and_not_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_such_file(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    monkeypatch.setattr(pynvml, "CDLL", no_such_file)
    record = sample(tmp_path, os.getpid(), GpuProbe())
    assert (record["gpus"], record["gpu_note"]) == ([], "no NVIDIA GPU")
    assert record["memory_total"] > 0


def test_a_library_without_a_gpu(library: Library) -> None:
    library.gpus = 0
    assert GpuProbe().read() == ([], "no NVIDIA GPU")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "the NVIDIA driver is not loaded"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "the NVIDIA driver was updated: reboot or reload its"),
        (UNKNOWN, "the NVIDIA driver does not answer: in a container, restart the container"),
        (pynvml.NVML_ERROR_NO_PERMISSION, "no permission to ask the NVIDIA driver"),
        (pynvml.NVML_ERROR_MEMORY, "the GPUs cannot be read: Insufficient Memory"),
        (4242, "the GPUs cannot be read"),
    ],
)
@pytest.mark.parametrize("call", ["nvmlInitWithFlags", "nvmlDeviceGetCount_v2"])
def test_a_driver_that_fails_is_a_sentence_and_is_tried_again_after_a_while(
    library: Library, call: str, code: int, words: str
) -> None:
    library.faults[call, None] = code
    clock = Clock()
    driver = Nvml(clock)
    for _ in range(3):
        gpus, note = driver.read()
        assert gpus == [] and note is not None and note.startswith(words)
    assert library.calls.count(call) == 1
    del library.faults[call, None]
    clock.now += 31
    gpus, note = driver.read()
    assert (len(gpus), note) == (2, None)


def test_a_driver_that_starts_to_fail_while_it_is_watched(library: Library) -> None:
    driver = Nvml(Clock())
    assert driver.read()[1] is None
    library.faults["nvmlDeviceGetCount_v2", None] = UNKNOWN
    assert driver.read() == (
        [],
        "the NVIDIA driver does not answer: in a container, restart the container",
    )


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        ("nvmlDeviceGetPowerUsage", pynvml.NVML_ERROR_GPU_IS_LOST, "GPU 0: lost, it fell off the bus"),
        ("nvmlDeviceGetTemperature", pynvml.NVML_ERROR_RESET_REQUIRED, "GPU 0: needs a reset"),
        ("nvmlDeviceGetMemoryInfo_v2", UNKNOWN, "GPU 0: the driver has let go of it"),
    ],
)
def test_a_lost_gpu_is_named_and_left_alone_and_found_again(
    library: Library, call: str, code: int, words: str
) -> None:
    clock = Clock()
    driver = Nvml(clock)
    library.faults[call, PARTS] = code
    for _ in range(3):
        gpus, note = driver.read()
        assert [gpu["index"] for gpu in gpus] == [1]
        assert note is not None and note.startswith(words)
    asked = library.calls.count("nvmlDeviceGetHandleByIndex_v2")
    assert asked == 4  # the lost one once, the other three times
    assert library.calls.count("nvmlInitWithFlags") == 1
    library.faults.clear()
    clock.now += 31
    gpus, note = driver.read()
    assert ([gpu["index"] for gpu in gpus], note) == ([0, 1], None)
    assert library.calls.count("nvmlShutdown") == 1


def test_two_lost_gpus_are_both_named(library: Library) -> None:
    library.faults["nvmlDeviceGetMemoryInfo_v2", None] = pynvml.NVML_ERROR_GPU_IS_LOST
    gpus, note = GpuProbe().read()
    assert gpus == [] and note is not None
    assert note.count("lost") == 2 and "GPU 0" in note and "GPU 1" in note


def test_a_gpu_that_may_not_be_opened_holds_back_no_other(library: Library) -> None:
    library.faults["nvmlDeviceGetHandleByIndex_v2", 0] = pynvml.NVML_ERROR_NO_PERMISSION
    driver = Nvml(Clock())
    for _ in range(2):
        gpus, note = driver.read()
        assert ([gpu["index"] for gpu in gpus], note) == ([1], "GPU 0: no permission to ask it")


FIELDS = {
    "nvmlDeviceGetUtilizationRates": "utilization",
    "nvmlDeviceGetPowerUsage": "power",
    "nvmlDeviceGetEnforcedPowerLimit": "power_limit",
    "nvmlDeviceGetTemperature": "temperature",
    "nvmlDeviceGetClockInfo": "clock",
    "nvmlDeviceGetTotalEccErrors": "ecc_uncorrected",
    "nvmlDeviceGetRetiredPages": "pages_retired",
    "nvmlDeviceGetUUID": "uuid",
    "nvmlDeviceGetName": "name",
}


@pytest.mark.parametrize("code", [NOT_SUPPORTED, pynvml.NVML_ERROR_NO_PERMISSION, UNKNOWN, 4242])
@pytest.mark.parametrize("call", FIELDS)
def test_a_field_that_is_not_told_is_none_alone(library: Library, call: str, code: int) -> None:
    (healthy, _), _ = GpuProbe().read()
    library.faults[call, None] = code
    (gpu, _), note = GpuProbe().read()
    assert note is None
    assert gpu == {**healthy, FIELDS[call]: None}


def test_a_function_that_the_driver_lacks_is_a_field_that_it_does_not_tell(library: Library) -> None:
    library.missing = {*FIELDS, "nvmlDeviceGetMigMode", "nvmlDeviceGetComputeRunningProcesses_v3"}
    library.processes = {os.getpid(): 3 * GIB}
    (gpu, _), note = GpuProbe().read()
    assert note is None
    assert all(gpu[field] is None for field in FIELDS.values())
    assert (gpu["memory_used"], gpu["memory_others"]) == (20 * GIB, 3 * GIB)


@pytest.mark.parametrize(
    "code", [pynvml.NVML_ERROR_FUNCTION_NOT_FOUND, pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH]
)
def test_version_1_of_the_memory_call_counts_what_is_reserved_as_used(library: Library, code: int) -> None:
    library.faults["nvmlDeviceGetMemoryInfo_v2", None] = code
    (gpu, _), note = GpuProbe().read()
    assert (gpu["memory_used"], gpu["memory_total"], gpu["memory_reserved"]) == (21 * GIB, 80 * GIB, None)
    assert note is None


@pytest.mark.parametrize("code", [NOT_SUPPORTED, None])
def test_memory_shared_with_the_processor_is_that_of_the_machine(
    library: Library, code: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some drivers say "not supported", some success and 0 bytes."""
    for call in ("nvmlDeviceGetMemoryInfo", "nvmlDeviceGetMemoryInfo_v2"):
        if code is not None:
            library.faults[call, PARTS] = code
    if code is None:
        monkeypatch.setitem(globals(), "fill_memory", lambda memory: None)
    (gpu, _), note = GpuProbe().read()
    assert note is None and gpu["unified"] is True
    assert gpu["memory_total"] == psutil.virtual_memory().total
    assert 0 < gpu["memory_used"] < gpu["memory_total"]


def test_memory_that_may_not_be_read_is_not_taken_for_shared(library: Library) -> None:
    for call in ("nvmlDeviceGetMemoryInfo", "nvmlDeviceGetMemoryInfo_v2"):
        library.faults[call, None] = pynvml.NVML_ERROR_NO_PERMISSION
    (gpu, _), note = GpuProbe().read()
    assert gpu["memory_used"] is None and gpu["memory_total"] is None and "unified" not in gpu
    assert note is None and gpu["temperature"] == 61


def test_a_gpu_cut_up_by_mig_has_instances_and_no_use_of_its_own(library: Library) -> None:
    library.instances = {PARTS: (0, 3)}
    library.faults["nvmlDeviceGetMemoryInfo_v2", PARTS] = NOT_SUPPORTED
    library.faults["nvmlDeviceGetMemoryInfo", PARTS] = NOT_SUPPORTED
    (cut_up, whole), note = GpuProbe().read()
    assert note is None and "instances" not in whole
    assert cut_up["utilization"] is None and cut_up["memory_total"] is None and "unified" not in cut_up
    assert [part["index"] for part in cut_up["instances"]] == [0, 3]
    assert cut_up["instances"][1] == {
        "index": 3,
        "uuid": "GPU-104",
        "name": "NVIDIA Test",
        "memory_used": 20 * GIB,
        "memory_total": 80 * GIB,
        "memory_reserved": GIB,
    }


def test_what_holds_the_clocks_down_is_named(library: Library) -> None:
    idle, power, slowdown, by_hardware = 0x1, 0x4, 0x8, 0x40
    for reasons, words in (
        (idle, []),
        (idle | power, ["power limit"]),
        (slowdown | by_hardware, ["heat, by hardware"]),
        (slowdown, ["slowed by hardware"]),
    ):
        library.answers["nvmlDeviceGetCurrentClocksEventReasons"] = reasons
        assert GpuProbe().read()[0][0]["throttling"] == words
    library.missing = {"nvmlDeviceGetCurrentClocksEventReasons"}
    library.answers["nvmlDeviceGetCurrentClocksThrottleReasons"] = power
    pynvml._nvmlGetFunctionPointer_cache.clear()
    assert GpuProbe().read()[0][0]["throttling"] == ["power limit"]
    library.faults["nvmlDeviceGetCurrentClocksThrottleReasons", None] = NOT_SUPPORTED
    assert GpuProbe().read()[0][0]["throttling"] is None


def test_memory_of_others_is_told_apart_where_process_ids_mean_something(library: Library) -> None:
    def others() -> int | None:
        (gpu, _), _ = GpuProbe().read(own={os.getpid()})
        return gpu["memory_others"]

    library.processes = {os.getpid(): 9 * GIB}
    assert others() == 0
    library.processes = {os.getpid(): 9 * GIB, os.getppid(): 2 * GIB}
    assert others() == 2 * GIB
    library.processes = {2**31 - 2: 9 * GIB}  # of the host, seen from a container
    assert others() is None
    library.processes = {os.getppid(): None}
    assert others() is None


def test_a_call_that_hangs_holds_up_nobody(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    monkeypatch.setitem(globals(), "fill_memory", lambda memory: let_go.wait(60))
    probe = GpuProbe(deadline=0.001)
    assert probe.read() == ([], "the NVIDIA driver hangs: nothing heard from it")
    assert probe.read() == ([], "the NVIDIA driver hangs: nothing heard from it")
    assert library.calls.count("nvmlInitWithFlags") == 1
    let_go.set()


def test_who_computes_on_any_gpu(library: Library) -> None:
    library.gpus = 2
    library.processes = {7: GIB, 8: None}
    assert compute_processes() == {7: 2 * GIB, 8: None}  # the same list for both
    library.faults[("nvmlDeviceGetComputeRunningProcesses_v3", 2 * PARTS)] = UNKNOWN
    assert compute_processes()[7] == GIB
    library.faults[("nvmlInitWithFlags", None)] = UNKNOWN
    assert compute_processes() == {}


def test_xid_errors_are_told_once_with_their_gpu(library: Library, tmp_path: Path) -> None:
    library.xids = [(1, 31), (0, 79)]
    probe = GpuProbe(listens=True)
    record = sample(tmp_path, os.getpid(), probe)
    assert record["xids"] == [{"gpu": 1, "xid": 31}, {"gpu": 0, "xid": 79}]
    assert "xids" not in sample(tmp_path, os.getpid(), probe)
    library.xids = [(0, 48)]
    assert sample(tmp_path, os.getpid(), probe)["xids"] == [{"gpu": 0, "xid": 48}]
    assert library.calls.count("nvmlEventSetCreate") == 1


def test_an_error_is_heard_before_the_gpu_is_gone(library: Library) -> None:
    library.xids = [(0, 79)]
    library.faults["nvmlDeviceGetCount_v2", None] = pynvml.NVML_ERROR_GPU_IS_LOST
    driver = Nvml(Clock(), listens=True)
    assert driver.read()[1] == "a GPU was lost: it fell off the bus, reboot the machine"
    assert not driver.xids  # without a count nothing could be listened to
    library.faults.clear()
    driver = Nvml(Clock(), listens=True)
    driver.read()
    library.xids = [(0, 79)]
    library.faults["nvmlDeviceGetCount_v2", None] = pynvml.NVML_ERROR_GPU_IS_LOST
    driver.read()
    assert driver.xids[-1] == {"gpu": 0, "xid": 79}


@pytest.mark.parametrize(
    "call",
    [
        "nvmlEventSetCreate",
        "nvmlDeviceRegisterEvents",
        "nvmlEventSetWait_v2",
        "nvmlDeviceGetSupportedEventTypes",
    ],
)
def test_a_driver_that_tells_no_errors_is_read_all_the_same(library: Library, call: str) -> None:
    library.faults[call, None] = NOT_SUPPORTED
    probe = GpuProbe(listens=True)
    gpus, note = probe.read()
    assert (len(gpus), note) == (2, None)


def test_gpus_that_do_not_tell_xids_are_not_listened_to(library: Library) -> None:
    library.tells_xids = False
    GpuProbe(listens=True).read()
    assert "nvmlDeviceRegisterEvents" not in library.calls


def test_only_who_listens_asks_for_events(library: Library) -> None:
    GpuProbe().read()
    assert not [name for name in library.calls if "Event" in name and "Reasons" not in name]


def test_the_state_of_the_memory_is_asked_seldom(library: Library) -> None:
    library.remapped_rows, library.pages, clock = (1, 2, 1, 0), 3, Clock()
    driver = Nvml(clock)
    (first, _), _ = driver.read()
    assert (first["rows_remapped"], first["row_remap_pending"], first["row_remap_failed"]) == (2, True, False)
    assert first["pages_retired"] == 3
    clock.now += 2
    (second, _), _ = driver.read()
    assert "rows_remapped" not in second
    clock.now += 9
    (third, _), _ = driver.read()
    assert third["rows_remapped"] == 2
