"""Reports that were made before, found again by what the files, the rules and the recipe's model are.

A folder of small files under the user's cache folder, which nobody else can read: reports hold excerpts of data.
"""

import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from finetui_core.data.check.checking import Checked, Source
from finetui_core.data.fingerprints import code_digest, model_files
from finetui_core.data.readers import HUB_PREFIX
from finetui_core.files import private_folder, write_atomically
from finetui_core.folders import cache_folder
from finetui_core.recipe.options import Recipe

MOST_KEPT = 200
"""Reports; the ones that were not asked for the longest go first."""
_SETTLED_SECONDS = 2.0
"""A file that was written to a moment ago can be written to again within one tick of its clock."""
_MOST_DIGESTS = 1000


def reports_folder() -> Path:
    return cache_folder() / "data"


def key_of(sources: Sequence[Source], recipe: Recipe | None, *, fast: bool) -> str | None:
    """What tells this check from any other: the bytes of the files, what is asked, and the code that answers. None
    where that cannot be known, as for a data set of the hub."""
    if any(source.path.startswith(HUB_PREFIX) for source in sources):
        return None
    parts: list[object] = [code_digest(), fast]
    for source in sources:
        sha256 = _sha256(Path(source.path))
        if sha256 is None:
            return None
        parts.append([source.role, source.format, sha256])
    if recipe is not None:
        parts += [recipe.model_dump(mode="json"), *model_files(Path(recipe.model.name))]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def find(key: str, sources: Sequence[Source]) -> Checked | None:
    """The report that was kept, if there is one, about the files as they are named now."""
    path = reports_folder() / f"{key}.json"
    try:
        checked = msgspec.json.decode(path.read_bytes(), type=Checked)
        os.utime(path)
    except (OSError, msgspec.DecodeError):
        return None
    if any(file.path != source.path for file, source in zip(checked.report.files, sources, strict=True)):
        return None  # the same bytes elsewhere: its sentences name the other file
    return checked


def keep(key: str, checked: Checked) -> None:
    """Keep a report of a whole check; a cache that cannot be written costs time only."""
    if not checked.report.complete or any(file.changed for file in checked.report.files):
        return
    with contextlib.suppress(OSError):
        folder = _made(reports_folder())
        write_atomically(folder / f"{key}.json", msgspec.json.encode(checked), durable=False)
        _leave(folder, "*.json", MOST_KEPT)


def _sha256(path: Path) -> str | None:
    """The digest of a file's bytes, kept beside the reports for as long as the file is not written to."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return None
        named = f"{path.resolve()} {status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns}"
        known = (
            reports_folder() / f"{hashlib.sha256(named.encode(errors='surrogateescape')).hexdigest()}.sha256"
        )
        with contextlib.suppress(OSError):
            return known.read_text(encoding="ascii")
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):
        return None
    if abs(time.time() - status.st_mtime) > _SETTLED_SECONDS:
        with contextlib.suppress(OSError):
            write_atomically(_made(reports_folder()) / known.name, sha256.encode(), durable=False)
            _leave(reports_folder(), "*.sha256", _MOST_DIGESTS)
    return sha256


def _made(folder: Path) -> Path:
    private_folder(folder)
    return folder


def _leave(folder: Path, pattern: str, number: int) -> None:
    """Remove the oldest files past a number."""
    files = [(path.stat().st_mtime, path) for path in folder.glob(pattern)]
    for _, path in sorted(files)[: max(0, len(files) - number)]:
        path.unlink(missing_ok=True)
