"""A whole file looked at once, by several processes: what each row breaks, and a few bytes to know it again."""

import hashlib
import os
import signal
import threading
import time
from array import array
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any

import msgspec

from finetui_core.data.check.findings import Example
from finetui_core.data.check.part import (
    EXAMPLES,
    Part,
    add_json,
    add_unreadable,
    add_value,
    count_system,
    scan_range,
)
from finetui_core.data.formats import sniff
from finetui_core.data.json_array import elements_of
from finetui_core.data.json_lines import Unreadable
from finetui_core.data.load import MOST_UNREAD
from finetui_core.data.readers import Form, RawRow, form_of, read_rows
from finetui_core.errors import InputError, Problem, RunFailed

MOST_WORKERS = 4
_PART_BYTES = 4 << 20
_WORTH_WORKERS = 32 << 20  # a smaller file is read before a second process has started
_PROGRESS_SECONDS = 0.2
_SNIFFED_ROWS = 100
_FAULTS_NAMED = 20
_SYSTEMS = 20


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scan is; `found` counts rows by rule."""

    bytes_done: int
    bytes_total: int
    rows: int
    found: dict[str, int]


@dataclass(frozen=True, slots=True)
class Scan:
    """What was learned of each row of one source. Rows count from 0, those that cannot be read counted.

    `offsets` say at which byte a row begins (JSON only), `sizes` of how many bytes it is (0 where that is not known),
    `turns` how many messages it has, 255 at most, 0 for documents and rows that were refused. A key of 0 is that of a
    row that could not be read. `found` has the rows of each rule, ascending, `examples` the first of them.
    `systems` are the most frequent system prompts with their rows, "" for rows without one; `other_systems` counts
    rows with another. `changed` says what became of the file meanwhile, "" for nothing; `complete` is False
    where the scan was cancelled.
    """

    source: str
    sha256: str
    form: Form
    format: str
    size: int
    rows: int
    offsets: "array[int]"
    sizes: "array[int]"
    turns: "array[int]"
    row_keys: "array[int]"
    prompt_keys: "array[int]"
    lines: "array[int]"
    blank_rows: "array[int]"
    blank_totals: "array[int]"
    found: dict[str, "array[int]"]
    examples: dict[str, list[Example]]
    systems: dict[str, int]
    other_systems: int
    scripts: Counter[str]
    changed: str = ""
    complete: bool = True

    def line_of(self, row: int) -> int:
        """The line, from 1, where a row begins; in a binary table the row's number, from 1."""
        return _line_of(row, self.lines, self.blank_rows, self.blank_totals)


