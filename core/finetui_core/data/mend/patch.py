"""A patch backwards: what turns a mended file into its source again, as a gzip stream of copy, skip and insert.

The cost is what the mend took out, compressed: a copied row costs nothing, a dropped or changed one its old
bytes. Where the source was no JSONL nothing was copied, and the patch holds the whole source.
"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from finetui_core.errors import InputError, Problem

_COPY, _SKIP, _INSERT = b"c", b"s", b"i"
_HEAD = struct.Struct("<cQ")
_CHUNK = 1 << 20


class PatchWriter:
    """Called for each piece of the mended file and of the source, in order; neighbours of a kind become one."""

    def __init__(self, file: BinaryIO) -> None:
        self._packed = gzip.GzipFile("", "wb", 6, file, mtime=0)
        self._kind, self._length = b"", 0
        self._inserted = bytearray()

    def copy(self, length: int) -> None:
        """The next `length` bytes are the same in both."""
        self._add(_COPY, length)

    def skip(self, length: int) -> None:
        """The next `length` bytes of the mended file are not in the source."""
        self._add(_SKIP, length)

    def insert(self, content: bytes) -> None:
        """The source has `content` here."""
        self._add(_INSERT, len(content))
        self._inserted += content
        if len(self._inserted) >= _CHUNK:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._packed.close()

    def _add(self, kind: bytes, length: int) -> None:
        if kind != self._kind:
            self._flush()
        self._kind, self._length = kind, self._length + length

    def _flush(self) -> None:
        if self._length:
            self._packed.write(_HEAD.pack(self._kind, self._length))
            self._packed.write(self._inserted)
            self._inserted.clear()
        self._length = 0


def patched(mended: BinaryIO, patch: BinaryIO, where: str) -> Iterator[bytes]:
    """The bytes of the source, in pieces of at most 1 MiB. Raises InputError where the patch is damaged."""
    try:
        with gzip.GzipFile(fileobj=patch) as packed:
            while head := packed.read(_HEAD.size):
                kind, length = _HEAD.unpack(head)
                if kind not in (_COPY, _SKIP, _INSERT):
                    raise ValueError(f"unknown step {kind!r}")
                for piece in _pieces(packed if kind == _INSERT else mended, length):
                    if kind != _SKIP:
                        yield piece
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise InputError(
            Problem(f"the undo file is damaged: {error}", where, "Copy it again from where it was made.")
        ) from error


def _pieces(file: BinaryIO | gzip.GzipFile, length: int) -> Iterator[bytes]:
    while length:
        piece = file.read(min(length, _CHUNK))
        if not piece:
            raise EOFError("it ends too early")
        length -= len(piece)
        yield piece
