"""Memory that a training step on a processor frees stays with the process.

glibc hands back what is freed of a large block, so that the next step gets new pages, each of which the kernel clears
first: a thirtieth to a twentieth of a step. `mallopt(3)`, https://man7.org/linux/man-pages/man3/mallopt.3.html
"""

import ctypes
import os
from collections.abc import Mapping

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # names of mallopt in malloc.h
_MOST = 2**31 - 1


def keep_freed_memory(environment: Mapping[str, str] = os.environ) -> bool:
    """Take blocks of every size from the heap and keep it; whether that was done.

    Not where the C library has no such setting, nor where the user has set the allocator by the environment.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in environment):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, _MOST))
