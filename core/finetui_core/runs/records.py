"""The shapes of what is written into a run directory, and how one record becomes one line.

Lines (metrics, events, system samples) are open-ended and read as plain dicts; the small files that are
written whole have types. Unknown fields are ignored when reading, so that older readers stay useful.
"""

import errno
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

_PIECE = 1 << 16
LARGEST = 1 << 22
"""Bytes of the largest small file: one that is longer was not written by ftui."""

Record = dict[str, Any]
Small = TypeVar("Small", bound=msgspec.Struct)


class Again(msgspec.Struct, frozen=True):
    """The restart that the supervisor waits for: at which time (unix seconds), and the how-manieth of how many."""

    at: float
    number: int
    most: int


class End(msgspec.Struct, frozen=True):
    """How an attempt ended, as the supervisor saw it. `at` is in unix seconds.

    `cause` is one of `causes.CAUSES`, "" in records of older versions; `reason` says it in words. With `again`, the
    supervisor lives on and starts the next attempt.
    """

    at: float
    exit_code: int | None = None
    signal: int | None = None
    oom: bool = False
    reason: str = ""
    cause: str = ""
    again: Again | None = None


class Attempt(msgspec.Struct, frozen=True):
    """One start of the trainer. `pid` is 0 until the trainer runs; `end` is None until it has ended.

    A process is known by pid, start ticks and boot id together: pids are used again. `device` is what the queue
    gave it: GPUs by their names, with a comma between them, or "cpu"; None for a run that was started by hand.
    `told` is the signal by which somebody told the supervisor to end. The two sizes are those that the trainer uses
    instead of the recipe's, once memory ran out with these; their product is the same. `inexact` says that it was to
    go on even where it could not go on exactly.
    """

    attempt: int
    pid: int
    start_ticks: int
    boot_id: str
    host: str
    supervisor_pid: int
    supervisor_start_ticks: int
    started_at: float
    resumed_from: str | None = None
    end: End | None = None
    device: str | None = None
    told: int | None = None
    per_device_train_batch_size: int | None = None
    gradient_accumulation_steps: int | None = None
    inexact: bool = False


class NodeEnd(msgspec.Struct, frozen=True):
    """Why the processes of another host than the first ended; `by_peer`: only since those elsewhere had."""

    exit_code: int
    what: str
    by_peer: bool = False


class Queued(msgspec.Struct, frozen=True):
    """queued.json: the run's place in the queue, until attempt number `attempt` begins; the lowest is next.

    Without a place the run was taken out of the queue; `fault` is why, where it could not be started. A run with a
    `job` waits elsewhere: in Slurm as the job of this number, or with "" for somebody to submit its job.
    """

    place: float | None
    attempt: int = 1
    since: float = 0.0
    fault: str = ""
    job: str | None = None


class Heartbeat(msgspec.Struct, frozen=True):
    """The trainer's sign of life. `step_age_s`: seconds since the last step ended or the phase changed."""

    seq: int
    t: float
    step: int
    total_steps: int
    step_age_s: float
    phase: str
    pid: int


class Consent(msgspec.Struct, frozen=True):
    """Who agreed that a model's own code runs, when (unix seconds), and which version: `name@commit or sha256`."""

    pin: str
    at: float
    by: str


class Identity(msgspec.Struct, frozen=True):
    """run.json: what the run is, written once."""

    id: str
    created: float
    schema: int = 1
    name: str = ""
    model: str = ""
    method: str = ""
    versions: dict[str, str] = {}
    recipe_sha256: str = ""
    data_sha256: str | None = None
    argv: list[str] = []
    accept_data_errors: bool = False
    remote_code: Consent | None = None


def encode_line(record: Mapping[str, Any] | msgspec.Struct) -> bytes:
    """One record as one line of JSON, newline included.

    JSON has no NaN and no infinity: such a number at the top level of a mapping becomes null, and the
    field "nonfinite" says which it was ("nan", "inf" or "-inf"). Raises TypeError on other types.
    """
    if isinstance(record, Mapping):
        nonfinite = {
            key: str(float(value))
            for key, value in record.items()
            if isinstance(value, float) and not math.isfinite(value)
        }
        if nonfinite:
            record = {**record, "nonfinite": nonfinite}
    try:
        return msgspec.json.encode(record, enc_hook=_encode_other) + b"\n"
    except UnicodeEncodeError:
        plain = msgspec.to_builtins(record, enc_hook=_encode_other)
        return msgspec.json.encode(_encodable(plain)) + b"\n"


def decode_line(line: bytes) -> Record | None:
    """The record in one line, or None where the line is not a JSON object."""
    try:
        record = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def read_small(path: Path, kind: type[Small]) -> Small | None:
    """The content of a small JSON file, or None where it is missing, unreadable or not of that kind."""
    try:
        return msgspec.json.decode(content_of(path), type=kind)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def content_of(path: Path, most: int = LARGEST) -> bytes:
    """All of a small file. Raises OSError, also where it has more than `most` bytes.

    A pipe in its place, which could be waited for without end, is empty.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    content = bytearray()
    try:
        while piece := os.read(descriptor, _PIECE):
            content += piece
            if len(content) > most:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    finally:
        os.close(descriptor)
    return bytes(content)


def _encode_other(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a record cannot hold a {type(value).__name__}")


def _encodable(value: Any) -> Any:
    """`value` with the lone surrogates of undecodable file names replaced: they have no UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encodable(part) for part in value]
    return value
