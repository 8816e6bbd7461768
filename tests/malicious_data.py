"""Data sets that are to eat the machine, or to reach what is no data."""

import bz2
import gzip
import json
import lzma
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from malicious import Fixture, data_check, hollow

ROW = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'
_ZEROS = 64 << 20


def content(name: str, raw: Callable[[], bytes]) -> Callable[[Path], object]:
    """Made when it is wanted: some are large."""
    return lambda project: (project / name).write_bytes(raw())


def row(text: str) -> bytes:
    """A sound row, then one with `text` as its content."""
    turns = ROW.decode().strip().replace('"b"', text)
    return ROW + turns.encode("utf-8", "surrogatepass") + b"\n"


def link(name: str, target: str) -> Callable[[Path], object]:
    return lambda project: (project / name).symlink_to(target)


def zipped(project: Path) -> None:
    with zipfile.ZipFile(project / "rows.jsonl", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("rows.jsonl", bytes(_ZEROS))


def parquet(make: Callable[[Any], Any], **how: Any) -> Callable[[Path], object]:
    def write(project: Path) -> None:
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(make(pyarrow), project / "rows.parquet", **how)

    return write


def _same_text(pyarrow: Any) -> Any:
    """A million rows of one text of a megabyte, each a number that stands for it."""
    index = pyarrow.array([0] * 1_000_000, pyarrow.int32())
    return pyarrow.table({"text": pyarrow.DictionaryArray.from_arrays(index, ["a" * 1_000_000])})


def _many_rows(pyarrow: Any) -> Any:
    import numpy

    return pyarrow.table(
        {"text": pyarrow.DictionaryArray.from_arrays(numpy.zeros(30_000_000, "int8"), ["a"])}
    )


def _large_pages(pyarrow: Any) -> Any:
    """Four cells of 300 MB in one row."""
    cell = pyarrow.array([bytes(300_000_000)])
    return pyarrow.table(dict.fromkeys("abcd", cell))


def damaged_footer(project: Path) -> None:
    parquet(lambda pyarrow: pyarrow.table({"text": ["a"]}))(project)
    path = project / "rows.parquet"
    path.write_bytes(path.read_bytes()[:-8] + b"\xff\xff\xff\x7fPAR1")


def made_up_footer(project: Path) -> None:
    """A footer whose schema is to have 2^30 elements."""
    footer = b"\x15\x02\x19\xfc\x80\x80\x80\x80\x04" + b"\x48\x01a" * 100
    path = project / "rows.parquet"
    path.write_bytes(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")


def arrow(project: Path) -> Any:
    import pyarrow
    from pyarrow import ipc

    table = pyarrow.table({"number": pyarrow.array([7] * 100_000, pyarrow.int64())})
    options = ipc.IpcWriteOptions(compression="zstd")
    path = project / "rows.arrow"
    with ipc.new_stream(str(path), table.schema, options=options) as writer:
        writer.write_table(table)
    return path


def lying_buffer(project: Path) -> None:
    """A buffer that says it becomes 2^40 bytes."""
    path = arrow(project)
    raw = path.read_bytes()
    assert (800_000).to_bytes(8, "little") in raw
    path.write_bytes(raw.replace((800_000).to_bytes(8, "little"), (1 << 40).to_bytes(8, "little")))


def _keys(count: int) -> bytes:
    return json.dumps({f"{at:x}": 0 for at in range(count)}, separators=(",", ":")).encode()


_NOT_READ = (2, 3)
_LINES, _PARQUET = "rows.jsonl", "rows.parquet"

DATA = [
    Fixture("data", name, make, data_check(file), says, codes)
    for name, file, make, says, codes in [
        ("a line of 5 GB, a hole", _LINES, lambda p: hollow(p / _LINES, 5 << 30, ROW + b'{"a": "'), "hole", (2,)),
        ("a line of 200 MB", _LINES, content(_LINES, lambda: ROW + b'{"a": "' + b"a" * 200_000_000 + b'"}'), "MiB",
         _NOT_READ),
        ("nested 10^6 deep", _LINES, content(_LINES, lambda: ROW + b'{"a":' * 1_000_000), "", _NOT_READ),
        ("lists nested 10^6 deep", _LINES, content(_LINES, lambda: b"[" * 1_000_000), "", _NOT_READ),
        ("gzip", _LINES, content(_LINES, lambda: gzip.compress(bytes(_ZEROS))), "packed with gzip", (2,)),
        ("xz", _LINES, content(_LINES, lambda: lzma.compress(bytes(1 << 20))), "packed with xz", (2,)),
        ("bzip2", _LINES, content(_LINES, lambda: bz2.compress(bytes(_ZEROS))), "packed with bzip2", (2,)),
        ("zstd", _LINES, content(_LINES, lambda: b"\x28\xb5\x2f\xfd" + bytes(99)), "packed with zstd", (2,)),
        ("zip", _LINES, zipped, "packed with zip", (2,)),
        ("a cell of 200 MB", "rows.csv", content("rows.csv", lambda: b'text\n"' + b"a" * 200_000_000 + b'"\n'), "MiB",
         _NOT_READ),
        ("a cell over 3 million lines", "rows.csv",
         content("rows.csv", lambda: b'text\n"' + b"a" * 25_000_000 + b"\n" * 50_000_000),
         "", _NOT_READ),
        ("a table of 200,000 columns", "rows.csv",
         content("rows.csv", lambda: b"a," * 200_000 + b"\n" + b"b," * 200_000),
         "", _NOT_READ),
        ("NUL bytes", _LINES, content(_LINES, lambda: ROW + b"\0" * 1_000_000), "", _NOT_READ),
        ("half of a surrogate pair", _LINES, content(_LINES, lambda: row(r'"\ud800"')), "", _NOT_READ),
        ("a surrogate as bytes", _LINES, content(_LINES, lambda: row('"\ud800"')), "", _NOT_READ),
        ("a number of 10^6 digits", _LINES, content(_LINES, lambda: row("1" * 1_000_000)), "", _NOT_READ),
        ("a number with exponent 10^9", _LINES, content(_LINES, lambda: row("1e999999999")), "", _NOT_READ),
        ("a key twice", _LINES, content(_LINES, lambda: ROW + b'{"messages": [], "messages": 1}\n'), "", _NOT_READ),
        ("a link to /dev/zero", _LINES, link(_LINES, "/dev/zero"), "pipe or a device", (2,)),
        ("a link to a memory", _LINES, link(_LINES, "/proc/self/mem"), "", (2,)),
        ("a link to a key", _LINES, link(_LINES, "../home/.ssh/id_ed25519"), "", _NOT_READ),
        ("a link to itself", _LINES, link(_LINES, _LINES), "", (2,)),
        ("a pipe", _LINES, lambda p: os.mkfifo(p / _LINES), "pipe or a device", (2,)),
        ("UTF-16", _LINES, content(_LINES, lambda: ROW.decode().encode("utf-16")), "UTF-16", (2,)),
        ("a chain of byte order marks", _LINES, content(_LINES, lambda: b"\xef\xbb\xbf" * 1000 + ROW), "", _NOT_READ),
        ("an object of 10^6 keys", _LINES, content(_LINES, lambda: ROW + _keys(1_000_000) + b"\n"),
         "", (*_NOT_READ, 0)),
        ("an object of 5 million keys", _LINES, content(_LINES, lambda: ROW + _keys(5_000_000) + b"\n"),
         "", (*_NOT_READ, 0)),
        ("a list of 3 million numbers", "rows.json",
         content("rows.json", lambda: b"[" + b"1," * 3_000_000 + b"1]"), "",
         _NOT_READ),
        ("control characters", _LINES, content(_LINES, lambda: row(json.dumps("\x1b]52;c;AAAA\x07\x9b2J"))),
         "", (0, 3)),
        ("a program", _LINES, content(_LINES, lambda: b"\x7fELF" + bytes(99)), "binary", (2,)),
        ("Parquet: a million rows of a megabyte", _PARQUET, parquet(_same_text), "", (2,)),
        ("Parquet: 30 million rows in 74 kB", _PARQUET, parquet(_many_rows), "more rows than bytes", (2,)),
        ("Parquet: cells of 300 MB", _PARQUET, parquet(_large_pages, compression="zstd"), "", _NOT_READ),
        ("Parquet: footer longer than the file", _PARQUET, damaged_footer, "not a readable Parquet", (2,)),
        ("Parquet: footer of 2^30 columns", _PARQUET, made_up_footer, "not a readable Parquet", (2,)),
        ("Parquet: a hole of 5 GB", _PARQUET, lambda p: hollow(p / _PARQUET, 5 << 30, b"PAR1"), "hole", (2,)),
        ("Arrow: a buffer of 2^40 bytes", "rows.arrow", lying_buffer, "Arrow file", (2,)),
        ("Arrow: nothing but 0xff", "rows.arrow", content("rows.arrow", lambda: b"\xff" * 100_000), "Arrow", (2,)),
    ]
]  # fmt: skip
