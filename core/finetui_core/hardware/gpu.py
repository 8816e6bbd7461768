"""One NVIDIA GPU as a record; what it does not tell is None and holds back nothing else."""

from collections.abc import Callable, Set
from typing import Any

import psutil
import pynvml

_LOST = (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED)
GONE = (*_LOST, pynvml.NVML_ERROR_UNKNOWN)
"""Errors after which only starting NVML anew can bring a GPU back."""
_FALLBACK = (
    pynvml.NVML_ERROR_NOT_SUPPORTED,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
    pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
    pynvml.NVML_ERROR_INVALID_ARGUMENT,
)
_THROTTLING = {
    pynvml.nvmlClocksThrottleReasonSwPowerCap: "power limit",
    pynvml.nvmlClocksThrottleReasonSwThermalSlowdown: "heat",
    pynvml.nvmlClocksThrottleReasonHwThermalSlowdown: "heat, by hardware",
    pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown: "power brake",
    pynvml.nvmlClocksThrottleReasonSyncBoost: "kept in step with other GPUs",
    pynvml.nvmlClocksThrottleReasonBoardLimit: "board limit",
    pynvml.nvmlClocksThrottleReasonReliability: "voltage limit",
}
_HARDWARE_SLOWDOWN = pynvml.nvmlClocksThrottleReasonHwSlowdown
_HARDWARE_CAUSES = (
    pynvml.nvmlClocksThrottleReasonHwThermalSlowdown | pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown
)

Record = dict[str, Any]


def read_gpu(index: int, handle: Any) -> Record:
    """Bytes, watts, degrees Celsius, megahertz and shares of 1.

    "throttling" lists what holds the clocks down. A GPU cut up by MIG has its "instances", each with its
    memory, and no use of its own; one that shares the processor's memory is marked "unified". Raises
    NVMLError where the GPU is lost or needs a reset, or where its memory gives the error Unknown: then the
    driver has let go of it.
    """
    utilization = _ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
    instances = _instances(handle)
    record = {
        "index": index,
        "uuid": _text(_ask(pynvml.nvmlDeviceGetUUID, handle)),
        "name": _text(_ask(pynvml.nvmlDeviceGetName, handle)),
        "utilization": None if utilization is None or instances is not None else utilization.gpu / 100,
        **_memory(handle, may_be_unified=instances is None),
        "power": _watts(_ask(pynvml.nvmlDeviceGetPowerUsage, handle)),
        "power_limit": _watts(_ask(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)),
        "temperature": _ask(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
        "clock": _ask(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM),
        "throttling": _throttling(handle),
    }
    return record if instances is None else {**record, "instances": instances}


def read_health(handle: Any) -> Record:
    """What the memory of a GPU tells of its own state; None where this kind of GPU does not count it.

    "ecc_uncorrected" counts errors since the driver was loaded, "rows_remapped" and "pages_retired" what was taken
    out of use for errors that could not be corrected, ever (rows on Ampere and newer, pages before). Raises
    NVMLError where the GPU is lost.
    """
    uncorrected = (pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC)
    rows = _ask(pynvml.nvmlDeviceGetRemappedRows, handle)
    pages = _ask(
        pynvml.nvmlDeviceGetRetiredPages, handle, pynvml.NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR
    )
    return {
        "ecc_uncorrected": _ask(pynvml.nvmlDeviceGetTotalEccErrors, handle, *uncorrected),
        "rows_remapped": None if rows is None else rows[1],
        "row_remap_pending": None if rows is None else bool(rows[2]),
        "row_remap_failed": None if rows is None else bool(rows[3]),
        "pages_retired": None if pages is None else len(pages),
    }


def memory_of_others(handle: Any, own: Set[int]) -> int | None:
    """Bytes that compute processes besides `own` hold, or None where that cannot be told.

    NVML gives the host's process ids: where one of them means nothing here, as in a container, the trainer
    cannot be told from the others.
    """
    processes = _ask(pynvml.nvmlDeviceGetComputeRunningProcesses_v3, handle)
    if processes is None:
        processes = _ask(pynvml.nvmlDeviceGetComputeRunningProcesses_v2, handle)
    if processes is None:
        return None
    others = [process for process in processes if process.pid not in own]
    known = all(process.usedGpuMemory is not None and psutil.pid_exists(process.pid) for process in others)
    return sum(process.usedGpuMemory for process in others) if known else None


def _memory(handle: Any, *, may_be_unified: bool) -> Record:
    """Version 2 of the call knows what the driver reserves, as nvidia-smi does; version 1 counts it as used."""
    memory, reserved = None, None
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle, pynvml.nvmlMemory_v2)
        reserved = memory.reserved
    except pynvml.NVMLError as error:
        _raise_if_gone(error)
    if memory is None or not memory.total:
        memory, reserved = None, None
        try:
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        except pynvml.NVMLError as error:
            _raise_if_gone(error)
            may_be_unified = may_be_unified and error.value in _FALLBACK
    if memory is not None and memory.total:
        return _memory_record(memory.used, memory.total, reserved)
    if not may_be_unified:
        return _memory_record(None, None, None)
    system = psutil.virtual_memory()  # some drivers say "not supported", some say 0 bytes
    return {**_memory_record(system.total - system.available, system.total, None), "unified": True}


def _raise_if_gone(error: pynvml.NVMLError) -> None:
    if error.value in GONE:
        raise error


def _memory_record(used: int | None, total: int | None, reserved: int | None) -> Record:
    return {"memory_used": used, "memory_total": total, "memory_reserved": reserved}


def _instances(handle: Any) -> list[Record] | None:
    """The MIG instances, or None where the GPU is whole. Their places may have gaps."""
    mode = _ask(pynvml.nvmlDeviceGetMigMode, handle)
    if mode is None or mode[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
        return None
    found = []
    for place in range(_ask(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
        instance = _ask(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, place)
        if instance is not None:
            names = {
                "index": place,
                "uuid": _text(_ask(pynvml.nvmlDeviceGetUUID, instance)),
                "name": _text(_ask(pynvml.nvmlDeviceGetName, instance)),
            }
            found.append({**names, **_memory(instance, may_be_unified=False)})
    return found


def _throttling(handle: Any) -> list[str] | None:
    reasons = _ask(pynvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
    if reasons is None:
        reasons = _ask(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
    if reasons is None:
        return None
    words = [word for bit, word in _THROTTLING.items() if reasons & bit]
    if reasons & _HARDWARE_SLOWDOWN and not reasons & _HARDWARE_CAUSES:
        words.append("slowed by hardware")
    return words


def _ask(question: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return question(*arguments)
    except pynvml.NVMLError as error:
        if error.value in _LOST:
            raise
        return None
    except UnicodeDecodeError:  # the bindings decode names strictly
        return None


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


def _text(value: str | bytes | None) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
