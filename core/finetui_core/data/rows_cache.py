"""Tokenised rows that were made before, found again by what decides them: file, tokenizer, template and code.

Each entry is one safetensors file in the user's cache folder, which nobody else can read. It is believed only where
it is this user's own regular file and its digest is right; otherwise it is made anew. The format is safetensors' own:
eight bytes with the length of a JSON header, the header, and the tensors behind each other
(https://github.com/huggingface/safetensors#format). The header's room is fixed, so that tokens can be written before
their number is known.
"""

import fcntl
import hashlib
import json
import os
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np

from finetui_core.data.file_rows import FileRows, Findings, Fitting, source_sha256
from finetui_core.data.token_rows import TOKEN_BYTES, FileContent
from finetui_core.files import open_own, open_private, private_folder
from finetui_core.folders import cache_folder

MOST_BYTES = 4 << 30
"""Of all entries together; those that were not asked for the longest go first."""
_ROOM = 2048
"""Bytes of the header, padded with spaces as the format allows."""
_BEGIN = 8 + _ROOM
_LEFT_BEHIND = 3600.0
"""Seconds after which a file that was never finished is removed."""
_PIECE = 1 << 20
_COLUMNS = ("lines", "wholes", "lengths", "learned")


def rows_folder() -> Path:
    return cache_folder() / "rows"


def key_of(reading: str, source: str, format: str, fitting: Fitting) -> str | None:
    """What tells the rows of a source from any others; `reading` is `Reading.key`. None for what is no file."""
    sha256 = source_sha256(source)
    if sha256 is None:
        return None
    parts = [reading, source, format, sha256, fitting.train_on, fitting.max_length, fitting.overlength]
    return hashlib.sha256(json.dumps(parts).encode(errors="surrogateescape")).hexdigest()


@dataclass(frozen=True, slots=True)
class Kept:
    """Rows and how they were had: "tokenised", "kept" from before, or "damaged" if what was kept was made anew."""

    rows: FileRows
    how: str


def kept_or_made(key: str | None, source: str, make: Callable[["RowsFile"], FileRows]) -> Kept:
    """The rows of the entry `key`, or those that `make` writes, kept for the next time where they are complete.

    A folder that cannot be written costs time only. Raises what `make` does.
    """
    found, how = (None, "tokenised") if key is None else _find(key, source)
    if found is not None:
        return Kept(found, "kept")
    if how == "damaged":
        with suppress(OSError):  # a log on a full disk must not end a run
            print(f"the kept tokenised rows of {source} are damaged and are made anew", file=sys.stderr)
    if key is not None:
        with suppress(OSError), _alone(key):
            found, _ = _find(key, source)  # whoever had the entry before may have made it
            return Kept(_make_and_keep(key, make), how) if found is None else Kept(found, "kept")
    return Kept(make(RowsFile(tempfile.TemporaryFile())), how)


