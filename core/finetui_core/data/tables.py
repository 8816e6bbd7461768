"""Rows of binary tables and of hub data sets.

Local files are decoded by pyarrow, which knows no network, in a process of its own under limits (`table_worker`).
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal

import msgspec

from finetui_core.data.json_lines import TOO_LONG
from finetui_core.data.table_worker import MEMORY
from finetui_core.errors import InputError, Problem
from finetui_core.runs.command import child_environment

_ONE_THREAD = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def table_rows(path: Path, kind: Literal["parquet", "arrow"]) -> Iterator[dict[str, Any] | Problem]:
    """The rows of a Parquet file, or of an Arrow IPC file or stream (`datasets` writes streams).

    A row that is too long comes as a Problem. Raises InputError where the file is damaged, where its rows take far
    more room than the file, and where pyarrow is missing.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "finetui_core.data.table_worker", kind, str(path.absolute())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=child_environment() | _ONE_THREAD,
        process_group=0,
    )
    assert process.stdout
    try:
        number = 0
        decoder = msgspec.msgpack.Decoder()
        while True:
            sign, content = _frame(process.stdout)
            number += 1
            match sign:
                case b"r":
                    yield decoder.decode(content)
                case b"l":
                    yield TOO_LONG.problem(path, number)
                case b"e":
                    raise (
                        _missing("pyarrow", str(path))
                        if content == b"pyarrow"
                        else _damaged(kind, path, content[1:].decode("utf-8", "replace"))
                    )
                case b".":
                    return
                case _:
                    raise _too_large(kind, path)
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def _frame(pipe: IO[bytes]) -> tuple[bytes, bytes]:
    """The sign and the content of the next frame; no sign where the process has ended before its last one."""
    head = pipe.read(9)
    if len(head) < 9:
        return b"", b""
    length = int.from_bytes(head[1:])
    content = pipe.read(length)
    return (head[:1], content) if len(content) == length else (b"", b"")


def hub_rows(name: str) -> Iterator[dict[str, Any]]:
    """The rows of a hub data set `owner/name` or `owner/name#split` (split "train" when none is given).

    Raises InputError when it cannot be had: no such set or split, no network, `datasets` not installed.
    """
    repository, _, split = name.partition("#")
    where = f"hub:{name}"
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise _missing("datasets", where) from error
    try:
        dataset = load_dataset(repository, split=split or "train")
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise InputError(
            Problem(
                f"the data set cannot be loaded: {reason}",
                where,
                "Check the name, the split and the network (HF_HUB_OFFLINE=1 forbids it).",
            )
        ) from error
    yield from dataset


def _missing(library: str, where: str) -> InputError:
    return InputError(
        Problem(
            f"reading this needs {library}, which is not installed", where, "pip install 'finetui[train]'"
        )
    )


def _damaged(kind: str, path: Path, reason: str) -> InputError:
    return InputError(
        Problem(
            f"not a readable {kind.capitalize()} file: {reason}",
            str(path),
            "Copy it again, or save it as JSONL.",
        )
    )


def _too_large(kind: str, path: Path) -> InputError:
    what = f"to read this {kind.capitalize()} file takes more than {MEMORY >> 20} MiB of memory"
    hint = "Save it with smaller pages and row groups, or as JSONL; if it is a stranger's, it may be made to do this."
    return InputError(Problem(what, str(path), hint))
