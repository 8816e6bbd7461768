"""The record beside a mended file: what was done to which row, and the way back."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from finetui_core import __version__
from finetui_core.data import check
from finetui_core.data.mend.new_files import PRIVATE, mode_of, new_files
from finetui_core.data.mend.patch import PatchWriter, patched
from finetui_core.errors import InputError, Problem

SCHEMA = 1


class Head(msgspec.Struct, frozen=True):
    """The manifest without its list of changes. `result` and `undo` are names in the manifest's own folder.

    `rules` is a digest of the code that checks: two manifests with the same one were made by the same rules.
    """

    schema: int
    source: str
    source_sha256: str
    source_bytes: int
    result: str
    result_sha256: str
    undo: str
    undo_bytes: int
    ftui: str
    rules: str
    options: dict[str, Any]
    rows_before: int
    rows_after: int
    dropped: int
    changed: int


def manifest_path(result: Path) -> Path:
    return result.with_name(f"{result.name}.manifest.json")


def undo_path(result: Path) -> Path:
    return result.with_name(f"{result.name}.undo.gz")


@dataclass(slots=True)
class Recorder:
    """Writes a mended file row by row, with its patch backwards and its list of changes."""

    result: BinaryIO
    changes: BinaryIO
    patch: PatchWriter
    source_digest: Any
    result_digest: Any
    source_bytes: int = 0
    rows_before: int = 0
    dropped: int = 0
    changed: int = 0

    def copy(self, raw: bytes, *, is_row: bool = True) -> None:
        """Bytes that are the same in both files."""
        self._read(raw, is_row)
        self._write(raw)
        self.patch.copy(len(raw))

    def replace(self, raw: bytes, by: bytes, changes: list[dict[str, Any]]) -> None:
        """A row that is changed; `raw` is b"" where the whole source is kept in the patch anyway."""
        self._read(raw, True)
        self._write(by)
        self.patch.skip(len(by))
        self.patch.insert(raw)
        self.changed += bool(changes)
        self._list(changes)

    def drop(self, raw: bytes, change: dict[str, Any]) -> None:
        self._read(raw, True)
        self.patch.insert(raw)
        self.dropped += 1
        self._list([change])

    def more(self, pieces: Iterator[bytes], *, is_copied: bool) -> None:
        """The rest of a row that is too long to be held, copied or dropped as its beginning was."""
        for piece in pieces:
            self._read(piece, False)
            if is_copied:
                self._write(piece)
                self.patch.copy(len(piece))
            else:
                self.patch.insert(piece)

    def whole_source(self, file: BinaryIO) -> None:
        """Keep a source that is no JSONL whole."""
        while piece := file.read(1 << 20):
            self._read(piece, False)
            self.patch.insert(piece)

    def _read(self, raw: bytes, is_row: bool) -> None:
        self.source_digest.update(raw)
        self.source_bytes += len(raw)
        self.rows_before += is_row

    def _write(self, raw: bytes) -> None:
        self.result_digest.update(raw)
        self.result.write(raw)

    def _list(self, changes: list[dict[str, Any]]) -> None:
        for change in changes:
            self.changes.write(b",\n" if self.changes.tell() else b"")
            self.changes.write(msgspec.json.encode(change))


@contextmanager
def recorded(source: Path, result: Path, options: dict[str, Any]) -> Iterator[Recorder]:
    """Write `result`, its undo file and its manifest together, or nothing. The list of changes is kept on disk.

    The undo file holds what was taken out, secrets too, and only its owner can read it.
    """
    paths = [undo_path(result), manifest_path(result), result]
    listed = result.with_name(f".{result.name}.{os.getpid()}.changes")
    try:
        mode = mode_of(source)
        with listed.open("w+b") as changes, new_files(paths, [PRIVATE, mode, mode]) as (undo, manifest, file):
            writer = Recorder(file, changes, PatchWriter(undo), hashlib.sha256(), hashlib.sha256())
            yield writer
            writer.patch.close()
            head = _head(writer, source, result, options, undo.tell())
            manifest.write(msgspec.json.format(msgspec.json.encode(head), indent=1).rstrip(b"\n }"))
            manifest.write(b',\n "changes": [\n')
            changes.seek(0)
            while piece := changes.read(1 << 20):
                manifest.write(piece)
            manifest.write(b"\n ]\n}\n")
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(Problem(f"the file cannot be written: {reason}", str(result))) from error
    finally:
        listed.unlink(missing_ok=True)


def _head(writer: Recorder, source: Path, result: Path, options: dict[str, Any], undo_bytes: int) -> Head:
    return Head(
        schema=SCHEMA,
        source=str(source.absolute()),
        source_sha256=writer.source_digest.hexdigest(),
        source_bytes=writer.source_bytes,
        result=result.name,
        result_sha256=writer.result_digest.hexdigest(),
        undo=undo_path(result).name,
        undo_bytes=undo_bytes,
        ftui=__version__,
        rules=_rules(),
        options=options,
        rows_before=writer.rows_before,
        rows_after=writer.rows_before - writer.dropped,
        dropped=writer.dropped,
        changed=writer.changed,
    )


def _rules() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(check.__path__[0]).iterdir()):
        if path.suffix in (".py", ".txt"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def read_head(manifest: Path) -> Head:
    """Raises InputError where the file is no manifest of ours."""
    try:
        head = msgspec.json.decode(manifest.read_bytes(), type=Head)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(Problem(f"the manifest cannot be read: {reason}", str(manifest))) from error
    except msgspec.MsgspecError as error:
        hint = "Name the .manifest.json that ftui data fix wrote beside its result."
        raise InputError(Problem(f"this is no manifest: {error}", str(manifest), hint)) from error
    if head.schema != SCHEMA or Path(head.result).name != head.result or Path(head.undo).name != head.undo:
        raise InputError(Problem("this manifest is from another version of ftui", str(manifest)))
    return head


def undo(manifest: Path, target: Path | None = None) -> Path:
    """Write the source again, byte for byte, at `target` or where it was; returns the path.

    Nothing is written where the source is still there and the same. Raises InputError where another file is
    there, where the mended file has changed since, or where the undo file is gone.
    """
    head = read_head(manifest)
    path = Path(head.source) if target is None else target
    if target is None and path.is_file() and _sha256(path) == head.source_sha256:
        return path
    if target is None and not path.parent.is_dir():
        hint = "Say where to write it: -o FILE"
        raise InputError(Problem("the folder of the source is gone", str(path.parent), hint))
    result, patch = manifest.with_name(head.result), manifest.with_name(head.undo)
    for part in (result, patch):
        if not part.is_file():
            hint = "The manifest, the mended file and its .undo.gz must lie in one folder."
            raise InputError(Problem("this file is needed, and is gone", str(part), hint))
    if _sha256(result) != head.result_sha256:
        hint = "Undo needs the file as it was written."
        raise InputError(Problem("the mended file has changed since", str(result), hint))
    digest = hashlib.sha256()
    with result.open("rb") as mended, patch.open("rb") as packed, new_files([path], [PRIVATE]) as (file,):
        for piece in patched(mended, packed, str(patch)):
            digest.update(piece)
            file.write(piece)
        if digest.hexdigest() != head.source_sha256:
            hint = "It is not of this manifest, or is damaged."
            raise InputError(Problem("the undo file does not give the source", str(patch), hint))
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