@contextmanager
def _alone(key: str) -> Iterator[None]:
    """Have others who want this entry wait until it is there. The system lets go where a process dies."""
    descriptor = open_private(private_folder(rows_folder()) / f".{key}.lock", os.O_WRONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def was_tried(key: str) -> bool:
    """Whether this tokenizer and template came through their trial before; only a mark of this user's own counts."""
    try:
        os.close(open_own(rows_folder() / f"{key}.tried"))
    except OSError:
        return False
    return True


def keep_tried(key: str) -> None:
    """Mark that they came through their trial."""
    with suppress(OSError):
        os.close(open_private(private_folder(rows_folder()) / f"{key}.tried", os.O_WRONLY))


class RowsFile:
    """A file of rows while it is written: the sink of `file_rows.tokenize`."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        file.write(bytes(_BEGIN))

    def write(self, content: bytes) -> None:
        self._digest.update(content)
        self._file.write(content)

    def content(self, tokens: int) -> FileContent:
        self._file.flush()
        return FileContent(self._file, _BEGIN, tokens)

    def finish(self, key: str, rows: FileRows) -> None:
        """Write what is beside the tokens, and the header. Raises OSError."""
        facts = np.frombuffer(msgspec.json.encode(rows.found), np.uint8)
        columns = {name: getattr(rows, name).astype("<i8", copy=False) for name in _COLUMNS}
        tensors = {**columns, "prompts": rows.prompts, "digests": rows.digests, "facts": facts}
        end = TOKEN_BYTES * rows.content.tokens
        header: dict[str, Any] = {"content": _described("U8", (end,), 0, end)}
        for name, tensor in tensors.items():
            start, end = end, end + tensor.nbytes
            header[name] = _described("I64" if name in _COLUMNS else "U8", tensor.shape, start, end)
            self.write(tensor.tobytes())
        header["__metadata__"] = {"key": key, "sha256": self._digest.hexdigest()}
        text = json.dumps(header, separators=(",", ":")).encode()
        self._file.flush()
        os.pwrite(self._file.fileno(), struct.pack("<Q", _ROOM) + text.ljust(_ROOM), 0)


def _described(dtype: str, shape: tuple[int, ...], start: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def _make_and_keep(key: str, make: Callable[[RowsFile], FileRows]) -> FileRows:
    folder = private_folder(rows_folder())
    path = folder / f"{key}.safetensors"
    temporary = folder / f".{key}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        opened = os.fdopen(open_private(temporary, os.O_RDWR | os.O_EXCL), "w+b")
        sink = RowsFile(opened)
        rows = make(sink)
        if not rows.complete:
            return rows
        with suppress(OSError):  # the rows are there even if the last bytes of the entry have no room
            sink.finish(key, rows)
            temporary.replace(path)
            _bound(folder, path)
    finally:
        temporary.unlink(missing_ok=True)
    return rows


def _find(key: str, source: str) -> tuple[FileRows | None, str]:
    """The entry, or why there is none."""
    path = rows_folder() / f"{key}.safetensors"
    try:
        file = os.fdopen(open_own(path), "rb")
    except (FileNotFoundError, NotADirectoryError):
        return None, "tokenised"
    except OSError:  # a link, a pipe, or another user's
        return None, "damaged"
    try:
        rows = _read(file, key, source)
    except (OSError, ValueError, KeyError, TypeError):
        file.close()
        with suppress(OSError):
            path.unlink()
        return None, "damaged"
    with suppress(OSError):
        os.utime(path)
    return rows, "kept"


def _read(file: BinaryIO, key: str, source: str) -> FileRows:
    """The rows of an open entry. Raises ValueError, KeyError or TypeError where it is not what was written."""
    if struct.unpack("<Q", file.read(8).ljust(8))[0] != _ROOM:
        raise ValueError("another format")
    header = json.loads(file.read(_ROOM))
    if header["__metadata__"]["key"] != key:
        raise ValueError("another entry")
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    if digest.hexdigest() != header["__metadata__"]["sha256"]:
        raise ValueError("damaged")

    def tensor(name: str, dtype: str) -> Any:
        start, end = header[name]["data_offsets"]
        content = os.pread(file.fileno(), end - start, _BEGIN + start)
        return np.frombuffer(content, dtype).reshape(header[name]["shape"])

    found = msgspec.json.decode(tensor("facts", "u1").tobytes(), type=Findings)
    lines, wholes, lengths, learned = (tensor(name, "<i8").astype(np.int64) for name in _COLUMNS)
    prompts, digests = tensor("prompts", "u1"), tensor("digests", "u1")
    content = FileContent(file, _BEGIN, header["content"]["data_offsets"][1] // TOKEN_BYTES)
    return FileRows(source, found, lines, wholes, lengths, learned, prompts, digests, content)


def _bound(folder: Path, newest: Path) -> None:
    """Remove the entries that were not asked for the longest past `MOST_BYTES`, and what killed processes left."""
    now = time.time()
    entries = []
    for path in folder.iterdir():
        status = path.lstat()
        if path.name.startswith("."):
            if now - status.st_mtime > _LEFT_BEHIND:
                path.unlink(missing_ok=True)
        elif path != newest:
            entries.append((status.st_mtime, status.st_size, path))
    room = MOST_BYTES - newest.stat().st_size
    for _, size, path in sorted(entries, reverse=True):
        room -= size
        if room < 0:
            path.unlink(missing_ok=True)
