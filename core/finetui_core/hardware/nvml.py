"""NVIDIA GPUs, asked through NVML in a thread, so that a driver that hangs holds up nobody."""

import threading
import time
from collections import deque
from collections.abc import Callable, Set
from contextlib import suppress
from typing import Any

import pynvml

from finetui_core.hardware.gpu import GONE, memory_of_others, read_gpu, read_health

_DEADLINE = 1.5  # seconds for one reading of all GPUs
_RETRY_AFTER = 30.0  # seconds until a failed driver or a lost GPU is tried again
_SELDOM = (
    10.0  # seconds between two questions for health and for other processes: they hold the driver's lock
)
_XID = pynvml.nvmlEventTypeXidCriticalError
_MOST_XIDS = 64  # in one reading

_SENTENCES = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no NVIDIA GPU",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is not loaded",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the NVIDIA driver was updated: reboot or reload its module",
    pynvml.NVML_ERROR_UNKNOWN: "the NVIDIA driver does not answer: in a container, restart the container",
    pynvml.NVML_ERROR_GPU_IS_LOST: "a GPU was lost: it fell off the bus, reboot the machine",
    pynvml.NVML_ERROR_RESET_REQUIRED: "a GPU needs a reset",
    pynvml.NVML_ERROR_NO_PERMISSION: "no permission to ask the NVIDIA driver",
}
_SENTENCES_OF_ONE = {
    pynvml.NVML_ERROR_UNKNOWN: "the driver has let go of it: in a container, restart the container",
    pynvml.NVML_ERROR_GPU_IS_LOST: "lost, it fell off the bus: reboot the machine",
    pynvml.NVML_ERROR_RESET_REQUIRED: "needs a reset",
    pynvml.NVML_ERROR_NO_PERMISSION: "no permission to ask it",
}

Gpus = tuple[list[dict[str, Any]], str | None]
NOBODY: Set[int] = frozenset()


class GpuProbe:
    """Reads all GPUs again and again; NVML is started once, and again 30 s after a failure."""

    def __init__(
        self,
        read: Callable[[Set[int]], Gpus] | None = None,
        deadline: float = _DEADLINE,
        *,
        listens: bool = False,
    ) -> None:
        """With `listens` the driver's Xid errors are collected, for `take_xids`."""
        driver = Nvml(listens=listens)
        self._read = read or driver.read
        self._xids = driver.xids
        self._deadline = deadline
        self._reading: threading.Thread | None = None
        self._answer: Gpus = ([], None)

    def read(self, own: Set[int] = NOBODY) -> Gpus:
        """(a record per GPU, a sentence on what is amiss or None). Never raises, never takes long.

        `own` are the processes whose memory does not count as that of others.
        """
        if self._reading is None or not self._reading.is_alive():
            self._reading = threading.Thread(target=self._ask, args=(own,), name="nvml", daemon=True)
            self._reading.start()
        self._reading.join(self._deadline)
        if self._reading.is_alive():
            return [], "the NVIDIA driver hangs: nothing heard from it"
        return self._answer

    def take_xids(self) -> list[dict[str, Any]]:
        """The Xid errors since the last call, each {"gpu", "xid"}; the GPU is None where it cannot be told."""
        return [self._xids.popleft() for _ in range(len(self._xids))]

    def _ask(self, own: Set[int]) -> None:
        try:
            self._answer = self._read(own)
        except Exception as error:  # bindings newer or older than the driver fail in many ways
            self._answer = [], f"the GPUs cannot be read: {error}"