def scan(
    source: str,
    *,
    format: str = "auto",
    workers: int | None = None,
    file: int = 0,
    progress: Callable[[Progress], None] = lambda progress: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Scan:
    """Look at every row of a file, or of `hub:owner/name#split`.

    JSON lines are shared among `workers` processes (as many as there are processors, 4 at most). `file` is the
    number that the examples carry. Raises InputError where the source cannot be used, as `load` does.
    """
    form = form_of(source)
    layout = _layout(source) if format == "auto" else format
    before = None if form == "hub" else Path(source).stat()
    whole = _Whole(file, before.st_size if before else 0)
    processes = number_of_workers(workers, whole.size) if form == "lines" else 1
    digest, is_over = hashlib.sha256(), threading.Event()
    hashing = threading.Thread(target=_hash_file, args=(source, digest, is_over), daemon=True)
    hashes_itself = form == "hub" or (form == "lines" and processes == 1)  # as the bytes pass anyway
    if not hashes_itself:
        hashing.start()
    complete = False
    try:
        if processes > 1:
            parts = _shared_parts(Path(source), layout, whole.size, processes)
        else:
            parts = _parts(source, form, layout, whole.size, digest)
        for part, done in parts:
            if part is not None:
                whole.add(part, done)
            progress(whole.progress())
            if cancelled():
                break
        else:
            complete = True
    except OSError as error:
        raise InputError(Problem(f"the file cannot be read any more: {error}", source)) from error
    except BrokenProcessPool as error:
        raise RunFailed(
            "a process that read the file was ended, perhaps for want of memory; try --workers 1"
        ) from error
    finally:
        if not complete:
            is_over.set()
        if not hashes_itself:
            hashing.join()
    changed = _changed(source, before) if before else ""
    return whole.scan(source, digest.hexdigest(), form, layout, changed, complete)


def number_of_workers(asked: int | None, size: int) -> int:
    """Processes that a file of JSON lines is worth."""
    return 1 if size < _WORTH_WORKERS else asked or min(MOST_WORKERS, os.cpu_count() or 1)


class _Whole:
    """The parts put together."""

    def __init__(self, file: int, size: int) -> None:
        self.file, self.size, self.done = file, size, 0
        self.all = Part()
        self.blank_lines = 0
        self.examples: dict[str, list[Example]] = {}

    def add(self, part: Part, done: int) -> None:
        """Put the next part behind the others; `done` bytes of the file are read now."""
        whole, before = self.all, self.all.rows
        self.done = done
        whole.rows += part.rows
        for name in ("offsets", "sizes", "turns", "row_keys", "prompt_keys", "lines"):
            getattr(whole, name).extend(getattr(part, name))
        for row, number in zip(part.blank_rows, part.blank_counts, strict=True):
            self.blank_lines += number
            if whole.blank_rows and whole.blank_rows[-1] == before + row:
                whole.blank_counts[-1] = self.blank_lines  # a part ended between two blank lines
            else:
                whole.blank_rows.append(before + row)
                whole.blank_counts.append(self.blank_lines)
        for rule, rows in part.found.items():
            whole.found.setdefault(rule, array("I")).extend(before + row for row in rows)
            kept = self.examples.setdefault(rule, [])
            for row, path, excerpt in part.examples[rule][: EXAMPLES - len(kept)]:
                line = _line_of(before + row, whole.lines, whole.blank_rows, whole.blank_counts)
                kept.append(Example(self.file, before + row, line, path, excerpt))
        for text, number in part.systems.items():
            count_system(whole, text, number)
        whole.other_systems += part.other_systems
        whole.scripts.update(part.scripts)

    def progress(self) -> Progress:
        found = {rule: len(rows) for rule, rows in self.all.found.items()}
        return Progress(self.done, self.size, self.all.rows, found)

    def scan(self, source: str, sha256: str, form: Form, layout: str, changed: str, complete: bool) -> Scan:
        whole = self.all
        without = whole.systems.pop("", 0)
        systems = dict(whole.systems.most_common(_SYSTEMS))
        others = whole.other_systems + whole.systems.total() - sum(systems.values())
        return Scan(
            source=source,
            sha256=sha256,
            form=form,
            format=layout,
            size=self.size or sum(whole.sizes),
            rows=whole.rows,
            offsets=whole.offsets,
            sizes=whole.sizes,
            turns=whole.turns,
            row_keys=whole.row_keys,
            prompt_keys=whole.prompt_keys,
            lines=whole.lines,
            blank_rows=whole.blank_rows,
            blank_totals=whole.blank_counts,
            found=whole.found,
            examples=self.examples,
            systems=systems | ({"": without} if without else {}),
            other_systems=others,
            scripts=whole.scripts,
            changed=changed,
            complete=complete,
        )


def _line_of(row: int, lines: "array[int]", blank_rows: "array[int]", blank_totals: "array[int]") -> int:
    if lines:
        return lines[row]
    before = bisect_right(blank_rows, row)
    return row + 1 + (blank_totals[before - 1] if before else 0)


def _layout(source: str) -> str:
    """The layout, from the first rows. Raises InputError as `load` does."""
    values: list[dict[str, Any]] = []
    faults: list[Problem] = []
    unread = 0
    for row in read_rows(source):
        if isinstance(row, RawRow):
            values.append(row.value)
            if len(values) == _SNIFFED_ROWS:
                break
        else:
            unread += 1
            if len(faults) < _FAULTS_NAMED:
                faults.append(row)
            if unread == MOST_UNREAD and not values:
                break
    if not values:
        none = Problem("there are no rows", source, "Check that whatever wrote it has finished.")
        raise InputError(faults or none)
    return sniff(values, source)


def _changed(source: str, before: os.stat_result) -> str:
    """What became of the file since."""
    try:
        now = Path(source).stat()
    except OSError:
        return "the file was removed while it was read"
    if (now.st_dev, now.st_ino) != (before.st_dev, before.st_ino):
        return "the file was replaced while it was read"
    if now.st_size > before.st_size:
        return "the file grew while it was read"
    if now.st_size < before.st_size:
        return "the file shrank while it was read"
    return "the file was written to while it was read" if now.st_mtime_ns != before.st_mtime_ns else ""


def _hash_file(source: str, digest: "hashlib._Hash", is_over: threading.Event) -> None:
    try:
        with Path(source).open("rb", buffering=0) as file:
            while (block := file.read(1 << 20)) and not is_over.is_set():
                digest.update(block)
    except OSError:  # the scan itself meets it, and says so
        return


Parts = Iterator[tuple[Part | None, int]]
"""Parts with the bytes of the file that are done; None as a sign of life while there is none."""


def _parts(source: str, form: Form, layout: str, size: int, digest: "hashlib._Hash") -> Parts:
    """Parts that are looked at in this process."""
    if form == "array":
        return _array_parts(Path(source), layout)
    if form == "lines":
        return ((scan_range(Path(source), start, end, layout, digest), end) for start, end in _ranges(size))
    return _other_parts(source, layout, size, digest if form == "hub" else None)


def _ranges(size: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + _PART_BYTES, size)) for start in range(0, size, _PART_BYTES))


