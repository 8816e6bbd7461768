"""Tokenised rows that stay in a file: only what says where each row stands is in memory.

Rows are read when they are asked for and not mapped: a mapped file counts as this process's memory once it has been
gone through, and one that another machine shortens ends the process that looks at it.
"""

import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from finetui_core.data.render import Example

TOKEN_BYTES = 5
"""Of each token: its number in four bytes and, behind those of its row, a byte that says whether it is learned."""
Ints = NDArray[np.int64]


def row_bytes(ids: NDArray[np.int32], mask: NDArray[np.bool_]) -> bytes:
    """One row as it stands in the file, little-endian."""
    return ids.astype("<i4", copy=False).tobytes() + mask.tobytes()


class Content(Protocol):
    """Where the tokens of rows are read from; `tokens` is their number."""

    @property
    def tokens(self) -> int: ...

    def read(self, start: int, count: int) -> bytes:
        """The bytes of the row that begins after `start` tokens and has `count`. Raises OSError."""


class FileContent:
    """Rows one after the other in an open file, from the byte `begin` on."""

    def __init__(self, file: BinaryIO, begin: int, tokens: int) -> None:
        self._file, self._begin, self.tokens = file, begin, tokens

    def read(self, start: int, count: int) -> bytes:
        size = TOKEN_BYTES * count
        content = os.pread(self._file.fileno(), size, self._begin + TOKEN_BYTES * start)
        if len(content) < size:
            raise OSError("the file of tokenised rows has become shorter")
        return content


@dataclass(frozen=True, slots=True)
class _Joined:
    """The rows of one content and, counted on from its end, those of another."""

    first: Content
    second: Content

    @property
    def tokens(self) -> int:
        return self.first.tokens + self.second.tokens

    def read(self, start: int, count: int) -> bytes:
        if start < self.first.tokens:
            return self.first.read(start, count)
        return self.second.read(start - self.first.tokens, count)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where each row comes from: `[i]` is `file:line`, or the file alone where the line is 0."""

    files: tuple[str, ...]
    file_of: NDArray[np.int32]
    lines: Ints

    @classmethod
    def of(cls, names: Sequence[str]) -> "Sources":
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        file_of = np.array([numbers[name] for name in names], dtype=np.int32)
        return cls(tuple(numbers), file_of, np.zeros(len(names), dtype=np.int64))

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: int) -> str:
        file, line = self.files[self.file_of[index]], int(self.lines[index])
        return f"{file}:{line}" if line else file

    def __add__(self, other: "Sources") -> "Sources":
        return Sources(
            self.files + other.files,
            np.concatenate([self.file_of, other.file_of + np.int32(len(self.files))]),
            np.concatenate([self.lines, other.lines]),
        )


@dataclass(frozen=True, slots=True)
class TokenRows:
    """Many rows: `starts` (tokens before the row in `content`) and `lengths` (its tokens) are [rows]."""

    content: Content
    starts: Ints
    lengths: Ints
    sources: Sources

    @classmethod
    def of(cls, examples: Iterable[Example]) -> "TokenRows":
        """Rows written to a file without a name, which goes with them."""
        file, lengths, names = tempfile.TemporaryFile(), [], []  # noqa: SIM115 (the rows keep it)
        for example in examples:
            file.write(row_bytes(example.ids, example.mask))
            lengths.append(len(example.ids))
            names.append(example.source)
        file.flush()
        ends = np.cumsum([0, *lengths], dtype=np.int64)
        content = FileContent(file, 0, int(ends[-1]))
        return cls(content, ends[:-1], np.diff(ends), Sources.of(names))

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """The ids and the mask of one row, read anew. Raises IndexError, and OSError where the file is gone."""
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        count = int(self.lengths[index])
        content = self.content.read(int(self.starts[index]), count)
        ids = np.frombuffer(content, "<i4", count).astype(np.int32)
        return ids, np.frombuffer(content, np.bool_, count, 4 * count).copy()

    def __add__(self, other: "TokenRows") -> "TokenRows":
        return TokenRows(
            _Joined(self.content, other.content),
            np.concatenate([self.starts, other.starts + self.content.tokens]),
            np.concatenate([self.lengths, other.lengths]),
            self.sources + other.sources,
        )

    @property
    def tokens(self) -> int:
        """Tokens of all rows."""
        return int(self.lengths.sum())
