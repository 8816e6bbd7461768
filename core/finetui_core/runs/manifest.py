"""The manifest of a checkpoint: which files it has, every byte of them by its hash, and whose it is.

It is written last and holds a hash of itself, so that an edited number, a dropped entry, an added file or the
manifest of another checkpoint is noticed as a flipped bit is.
"""

import errno
import hashlib
import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import msgspec

from finetui_core.runs.records import content_of

MANIFEST = "manifest.json"
SCHEMA = 2
"""Version 1 had neither `run` nor a hash of itself; it can still be read."""
_PIECE = 4 << 20
"""Bytes hashed and written at a time."""
_AHEAD = 8
"""Pieces that may be written but not yet hashed: more would hold copies of a GPU's tensors in memory."""
_FLUSH_EVERY = 32 << 20
"""Bytes that the disk is given while the next ones are written and hashed."""

Buffer = bytes | bytearray | memoryview


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a checkpoint."""

    bytes: Annotated[int, msgspec.Meta(ge=0)]
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`files` by their paths inside the checkpoint, `facts` what the writer noted of its circumstances.

    `run` is the id of the run; `sha256` that of this manifest without it.
    """

    schema: int
    step: Annotated[int, msgspec.Meta(ge=0)]
    facts: dict[str, Any]
    files: dict[str, Entry]
    run: str = ""
    sha256: str = ""


class Unsound(Exception):
    """A checkpoint that cannot be trusted; the text says why."""


def encode(manifest: Manifest) -> bytes:
    """The bytes of manifest.json, with its own hash in them."""
    sealed = msgspec.structs.replace(manifest, sha256=_own_sha256(manifest))
    return msgspec.json.format(msgspec.json.encode(sealed), indent=1) + b"\n"


def decode(content: bytes) -> Manifest:
    """Raises Unsound where it is not, byte for byte, what `encode` wrote."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unsound(f"{MANIFEST} cannot be read: {error}") from error
    if manifest.schema == 1 and not manifest.run and not manifest.sha256:
        return manifest
    if manifest.schema != SCHEMA:
        raise Unsound(f"{MANIFEST} has the unknown version {manifest.schema}")
    if manifest.sha256 != _own_sha256(manifest) or content != encode(manifest):
        raise Unsound(f"{MANIFEST} was changed after it was written")
    return manifest


def _own_sha256(manifest: Manifest) -> str:
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(manifest, sha256=""))).hexdigest()


def verified(folder: Path) -> Manifest:
    """The manifest of a checkpoint that has the files it names and no other, each with its size and hash.

    Raises Unsound with the first difference, and OSError.
    """
    try:
        if not stat.S_ISREG((folder / MANIFEST).lstat().st_mode):
            raise Unsound(f"{MANIFEST} is not a plain file")
        manifest = decode(content_of(folder / MANIFEST))
    except FileNotFoundError as error:
        raise Unsound(f"{MANIFEST} is missing") from error
    for name in manifest.files:
        if not is_inside(name):
            raise Unsound(f"{MANIFEST} names {name!r}, which is not a file of the checkpoint")
    there = set(_paths_in(folder)) - {MANIFEST}
    expected = set(manifest.files) | {
        str(parent) for name in manifest.files for parent in PurePosixPath(name).parents if parent.name
    }
    if missing := sorted(expected - there):
        raise Unsound(f"{missing[0]} is missing")
    if unknown := sorted(there - expected):
        raise Unsound(f"{unknown[0]} is in the folder but not in {MANIFEST}")
    for name, entry in manifest.files.items():
        compare_file(folder, name, entry)
    return manifest


def has_its_files(folder: Path, manifest: Manifest) -> bool:
    """Whether every file is there with its size; costs no reading."""
    try:
        sizes = {name: (folder / name).lstat().st_size for name in manifest.files}
    except OSError:
        return False
    return all(sizes[name] == entry.bytes for name, entry in manifest.files.items())


def is_inside(name: str) -> bool:
    """Whether `name` is a plain path below the checkpoint's folder."""
    path = PurePosixPath(name)
    return (
        bool(path.parts)
        and not path.is_absolute()
        and ".." not in path.parts
        and str(path) == name
        and "\0" not in name
        and name != MANIFEST
    )


def _paths_in(folder: Path) -> Iterable[str]:
    for path in folder.rglob("*"):
        yield str(path.relative_to(folder))


def compare_file(folder: Path, name: str, entry: Entry) -> None:
    """Raises Unsound where the file is not the one of the manifest."""
    descriptor = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Unsound(f"{name} is not a plain file")
        if found.st_size != entry.bytes:
            raise Unsound(f"{name} has {found.st_size} bytes, not {entry.bytes}")
        if hashlib.file_digest(stream, "sha256").hexdigest() != entry.sha256:
            raise Unsound(f"{name} is damaged (its sha256 differs from the manifest)")


def write_sealed(path: Path, content: Iterable[Buffer]) -> Entry:
    """Write a new file to disk and flush it, hashing the bytes from memory meanwhile. Raises OSError.

    What one thread writes, a second one hashes and a third one flushes, so that the time is that of the slowest.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    digest, size, unflushed = hashlib.sha256(), 0, 0
    hashed: deque[Future[None]] = deque()
    flushed: Future[None] | None = None
    try:
        with ThreadPoolExecutor(1, "hash") as hashing, ThreadPoolExecutor(1, "flush") as flushing:
            for piece in _pieces(content):
                hashed.append(hashing.submit(digest.update, piece))
                _write_all(descriptor, piece)
                size, unflushed = size + len(piece), unflushed + len(piece)
                if len(hashed) > _AHEAD:
                    hashed.popleft().result()
                if unflushed >= _FLUSH_EVERY:
                    if flushed is not None:
                        flushed.result()
                    flushed, unflushed = flushing.submit(os.fsync, descriptor), 0
            if flushed is not None:
                flushed.result()
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return Entry(size, digest.hexdigest())


def _pieces(content: Iterable[Buffer]) -> Iterator[memoryview]:
    for buffer in content:
        whole = memoryview(buffer).cast("B")
        for start in range(0, len(whole), _PIECE):
            yield whole[start : start + _PIECE]


def _write_all(descriptor: int, piece: memoryview) -> None:
    """The system may take a part of what it is given; one that takes nothing at all is a fault."""
    while piece:
        written = os.write(descriptor, piece)
        if written == 0:
            raise OSError(errno.EIO, "the disk took none of the bytes")
        piece = piece[written:]
