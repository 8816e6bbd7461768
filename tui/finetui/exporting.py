"""Taking a run's model elsewhere from the screens: to what, where to, and what the check found."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual.widgets import Input
from textual.worker import get_current_worker

from finetui import launching
from finetui.launching import Launched
from finetui.widgets.text_editor import TextEditor
from finetui_core.errors import InputError, Problem

if TYPE_CHECKING:
    from finetui.app import Studio

TARGETS = (
    ("merged", "the whole model, for transformers and what is built on it"),
    ("adapter", "what was trained alone, for peft"),
    ("ollama", "the whole model and a Modelfile with the trained template"),
    ("vllm", "the whole model and the command line that serves it"),
    ("gguf", "one file for llama.cpp"),
    ("hub", "published on the hub, privately"),
)
DIFFERS = 3
WHERE = "The new folder of the export"
NAME = "Publish under which name? owner/name; the repository is private unless you change that"
_BUSY_SECONDS = 0.5


def ask_to_export(studio: "Studio", run: Path) -> None:
    """Ask what for and where to, and write it; a process of its own does that, and goes on without the screens."""
    from finetui.screens.choose import Choose

    if run in studio.being_exported:
        studio.notice(f"{run.name} is being exported", "warning")
        return

    def answered(target: str | None) -> None:
        if target == "hub":
            _ask_for_name(studio, run)
        elif target is not None:
            _ask_where(studio, run, target)

    studio.push_screen(Choose(f"Export {run.name} for what?", TARGETS), answered)


def _ask_where(studio: "Studio", run: Path, target: str) -> None:
    from finetui.screens.ask import Ask

    def answered(text: str | None) -> None:
        if text is not None:
            _export(studio, run, target, new_folder(text))

    proposed = launching.as_typed(_proposed(run, target))
    studio.push_screen(Ask(WHERE, proposed, new_folder, launching.complete_file), answered)


def _ask_for_name(studio: "Studio", run: Path) -> None:
    from finetui.screens.ask import Ask

    def check(text: str) -> str:
        owner, _, name = text.strip().partition("/")
        if not owner or not name:
            raise InputError(Problem("that names no repository", hint="write it as owner/name"))
        return text.strip()

    def answered(text: str | None) -> None:
        if text is not None:
            _export(studio, run, "hub", _proposed(run, "hub"), check(text))

    studio.push_screen(Ask(NAME, "", check), answered)


def _proposed(run: Path, target: str) -> Path:
    return Path.cwd() / f"{run.name}-{target}"


def new_folder(text: str) -> Path:
    """The folder that was typed. Raises InputError where something is there, or its place is not."""
    path = launching.typed_path(text, "no folder is named")
    if path.exists() or path.is_symlink():
        raise InputError(Problem(f"{path.name} is there already", hint="name a new folder"))
    if not path.parent.is_dir():
        raise InputError(Problem(f"there is no folder {path.parent}", hint="name a folder that exists"))
    return path


def _export(studio: "Studio", run: Path, target: str, folder: Path, name: str = "") -> None:
    named = ["--name", name] if name else []
    arguments = ["export", str(run), "--to", target, "--out", str(folder), *named]
    studio.being_exported.add(run)
    studio.notice(f"exporting {run.name}: it is written, then asked the same as the run …")

    def work() -> None:
        worker = get_current_worker()
        launched = launching.launch(arguments, lambda: worker.is_cancelled)
        if launched is not None:
            studio.call_later(_ended, studio, run, launched)

    studio.run_worker(work, thread=True, exit_on_error=False, group="launch")


def _ended(studio: "Studio", run: Path, launched: Launched) -> None:
    studio.being_exported.discard(run)
    _tell(studio, partial(_told, run, launched))


def _told(run: Path, launched: Launched) -> tuple[str, str, str]:
    """Title, text and style of what the command said: what was found first, then how the folder is used."""
    onward = launched.said[launched.said.rfind("\nin ") + 1 :]
    if launched.code == 0:
        return f"{run.name} is exported", f"{launched.answer}\n{onward}".strip(), "good"
    if launched.code == DIFFERS:
        return f"{run.name} is exported, and differs", f"{launched.answer}\n{onward}".strip(), "bad"
    code = "" if launched.code == launching.BAD_INPUT else f" (exit code {launched.code})"
    return f"{run.name} was not exported{code}", launched.said, "bad"


def _tell(studio: "Studio", told: Callable[[], tuple[str, str, str]]) -> None:
    """Once no dialog and no text field would lose keys to it."""
    from finetui.screens.told import Told

    if studio.screen.is_modal or isinstance(studio.focused, Input | TextEditor):
        studio.set_timer(_BUSY_SECONDS, partial(_tell, studio, told))
        return
    title, text, style = told()
    studio.push_screen(Told(title, text, style=style))
