"""Writing a recipe file, or another small text: whole or not at all, never over a change or a file of another."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from finetui_core.errors import InputError, Problem
from finetui_core.files import fsync_folder, write_atomically
from finetui_core.recipe.document import read_text

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Opened:
    """A recipe file as it was read; `text` has no byte order mark, `content` all bytes."""

    path: Path
    text: str
    content: bytes


def open_recipe(path: Path) -> Opened:
    """Read a recipe that is to be changed; raises InputError where there is none to read."""
    text = read_text(path)
    content = path.read_bytes()
    plain = content.removeprefix(_BOM)
    if plain != text.encode():
        raise _changed(path)
    return Opened(path, text, content)


def save_recipe(opened: Opened, text: str) -> None:
    """Put `text` in place of what was read; a link stays one, and its target changes.

    Raises InputError where the file has changed meanwhile, is read-only, or cannot be written: then it is as
    it was.
    """
    mark = _BOM if opened.content.startswith(_BOM) else b""
    try:
        target = opened.path.resolve(strict=True)
        mode = stat.S_IMODE(target.stat().st_mode)
        if not mode & 0o222:
            raise InputError(
                Problem("the file is read-only", str(target), "chmod u+w lets it be changed; it is as it was")
            )
        if target.read_bytes() != opened.content:
            raise _changed(opened.path)
        write_atomically(target, mark + text.encode(), mode=mode)
    except (OSError, RuntimeError) as error:
        raise _unwritten(opened.path, error, "the file is as it was") from error


def write_new_recipe(path: Path, text: str) -> None:
    """Write a recipe where there is no file yet. Raises InputError, and then there is still none."""
    taken = InputError(
        Problem("there is a file of this name already", str(path), "give another name, or move it away")
    )
    if os.path.lexists(path):
        raise taken
    written = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        write_atomically(written, text.encode(), mode=0o644)
        try:
            os.link(written, path)  # fails where the name was taken meanwhile; a rename would not
        except FileExistsError:
            raise taken from None
        except OSError as error:  # a file system without hard links
            if os.path.lexists(path):
                raise taken from error
            written.rename(path)
        finally:
            written.unlink(missing_ok=True)
        fsync_folder(path.parent)
    except OSError as error:
        raise _unwritten(path, error, "nothing was written") from error


def _changed(path: Path) -> InputError:
    what = "another program has changed the file meanwhile"
    return InputError(Problem(what, str(path), "nothing was written: look at it, and try again"))


def _unwritten(path: Path, error: Exception, left: str) -> InputError:
    reason = (isinstance(error, OSError) and error.strerror) or str(error)
    return InputError(Problem(f"the file cannot be written: {reason}", str(path), left))
