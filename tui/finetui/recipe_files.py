"""Recipe files as the Recipe station opens, saves and keeps them: asked, checked, and never lost unasked."""

import os
import shlex
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from finetui import launching
from finetui.recipe_draft import Draft, new_draft, opened_draft
from finetui_core.errors import InputError, Problem
from finetui_core.files import private_folder, write_atomically
from finetui_core.folders import state_folder
from finetui_core.recipe.edit import set_value
from finetui_core.recipe.presets import preset_text
from finetui_core.recipe.saving import Opened, open_recipe, save_recipe, write_new_recipe

NEW_NAME = "recipe.toml"
_FOLDER = "unsaved_recipes"
_MOST_KEPT_BYTES = 4_000_000


class Unsaved(msgspec.Struct, frozen=True):
    """A text that was not saved when ftui ended; `path` is its file ("" for none), `content` what that held."""

    path: str
    folder: str
    text: str
    content: bytes = b""
    at: float = 0.0


def open_draft(path: Path) -> Draft:
    """The recipe at a path. Raises InputError where there is none to read."""
    return opened_draft(open_recipe(path))


def preset_draft(preset: str, rows: str = "") -> Draft:
    """A new recipe in the current folder, as the preset has it, but for the training `rows` where some are known."""
    text, folder = preset_text(preset), Path.cwd()
    if rows:
        path = Path(rows)
        inside = path.is_absolute() and path.is_relative_to(folder)
        text = set_value(text, "data", "train", str(path.relative_to(folder)) if inside else rows)
    return new_draft(NEW_NAME, folder, text)


def save(draft: Draft) -> None:
    """Write the draft into its file. Raises InputError, and then the file is as it was."""
    assert draft.opened is not None
    save_recipe(draft.opened, draft.text)
    _saved(draft, draft.opened.path)


def save_over(draft: Draft) -> None:
    """Write the draft into its file, whatever another program has put there meanwhile. Raises InputError."""
    assert draft.opened is not None
    path = draft.opened.path
    try:
        draft.opened = Opened(path, draft.saved, path.read_bytes())
    except OSError as error:
        raise InputError(
            Problem(f"the file cannot be read: {error.strerror}", str(path), "save it under another name")
        ) from error
    save(draft)


def save_as(draft: Draft, path: Path) -> None:
    """Write the draft into a new file, which then is its file. Raises InputError."""
    write_new_recipe(path, draft.text)
    _saved(draft, path)


def _saved(draft: Draft, path: Path) -> None:
    draft.opened = open_recipe(path)
    draft.name, draft.folder, draft.saved = path.name, path.parent, draft.opened.text
    launching.keep_recipe(path)


def changed_on_disk(draft: Draft) -> bool:
    """Whether the file no longer holds what was read from it."""
    if draft.opened is None:
        return False
    try:
        return draft.opened.path.read_bytes() != draft.opened.content
    except OSError:
        return True


def check_new_path(text: str) -> None:
    """Raises InputError where the text is no path for a new recipe."""
    path = launching.recipe_path(text)
    if os.path.lexists(path):
        raise InputError(Problem(f"{path.name} exists already", hint="give another name"))
    if not path.parent.is_dir():
        raise InputError(
            Problem(f"there is no folder {path.parent}", hint="name a file in a folder that exists")
        )


def check_openable(text: str) -> None:
    """Raises InputError where there is no recipe to read at the path that was typed."""
    open_recipe(launching.recipe_path(text))


# What was not saved.


def keep_unsaved(draft: Draft) -> None:
    """Keep the text for the next start, for the user alone to read. Where that cannot be, it is lost."""
    if not draft.unsaved:
        return
    opened = draft.opened
    kept = Unsaved(
        str(opened.path) if opened else "",
        str(draft.folder),
        draft.text,
        opened.content if opened else b"",
        time.time(),
    )
    folder = state_folder() / _FOLDER
    with suppress(OSError):
        private_folder(folder)
        write_atomically(folder / f"{time.time_ns()}-{os.getpid()}.json", msgspec.json.encode(kept))


def find_unsaved() -> tuple[Path, Unsaved] | None:
    """The newest text that was kept, and the file that holds it."""
    with suppress(OSError):
        for path in sorted((state_folder() / _FOLDER).glob("*.json"), reverse=True):
            with suppress(OSError, msgspec.MsgspecError):
                if path.stat().st_size <= _MOST_KEPT_BYTES:
                    return path, msgspec.json.decode(path.read_bytes(), type=Unsaved)
    return None


def forget_unsaved(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def unsaved_draft(kept: Unsaved) -> Draft:
    """The text that was kept, unsaved still: what its file holds may differ by now, and then saving says so."""
    path = Path(kept.path)
    if not kept.path or not path.is_file():
        draft = new_draft(path.name or NEW_NAME, Path(kept.folder), kept.text)
    else:
        saved = kept.content.decode("utf-8-sig", "replace")
        draft = opened_draft(Opened(path, saved, kept.content))
        draft.text = kept.text
    return draft


# Another editor.


def edited_elsewhere(text: str, name: str, kept: str = "The recipe is as it was.") -> str:
    """The text as the person's own editor leaves it.

    Raises InputError where that cannot be had, which says by `kept` that nothing has changed.
    """
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(name).name
        path.touch(0o600)
        path.write_bytes(text.encode())
        try:
            done = subprocess.run([*shlex.split(command), str(path)], check=False)
            content = path.read_bytes()
            if done.returncode != 0:
                raise InputError(Problem(f"{command} ended with exit code {done.returncode}", hint=kept))
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(Problem("the text is not UTF-8", hint=kept)) from error
        except (OSError, ValueError) as error:
            raise InputError(
                Problem(
                    f"the editor cannot be started: {command}", hint="Set EDITOR to a program, such as nano."
                )
            ) from error
