"""Rows of binary tables and of hub data sets. Local files are read with pyarrow, which knows no network."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetui_core.errors import InputError, Problem

_BATCH_ROWS = 1024


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file. Raises InputError if it is damaged or pyarrow is missing."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise _missing("pyarrow", str(path)) from error
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH_ROWS):
                yield from batch.to_pylist()
    except (ArrowException, OSError, ValueError) as error:
        raise _damaged("Parquet", path, error) from error


def arrow_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of an Arrow IPC file or stream (`datasets` writes streams).

    Raises InputError if it is damaged or pyarrow is missing.
    """
    try:
        from pyarrow import ArrowException, ipc, memory_map
    except ImportError as error:
        raise _missing("pyarrow", str(path)) from error
    try:
        with memory_map(str(path)) as mapped:
            try:
                table = ipc.open_file(mapped).read_all()
            except ArrowException:
                mapped.seek(0)
                table = ipc.open_stream(mapped).read_all()
            for batch in table.to_batches(_BATCH_ROWS):
                yield from batch.to_pylist()
    except (ArrowException, OSError, ValueError) as error:
        raise _damaged("Arrow", path, error) from error


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


def _damaged(kind: str, path: Path, error: Exception) -> InputError:
    return InputError(
        Problem(f"not a readable {kind} file: {error}", str(path), "Copy it again, or save it as JSONL.")
    )