class Nvml:
    """The driver over time: what failed is left alone for 30 s, then NVML is started anew.

    `clock` gives seconds of a clock that only goes forward. With `listens` Xid errors are added to `xids`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, listens: bool = False) -> None:
        self.xids: deque[dict[str, Any]] = deque()
        self._clock = clock
        self._listens = listens
        self._events: Any = None
        self._started = False
        self._failure = ""
        self._lost: dict[int, str] = {}
        self._others: dict[int, int | None] = {}
        self._retry_at = 0.0
        self._seldom_at = 0.0

    def read(self, own: Set[int] = NOBODY) -> Gpus:
        """As `GpuProbe.read`, in the caller's thread. A lost GPU is named and left out, the others are read."""
        if self._failure and self._clock() < self._retry_at:
            return [], self._failure
        try:
            self._start()
            self._failure = ""
            self._hear()
            return self._read_all(own)
        except pynvml.NVMLError as error:
            self._started = False
            self._failure = sentence(error)
            self._retry_at = self._clock() + _RETRY_AFTER
            return [], self._failure

    def _start(self) -> None:
        """Start NVML where it is not, and anew where a GPU was lost 30 s ago: only that finds it again."""
        if self._started and self._lost and self._clock() >= self._retry_at:
            self._started = False
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()
        if not self._started:
            pynvml.nvmlInit()
            self._started = True
            self._lost = {}
            self._events = self._listen() if self._listens else None

    def _listen(self) -> Any:
        """A set of events with the Xid errors of every GPU that tells them; None where there are none."""
        try:
            events = pynvml.nvmlEventSetCreate()
            count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError:
            return None
        for index in range(count):
            with suppress(pynvml.NVMLError):
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                if pynvml.nvmlDeviceGetSupportedEventTypes(handle) & _XID:
                    pynvml.nvmlDeviceRegisterEvents(handle, _XID, events)
        return events

    def _hear(self) -> None:
        """Collect what has happened since, without waiting. An error here is only the lack of news."""
        for _ in range(_MOST_XIDS if self._events is not None else 0):
            try:
                event = pynvml.nvmlEventSetWait(self._events, 0)
            except pynvml.NVMLError:  # most often the timeout: nothing more
                return
            if event.eventType & _XID:
                self.xids.append({"gpu": _index_of(event.device), "xid": int(event.eventData)})

    def _read_all(self, own: Set[int]) -> Gpus:
        count = pynvml.nvmlDeviceGetCount()
        asks_all = self._clock() >= self._seldom_at
        if asks_all:
            self._seldom_at = self._clock() + _SELDOM
        gpus, notes = [], {}
        for index in range(count):
            if index in self._lost:
                continue
            try:
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                gpu = read_gpu(index, handle)
                if asks_all:
                    self._others[index] = memory_of_others(handle, own)
                    gpu |= read_health(handle)
                gpus.append({**gpu, "memory_others": self._others.get(index)})
            except pynvml.NVMLError as error:
                words = _SENTENCES_OF_ONE.get(error.value, f"cannot be read: {error}")
                if error.value in GONE:
                    self._retry_at = self._clock() + _RETRY_AFTER
                    self._lost[index] = words
                notes[index] = words
        notes.update(self._lost)
        said = [f"GPU {index}: {words}" for index, words in sorted(notes.items())]
        return gpus, "; ".join(said if count else ["no NVIDIA GPU"]) or None


def _index_of(handle: Any) -> int | None:
    try:
        index: int = pynvml.nvmlDeviceGetIndex(handle)
    except pynvml.NVMLError:
        return None
    return index


def sentence(error: pynvml.NVMLError) -> str:
    """What an NVML error means to the user."""
    return _SENTENCES.get(error.value, f"the GPUs cannot be read: {error}")


def compute_processes(deadline: float = _DEADLINE) -> dict[int, int | None]:
    """The processes that compute on any GPU: pid to bytes held, None where that is not told.

    Empty where there is no driver, or none that answers within `deadline` seconds. In a container the driver gives
    the host's pids, which mean nothing there.
    """
    found: dict[int, int | None] = {}
    asking = threading.Thread(target=_ask_processes, args=(found,), name="nvml", daemon=True)
    asking.start()
    asking.join(deadline)
    return {} if asking.is_alive() else found


def _ask_processes(found: dict[int, int | None]) -> None:
    with suppress(Exception):  # bindings newer or older than the driver fail in many ways
        pynvml.nvmlInit()
        for index in range(pynvml.nvmlDeviceGetCount()):
            with suppress(pynvml.NVMLError):
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle):
                    held, before = process.usedGpuMemory, found.get(process.pid, 0)
                    found[process.pid] = None if held is None or before is None else before + held
