"""Telling a want of memory from other errors, whichever device it is of."""

import torch

_SAYINGS = ("can't allocate memory", "out of memory")


def shortage_of(error: BaseException) -> BaseException | None:
    """The want of memory that `error` is, or that lies behind it; None where it is something else."""
    cause: BaseException | None = error
    while cause is not None:
        is_shortage = isinstance(cause, (MemoryError, torch.OutOfMemoryError))
        if is_shortage or any(saying in str(cause) for saying in _SAYINGS):
            return cause
        cause = cause.__cause__
    return None


def is_of_gpu(shortage: BaseException) -> bool:
    """Whether it was a GPU that had no memory left; else it was the machine."""
    return isinstance(shortage, torch.OutOfMemoryError) or any(
        name in str(shortage).lower() for name in ("cuda", "hip", "cublas")
    )


def free_cached() -> None:
    """Give back what torch holds of the GPU for later use, so that smaller pieces find room."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
