"""What tensors are alive while torch runs: bytes by kind, and the most that each part of the work reached."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

ROUNDING = 512  # bytes; CUDA's caching allocator hands out multiples of it


class LiveMemory(TorchDispatchMode):
    """Counts the storages that operations make, from their birth to their death.

    A storage counts as `kind` and raises the peak of `part`, the part of the work that goes on; see `begin`. Fake
    tensors have storages too, with a size and no memory.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kind, self.part = "activations", ""
        self.peaks: dict[str, dict[str, int]] = {}
        self.alive: dict[str, int] = {}
        self._known: dict[int, tuple[str, int, Any]] = {}
        self._total = 0
        self._highest: dict[str, int] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and the guard against it costs a tenth of the time

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self._see(result)
        elif isinstance(result, tuple | list):
            for one in result:
                if isinstance(one, torch.Tensor):
                    self._see(one)
        return result

    def _see(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._known:
            self._count(storage, self.kind, storage.nbytes())

    def hold(self, tensor: torch.Tensor, kind: str, size: int | None = None) -> None:
        """Count a tensor's storage as `kind`, whatever it was counted as before; `size` where it is not its own."""
        storage = tensor.untyped_storage()
        before = self._known.get(storage._cdata)
        if before is not None:
            self._add(before[0], -before[1])
        self._count(storage, kind, storage.nbytes() if size is None else size)

    def _count(self, storage: Any, kind: str, size: int) -> None:
        key = storage._cdata
        rounded = -(-size // ROUNDING) * ROUNDING
        self._known[key] = (kind, rounded, weakref.ref(storage, lambda _: self._forget(key)))
        self._add(kind, rounded)
        if self.part and self._total > self._highest[self.part]:
            self._highest[self.part] = self._total
            self.peaks[self.part] = dict(self.alive)

    def _add(self, kind: str, size: int) -> None:
        self.alive[kind] = self.alive.get(kind, 0) + size
        self._total += size

    def _forget(self, key: int) -> None:
        known = self._known.pop(key, None)
        if known is not None:
            self._add(known[0], -known[1])

    def begin(self, part: str, kind: str = "activations") -> None:
        """From here on the work is `part` and makes `kind`; what is alive already counts for its peak."""
        self.part, self.kind = part, kind
        if self._total > self._highest.get(part, -1):
            self._highest[part] = self._total
            self.peaks[part] = dict(self.alive)

    @contextmanager
    def counting(self, kind: str) -> Iterator[None]:
        """What is made inside the block is `kind`."""
        before, self.kind = self.kind, kind
        try:
            yield
        finally:
            self.kind = before
