"""A disk that fails on purpose: the n-th call of one kind, by this process, on files below some folders.

The code under test runs as it is; only `os` is shimmed. What a library writes by other means (its own C or Rust)
is not seen here: a checkpoint is written by our own code alone, which `test_train_saving.py` proves by its bytes.
"""

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CALLS = ("open", "write", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir")
SHORT = 0
"""In place of an error number: the call takes half of what it is given."""
ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EINTR, SHORT)


@dataclass(frozen=True, slots=True)
class Fault:
    """The call that fails: its kind, how many of that kind go well before it, and with which error.

    With `lasting` all calls of the kind fail from there on, as on a disk that stays full.
    """

    call: str
    index: int
    error: int
    lasting: bool = False

    def __str__(self) -> str:
        name = "short" if self.error == SHORT else errno.errorcode[self.error]
        return f"{self.call} {self.index} {name}{' and on' if self.lasting else ''}"


@dataclass(slots=True)
class Disk:
    """What was called below the watched places, and how often the fault struck."""

    places: Sequence[Path]
    fault: Fault | None
    calls: Counter[str] = field(default_factory=Counter)
    struck: int = 0

    def watches(self, target: Any, directory: int | None) -> bool:
        """A file being written under a temporary name counts as the one that it becomes."""
        path = Path(_path_of(target, directory))
        name = path.name.removeprefix(".").partition(".")[0] if path.name.startswith(".") else path.name
        return any(place in (path, *path.parents, path.with_name(name or "x")) for place in self.places)

    def strikes(self, call: str) -> bool:
        """Count one call, and say whether it is to fail."""
        number = self.calls[call]
        self.calls[call] += 1
        fault = self.fault
        if fault is None or fault.call != call:
            return False
        hit = number >= fault.index if fault.lasting else number == fault.index
        self.struck += hit
        return hit


def _path_of(target: Any, directory: int | None) -> str:
    """The absolute path that a call is about: it is given a descriptor, or a path, perhaps below a descriptor."""
    if isinstance(target, int):
        try:
            return str(Path(f"/proc/self/fd/{target}").readlink())
        except OSError:
            return ""
    text = os.fsdecode(target)
    if directory is not None and not text.startswith("/"):
        return f"{_path_of(directory, None)}/{text}"
    return os.path.abspath(text)  # noqa: PTH100 - never resolves a link


@contextmanager
def faulty(places: Sequence[Path], fault: Fault | None = None) -> Iterator[Disk]:
    """Within the block, `fault` strikes what is done below `places`; without one, calls are only counted."""
    disk = Disk(places, fault)
    real = {call: getattr(os, call) for call in CALLS}

    def shim(call: str) -> Callable[..., Any]:
        def called(target: Any, *arguments: Any, **named: Any) -> Any:
            directory = named.get("dir_fd", named.get("src_dir_fd"))
            if not disk.watches(target, directory) or not disk.strikes(call):
                return real[call](target, *arguments, **named)
            assert fault is not None
            if fault.error == SHORT:
                (buffer,) = arguments
                return real[call](target, memoryview(buffer)[: max(1, len(buffer) // 2)])
            raise OSError(fault.error, os.strerror(fault.error), None if isinstance(target, int) else target)

        return called

    try:
        for call in CALLS:
            setattr(os, call, shim(call))
        yield disk
    finally:
        for call, function in real.items():
            setattr(os, call, function)


def every_fault(calls: Counter[str], *, lasting: bool) -> Iterator[Fault]:
    """Each index of each kind of call that was counted, with each error that it can have."""
    for call in CALLS:
        for index in range(calls[call]):
            for error in ERRORS:
                if error != SHORT or call == "write":
                    yield Fault(call, index, error, lasting)
