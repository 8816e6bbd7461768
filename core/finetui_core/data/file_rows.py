"""One source → its tokenised rows and all that was found in it, a batch at a time so that memory does not grow.

Nothing here depends on how rows are divided or on what a run accepts: that is `prepare`'s, so that the result can be
kept and serve every run on the same file (see `rows_cache`).
"""

import os
from array import array
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from finetui_core.data.check.catalogue import RULES
from finetui_core.data.check.findings import Hit
from finetui_core.data.check.recipe_rows import recipe_errors
from finetui_core.data.check.rows import row_hits
from finetui_core.data.check.specials import specials_of
from finetui_core.data.conversation import Row
from finetui_core.data.load import RowStream, file_sha256
from finetui_core.data.readers import HUB_PREFIX
from finetui_core.data.render import BatchRenderer, Example
from finetui_core.data.split import prompt_digest, row_digest
from finetui_core.data.stages import fit
from finetui_core.data.token_rows import Content, Ints, Sources, TokenRows, row_bytes
from finetui_core.errors import InputError, Problem

SHOWN = 20
"""Faulty rows of which the problem is kept; the others are counted."""
_BATCH = 256  # rows

Note = tuple[int, str]
"""A row's place among the rows that can be read, and a rule of the data check (an error) or a reason."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """What of the recipe decides a row's tokens; `max_length` is in tokens."""

    train_on: str
    max_length: int
    overlength: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in a source.

    `row_errors` hold without a recipe, `recipe_errors` under it; `refused` are the rows that the template cannot
    show, with its reason. `rejected` are the first of the `rejected_rows` that cannot be read.
    """

    layout: str
    sha256: str
    rejected_rows: int
    rejected: tuple[Problem, ...]
    row_errors: tuple[Note, ...]
    recipe_errors: tuple[Note, ...]
    refused: tuple[tuple[int, Problem], ...]


@dataclass(frozen=True, slots=True)
class FileRows:
    """The rows of `source` that can be read, in its order: arrays are [rows], digests [rows, 16].

    `lines` are their places in the file, `wholes` their tokens before any cut (-1 where the template refuses the
    row), `lengths` those that are trained on (0 where it is left out), and `learned` how many of these are learned.
    """

    source: str
    found: Findings
    lines: Ints
    wholes: Ints
    lengths: Ints
    learned: Ints
    prompts: NDArray[np.uint8]
    digests: NDArray[np.uint8]
    content: Content

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def complete(self) -> bool:
        """Whether all rows were tokenised; of others only what is wrong without a recipe is known."""
        return len(self.wholes) == len(self.lines)

    def where(self, row: int) -> str:
        return f"{self.source}:{self.lines[row]}"

    def token_rows(self, rows: Ints) -> TokenRows:
        """Those of `rows` that are trained on."""
        kept = rows[self.lengths[rows] > 0]
        starts = np.cumsum(self.lengths) - self.lengths
        sources = Sources((self.source,), np.zeros(len(kept), np.int32), self.lines[kept])
        return TokenRows(self.content, starts[kept], self.lengths[kept], sources)


class Sink(Protocol):
    """Where tokens are written; once all are, `content` reads them."""

    def write(self, content: bytes) -> object: ...

    def content(self, tokens: int) -> Content: ...


@dataclass(slots=True)
class _Growing:
    """The columns of `FileRows` while rows are added."""

    lines: "array[int]" = field(default_factory=lambda: array("q"))
    wholes: "array[int]" = field(default_factory=lambda: array("q"))
    lengths: "array[int]" = field(default_factory=lambda: array("q"))
    learned: "array[int]" = field(default_factory=lambda: array("q"))
    prompts: bytearray = field(default_factory=bytearray)
    digests: bytearray = field(default_factory=bytearray)
    row_errors: list[Note] = field(default_factory=list)
    recipe_errors: list[Note] = field(default_factory=list)
    refused: list[tuple[int, Problem]] = field(default_factory=list)
    rejected: list[Problem] = field(default_factory=list)
    rejected_rows: int = 0


def tokenize(
    source: str, format: str, tokenizer: Any, fitting: Fitting, sink: Sink, *, until_error: bool = False
) -> FileRows:
    """Read, check, render, tokenise and fit every row, and write the tokens of those that are trained on to `sink`.

    The tokenizer works in its own threads on one batch while the next is read, checked and rendered. With
    `until_error` rows are only checked once one has an error without a recipe; the result is then not `complete`.
    Raises InputError where the source or the tokenizer cannot be used at all, OSError where the sink takes no more.
    """
    before = _stamp(source)
    stream = RowStream(source, format)
    renderer, specials, rows = BatchRenderer(tokenizer, fitting.train_on), specials_of(tokenizer), _Growing()

    def finish(batch: list[Row], rendered: Iterable[Example | Problem]) -> None:
        for row, whole in zip(batch, rendered, strict=True):
            place = len(rows.wholes)
            result = (
                whole if isinstance(whole, Problem) else fit(whole, fitting.max_length, fitting.overlength)
            )
            rows.recipe_errors += _errors(place, recipe_errors(row, result, specials))
            example = None if isinstance(result, Problem) else result.example
            if isinstance(result, Problem):
                rows.refused.append((place, result))
            rows.wholes.append(-1 if isinstance(result, Problem) else len(result.whole.ids))
            rows.lengths.append(0 if example is None else len(example.ids))
            rows.learned.append(0 if example is None else int(example.mask.sum()))
            if example is not None:
                sink.write(row_bytes(example.ids, example.mask))

    with ThreadPoolExecutor(1) as pool, _own_threads():
        waiting = None
        for batch in _batches(stream, rows):
            if until_error and (rows.row_errors or rows.rejected):
                continue
            rendered = renderer.texts(batch)
            encodings = pool.submit(renderer.encode, rendered)
            if waiting is not None:
                finish(waiting[0], renderer.finish(waiting[1], waiting[2].result()))
            waiting = batch, rendered, encodings
        if waiting is not None:
            finish(waiting[0], renderer.finish(waiting[1], waiting[2].result()))
    found = Findings(
        stream.layout,
        stream.sha256,
        rows.rejected_rows,
        tuple(rows.rejected),
        tuple(rows.row_errors),
        tuple(rows.recipe_errors),
        tuple(rows.refused),
    )
    if _stamp(source) != before:
        what = "the file was changed while it was read"
        raise InputError(Problem(what, source, "Start again once whatever writes it has finished."))
    return FileRows(
        source,
        found,
        np.array(rows.lines, dtype=np.int64),
        np.array(rows.wholes, dtype=np.int64),
        np.array(rows.lengths, dtype=np.int64),
        np.array(rows.learned, dtype=np.int64),
        np.frombuffer(bytes(rows.prompts), np.uint8).reshape(-1, 16),
        np.frombuffer(bytes(rows.digests), np.uint8).reshape(-1, 16),
        sink.content(sum(rows.lengths)),
    )


def _batches(stream: RowStream, rows: _Growing) -> Iterator[list[Row]]:
    """The rows that can be read, checked without a recipe; faulty ones are noted and left out."""
    batch: list[Row] = []
    for _, row in stream:
        if isinstance(row, Problem):
            rows.rejected_rows += 1
            if len(rows.rejected) < SHOWN:
                rows.rejected.append(row)
            continue
        rows.row_errors += _errors(len(rows.lines), row_hits(row))
        rows.lines.append(int(row.source.rpartition(":")[2]))
        rows.prompts += prompt_digest(row)
        rows.digests += row_digest(row)
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _errors(place: int, hits: Iterable[Hit]) -> list[Note]:
    """What keeps a run from starting, each rule once."""
    return [(place, rule) for rule in {hit.rule: None for hit in hits if RULES[hit.rule].severity == "error"}]


@contextmanager
def _own_threads() -> Iterator[None]:
    """Let the tokenizer use a thread for each core: it looks at the variable with every batch."""
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = before


def _stamp(source: str) -> tuple[int, ...]:
    """What changes when somebody writes to a file; a hub data set is one version, which does not change."""
    if source.startswith(HUB_PREFIX):
        return ()
    try:
        status = os.stat(source)  # noqa: PTH116 (a name that holds a null byte is no path)
    except (OSError, ValueError):
        return ()  # whose reason the reader tells
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def source_sha256(source: str) -> str | None:
    """The digest of the file's bytes, None where they cannot be had or it is no file."""
    try:
        return None if source.startswith(HUB_PREFIX) else file_sha256(source)
    except (OSError, ValueError):
        return None
