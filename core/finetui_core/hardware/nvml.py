"""NVIDIA GPUs, asked through NVML in a thread, so that a driver that hangs holds up nobody."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pynvml

_DEADLINE = 1.5  # seconds for one reading of all GPUs
_RETRY_AFTER = 30.0  # seconds until a failed driver is tried again

_SENTENCES = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no NVIDIA GPU",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is not loaded",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the NVIDIA driver was updated: reboot or reload its module",
    pynvml.NVML_ERROR_UNKNOWN: "the NVIDIA driver does not answer: in a container, restart the container",
    pynvml.NVML_ERROR_GPU_IS_LOST: "a GPU was lost: it fell off the bus, reboot the machine",
    pynvml.NVML_ERROR_RESET_REQUIRED: "a GPU needs a reset",
    pynvml.NVML_ERROR_NO_PERMISSION: "no permission to ask the NVIDIA driver",
}
_LOST = (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED)

Gpus = tuple[list[dict[str, Any]], str | None]


class GpuProbe:
    """Reads all GPUs again and again; NVML is started once, and again 30 s after a failure."""

    def __init__(self, read: Callable[[], Gpus] | None = None, deadline: float = _DEADLINE) -> None:
        self._read = read or _Nvml().read
        self._deadline = deadline
        self._reading: threading.Thread | None = None
        self._answer: Gpus = ([], None)

    def read(self) -> Gpus:
        """(a record per GPU, a sentence on what is amiss or None). Never raises, never takes long."""
        if self._reading is None or not self._reading.is_alive():
            self._reading = threading.Thread(target=self._ask, name="nvml", daemon=True)
            self._reading.start()
        self._reading.join(self._deadline)
        if self._reading.is_alive():
            return [], "the NVIDIA driver hangs: nothing heard from it"
        return self._answer

    def _ask(self) -> None:
        try:
            self._answer = self._read()
        except Exception as error:  # bindings newer or older than the driver fail in many ways
            self._answer = [], f"the GPUs cannot be read: {error}"


class _Nvml:
    def __init__(self) -> None:
        self._started = False
        self._failure = ""
        self._retry_at = 0.0

    def read(self) -> Gpus:
        if not self._started and time.monotonic() < self._retry_at:
            return [], self._failure
        try:
            if not self._started:
                pynvml.nvmlInit()
                self._started = True
            return _read_all()
        except pynvml.NVMLError as error:
            self._started = False
            self._failure = sentence(error)
            self._retry_at = time.monotonic() + _RETRY_AFTER
            return [], self._failure


def sentence(error: pynvml.NVMLError) -> str:
    """What an NVML error means to the user."""
    return _SENTENCES.get(error.value, f"the GPUs cannot be read: {error}")


def _read_all() -> Gpus:
    """A GPU that is lost is left out and named; the others are read."""
    gpus, notes = [], []
    for index in range(pynvml.nvmlDeviceGetCount()):
        try:
            gpus.append(_read_one(index, pynvml.nvmlDeviceGetHandleByIndex(index)))
        except pynvml.NVMLError as error:
            notes.append(f"GPU {index}: {sentence(error)}")
    if not gpus and not notes:
        notes = ["no NVIDIA GPU"]
    return gpus, "; ".join(notes) or None


def _read_one(index: int, handle: Any) -> dict[str, Any]:
    """Bytes, watts, degrees Celsius and shares of 1; None for what this GPU does not tell."""
    total, used, reserved = _memory(handle)
    utilization = _ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
    power = _ask(pynvml.nvmlDeviceGetPowerUsage, handle)
    return {
        "index": index,
        "uuid": _text(_ask(pynvml.nvmlDeviceGetUUID, handle)),
        "name": _text(_ask(pynvml.nvmlDeviceGetName, handle)),
        "utilization": None if utilization is None else utilization.gpu / 100,
        "memory_used": used,
        "memory_total": total,
        "memory_reserved": reserved,
        "power": None if power is None else power / 1000,
        "temperature": _ask(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
    }


def _memory(handle: Any) -> tuple[int | None, int | None, int | None]:
    """(total, used, reserved for the driver). The first version of the call counts reserved as used."""
    memory = _ask(pynvml.nvmlDeviceGetMemoryInfo, handle, getattr(pynvml, "nvmlMemory_v2", None))
    if memory is not None and memory.total:
        return memory.total, memory.used, getattr(memory, "reserved", None)
    memory = _ask(pynvml.nvmlDeviceGetMemoryInfo, handle)
    if memory is not None and memory.total:
        return memory.total, memory.used, None
    return None, None, None  # memory shared with the processor: some drivers say so, some say 0


def _ask(question: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return question(*arguments)
    except pynvml.NVMLError as error:
        if error.value in _LOST:
            raise
        return None


def _text(value: str | bytes | None) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
