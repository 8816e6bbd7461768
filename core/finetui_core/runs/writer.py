"""Writing the records of a run so that nothing here can ever stop the training.

A record is one line and one write(2), so that a kill at any moment tears the last line at most. When the
disk is full, records wait in memory and are tried again with the next one.
"""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from finetui_core.files import open_private, write_atomically
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.process import host_name, process_identity
from finetui_core.runs.records import Attempt, encode_line
from finetui_core.runs.records import Heartbeat as Beat
from finetui_core.secrets import redacted, redacted_line

_MOST_WAITING = 10_000  # records kept while they cannot be written
_SYNC_EVERY = 5.0  # seconds; what a power cut may cost
_RETRY_FOR = 60.0  # seconds of trying to write an attempt's record on a full disk


class RecordFile:
    """Appends records to one file; any thread may. No failure of the disk is raised.

    A record that cannot be written waits for the next `append`; of more than 10,000 old ones are given up
    and counted in `lost`. With `durable` each record is on disk when `append` returns.
    """

    def __init__(self, path: Path, durable: bool = False) -> None:
        self.path = path
        self.lost = 0
        self._durable = durable
        self._appending = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self._descriptor: int | None = None

    def append(self, record: Mapping[str, Any] | msgspec.Struct) -> None:
        """Add one record as one line, without the values of secret variables of the environment.

        Raises TypeError where JSON cannot hold it.
        """
        line = redacted_line(encode_line(record))
        with self._appending:
            self._waiting.append(line)
            if len(self._waiting) > _MOST_WAITING:
                del self._waiting[1]  # the first may be half written
                self.lost += 1
            with suppress(OSError):
                self._write_waiting()
                if self._durable:
                    self.sync()

    def sync(self) -> None:
        """Flush to disk; any thread may call it."""
        with suppress(OSError):
            if self._descriptor is not None:
                os.fsync(self._descriptor)

    def close(self) -> None:
        """Try once more what waits, flush and close. What still waits counts as lost."""
        with suppress(OSError):
            self._write_waiting()
        self.sync()
        self.lost += len(self._waiting)
        self._waiting.clear()
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None

    def _write_waiting(self) -> None:
        if self._descriptor is None:
            self._descriptor = self._open()
        while self._waiting:
            line = self._waiting[0]
            rest = line[os.write(self._descriptor, line) :]
            if rest:
                self._waiting[0] = rest
            else:
                self._waiting.popleft()

    def _open(self) -> int:
        """A half line that an earlier writer left must not swallow the first record of this one."""
        descriptor = open_private(self.path, os.O_RDWR | os.O_APPEND)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                os.write(descriptor, b"\n")
        except OSError:
            os.close(descriptor)
            raise
        return descriptor


class RunWriter:
    """What the trainer has to say: metrics of an attempt, and the events of the run.

    Metrics are flushed to disk every 5 seconds by a thread, events at once.
    """

    def __init__(self, paths: RunPaths, attempt: int) -> None:
        self._attempt = attempt
        self._metrics = RecordFile(paths.metrics(attempt))
        self._events = RecordFile(paths.events, durable=True)
        self._closing = threading.Event()
        self._syncing = threading.Thread(target=self._sync_often, name="sync", daemon=True)
        self._syncing.start()

    @property
    def lost(self) -> int:
        """How many records had to be given up."""
        return self._metrics.lost + self._events.lost

    def metric(self, record: Mapping[str, Any]) -> None:
        """Add the metrics of one step; the time is added as "t"."""
        self._metrics.append({"t": time.time(), **record})

    def event(self, type: str, **fields: Any) -> None:
        """Add an event without the secrets in its texts; time and attempt are added as "t" and "attempt"."""
        self._events.append({"t": time.time(), "type": type, "attempt": self._attempt, **redacted(fields)})

    def sync(self) -> None:
        """Flush the metrics to disk, as is due before a checkpoint is committed."""
        self._metrics.sync()

    def close(self) -> None:
        self._closing.set()
        self._syncing.join()
        self._metrics.close()
        self._events.close()

    def _sync_often(self) -> None:
        while not self._closing.wait(_SYNC_EVERY):
            self._metrics.sync()


class Heartbeat:
    """Writes heartbeat.json every `every` seconds from a thread, for as long as the context lasts."""

    def __init__(self, paths: RunPaths, every: float = 2.0) -> None:
        self._path = paths.heartbeat
        self._every = every
        self._seq = 0
        self._step = 0
        self._total_steps = 0
        self._phase = "loading"
        self._moved_at = time.monotonic()
        self._due = threading.Event()
        self._closing = False
        self._beating = threading.Thread(target=self._beat_often, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._beating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._due.set()
        self._beating.join()

    def update(
        self, step: int | None = None, phase: str | None = None, total_steps: int | None = None
    ) -> None:
        """Say where the training is. A new step or phase resets `step_age_s`; a phase is written at once."""
        if total_steps is not None:
            self._total_steps = total_steps
        if step is not None and step != self._step:
            self._step = step
            self._moved_at = time.monotonic()
        if phase is not None and phase != self._phase:
            self._phase = phase
            self._moved_at = time.monotonic()
            self._due.set()

    def _beat_often(self) -> None:
        while True:
            self._due.clear()
            closing = self._closing
            self._beat()
            if closing:
                return
            self._due.wait(self._every)

    def _beat(self) -> None:
        self._seq += 1
        beat = Beat(
            seq=self._seq,
            t=time.time(),
            step=self._step,
            total_steps=self._total_steps,
            step_age_s=time.monotonic() - self._moved_at,
            phase=self._phase,
            pid=os.getpid(),
        )
        with suppress(OSError):
            write_atomically(self._path, msgspec.json.encode(beat), durable=False)


def attempt_of_this_process(number: int) -> Attempt:
    """Attempt `number` as it begins, supervised by this process and without a trainer yet."""
    ticks, boot = process_identity(os.getpid())
    return Attempt(
        attempt=number,
        pid=0,
        start_ticks=0,
        boot_id=boot,
        host=host_name(),
        supervisor_pid=os.getpid(),
        supervisor_start_ticks=ticks,
        started_at=time.time(),
    )


def write_attempt(paths: RunPaths, attempt: Attempt, node: int = 0) -> Attempt:
    """Write the file of an attempt, on another host than the first that of its node, and return the attempt.

    A full disk is waited for a while, then told on stderr; it never harms the trainer.
    """
    content = msgspec.json.encode(attempt)
    path = paths.node_attempt(attempt.attempt, node) if node else paths.attempt(attempt.attempt)
    deadline = time.monotonic() + _RETRY_FOR
    while True:
        try:
            write_atomically(path, content)
            return attempt
        except OSError as error:
            if time.monotonic() > deadline:
                print(f"attempt {attempt.attempt} cannot be recorded: {error}", file=sys.stderr)
                return attempt
        time.sleep(1.0)