def _shared_parts(path: Path, layout: str, size: int, workers: int) -> Parts:
    """Parts in the order of the file, looked at by other processes, which hold two each at most."""
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start_worker) as pool:
        waiting: deque[tuple[Future[Part], int]] = deque()
        ranges = _ranges(size)
        try:
            while True:
                for start, end in islice(ranges, 2 * workers - len(waiting)):
                    waiting.append((pool.submit(scan_range, path, start, end, layout), end))
                if not waiting:
                    return
                first, end = waiting[0]
                if wait([first], _PROGRESS_SECONDS).done:
                    waiting.popleft()
                    yield first.result(), end
                else:
                    yield None, 0
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """An interrupt is the parent's to handle; a worker ends when its parent is gone, however that ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def _array_parts(path: Path, layout: str) -> Parts:
    part, given = Part(), time.monotonic()
    done = 0
    with path.open("rb") as file:
        for element in elements_of(file):
            part.lines.append(element.line)
            if isinstance(element.raw, Unreadable):
                add_unreadable(part, element.raw, element.at, 0)
            else:
                add_json(part, element.raw, element.at, layout)
                done = element.at + len(element.raw)
            if time.monotonic() - given > _PROGRESS_SECONDS:
                yield part, done
                part, given = Part(), time.monotonic()
        done = file.tell()
    yield part, done


def _other_parts(source: str, layout: str, size: int, digest: "hashlib._Hash | None") -> Parts:
    """Parts of a table, of text, or of a hub data set; what is done of the file is guessed from the rows."""
    part, given = Part(), time.monotonic()
    done = number = 0
    for number, row in enumerate(read_rows(source), 1):
        if isinstance(row, Problem):
            part.lines.append(_line_in(row, number))
            add_unreadable(part, Unreadable(row.what), 0, 0)
        else:
            raw = msgspec.json.encode(row.value, enc_hook=repr)
            if digest is not None:
                digest.update(raw + b"\n")
            part.lines.append(row.number)
            add_value(part, row.value, 0, len(raw), layout)
            done = min(done + len(raw), size)
        if time.monotonic() - given > _PROGRESS_SECONDS:
            yield part, done
            part, given = Part(), time.monotonic()
    yield part, size


def _line_in(problem: Problem, otherwise: int) -> int:
    """The line of a problem's place, which is `file:line` or `file:line:column`."""
    numbers = [word for word in problem.where.rsplit(":", 2)[1:] if word.isdecimal()]
    return int(numbers[0]) if numbers else otherwise
