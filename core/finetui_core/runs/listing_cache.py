"""What the list knew of runs that have ended, kept between two starts so that a thousand of them are listed at once.

It is never the truth: a run whose folder has changed since is read anew, and without the file all are.
"""

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from finetui_core import __version__
from finetui_core.files import private_folder, write_atomically
from finetui_core.folders import cache_folder
from finetui_core.runs.summary import RunSummary

MOST_BYTES = 64 << 20


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A line of the list, and the time at which the folder had last changed (ns) when it was made."""

    folder_time: int
    summary: RunSummary


class _File(msgspec.Struct, frozen=True):
    made_by: str
    runs: dict[str, Kept]


_MADE_BY = f"{__version__} {' '.join(RunSummary.__struct_fields__)}"


def recall_runs(root: Path) -> dict[str, Kept]:
    """What was kept for the runs under `root`, by id; nothing where it is missing, damaged or another version's."""
    try:
        with _path(root).open("rb") as file:
            kept = msgspec.json.decode(file.read(MOST_BYTES), type=_File)
    except (OSError, ValueError, RecursionError):
        return {}
    return kept.runs if kept.made_by == _MADE_BY else {}


def keep_runs(root: Path, runs: Mapping[str, Kept]) -> None:
    """Keep them for the next start. Where that cannot be, the next start reads them all."""
    path = _path(root)
    with contextlib.suppress(OSError):
        private_folder(path.parent)
        write_atomically(path, msgspec.json.encode(_File(_MADE_BY, dict(runs))), durable=False)


def _path(root: Path) -> Path:
    name = hashlib.blake2b(bytes(root.absolute()), digest_size=12).hexdigest()
    return cache_folder() / "runs" / f"{name}.json"
