"""The process in which Parquet and Arrow files are decoded: `python -m finetui_core.data.table_worker KIND PATH`.

Such a file says itself how large its pages become, and a page of some bytes can become gigabytes; so it is decoded
under a limit of memory, and its rows come out one by one, each of bounded size. What is written to standard output is
a sequence of frames: a sign (`r` a row in MessagePack, `l` a row that is too long, `e` an error, `.` the end), the
length in 8 bytes, and so many bytes.
"""

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from finetui_core.data.json_lines import MAX_ROW_BYTES
from finetui_core.data.template_worker import limit_memory

MEMORY = 1 << 30
"""Bytes above what the process has when it has loaded its library."""
TIMES_FILE, ALWAYS = 200, 8 << 20
"""How many times the size of its file all rows may have together, and how many bytes they may have anyway."""
FEW_ROWS = 10_000
"""Rows that a file may have more than bytes."""
_BATCH_ROWS = 64
_STREAM_BYTES = 1 << 20


def main() -> None:
    kind, path = sys.argv[1], Path(sys.argv[2])
    out = os.fdopen(os.dup(1), "wb", buffering=1 << 20)
    os.dup2(2, 1)  # what the library prints is no row
    try:
        from pyarrow import ArrowException
    except ImportError:
        _frame(out, b"e", b"pyarrow")
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit_memory(MEMORY)
    try:
        _write(out, _rows(kind, path), path.stat().st_size)
        _frame(out, b".", b"")
    except MemoryError:
        os._exit(_NO_MEMORY)
    except (ArrowException, OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        _frame(out, b"e", f"d{error}".encode("utf-8", "replace"))
    out.flush()
    os._exit(0)


_NO_MEMORY = 70


def _write(out: BinaryIO, rows: Iterator[dict[str, Any]], size: int) -> None:
    encoder = msgspec.msgpack.Encoder(enc_hook=str)
    written = 0
    for number, row in enumerate(rows):
        if number > size + FEW_ROWS:
            raise ValueError("it has more rows than bytes")
        raw = encoder.encode(row)
        if len(raw) > MAX_ROW_BYTES:
            _frame(out, b"l", b"")
            continue
        written += len(raw)
        if written > TIMES_FILE * size + ALWAYS:
            raise ValueError(f"its rows are more than {TIMES_FILE} times as large as the file")
        _frame(out, b"r", raw)


def _frame(out: BinaryIO, sign: bytes, content: bytes) -> None:
    out.write(sign + len(content).to_bytes(8) + content)


def _rows(kind: str, path: Path) -> Iterator[dict[str, Any]]:
    if kind == "parquet":
        from pyarrow import parquet

        with parquet.ParquetFile(path, buffer_size=_STREAM_BYTES, pre_buffer=False) as file:
            for batch in file.iter_batches(_BATCH_ROWS, use_threads=False):
                yield from batch.to_pylist()
        return
    from pyarrow import ArrowException, ipc, memory_map

    with memory_map(str(path)) as mapped:
        try:
            reader = ipc.open_file(mapped)
            batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
        except ArrowException:
            mapped.seek(0)
            batches = iter(ipc.open_stream(mapped))
        for batch in batches:
            for begin in range(0, batch.num_rows, _BATCH_ROWS):
                yield from batch.slice(begin, _BATCH_ROWS).to_pylist()


if __name__ == "__main__":
    main()
