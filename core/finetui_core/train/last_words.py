"""What an exception that ends the trainer is called: the kind in its "error" event, and the exit code."""

import errno
import sys
from typing import Any

from finetui_core.runs import exit_codes

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_SAYINGS = ("No space left on device", "Disk quota exceeded")


def last_words(error: Exception) -> tuple[int, dict[str, Any]]:
    """(exit code, fields of the "error" event). Imports nothing: memory may be short."""
    problem = {"what": f"{type(error).__name__}: {error}", "where": "", "hint": ""}
    device = _lacks_memory(error)
    if device:
        return exit_codes.OUT_OF_MEMORY, {"kind": "out_of_memory", "device": device, "problems": [problem]}
    kind = "disk_full" if _is_disk_full(error) else "crash"
    return exit_codes.CRASHED, {"kind": kind, "problems": [problem]}


def _lacks_memory(error: Exception) -> str:
    """ "gpu" or "machine", whose memory it is; "" where the error is another."""
    if "torch" not in sys.modules:
        return "machine" if isinstance(error, MemoryError) else ""
    from finetui_core.train.shortage import is_of_gpu, shortage_of

    shortage = shortage_of(error)
    if shortage is None:
        return ""
    return "gpu" if is_of_gpu(shortage) else "machine"


def _is_disk_full(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return True
        if any(saying in str(cause) for saying in _FULL_SAYINGS):
            return True
        cause = cause.__cause__
    return False
