"""Taking a run's model elsewhere from the screens: to what, where to, and what the check found."""

from pathlib import Path
from typing import TYPE_CHECKING

from textual.worker import get_current_worker

from finetui import launching
from finetui.launching import Launched
from finetui.telling import tell, with_code
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
    """Tell what was found first, then how the folder is used; of an export that failed all that was said."""
    studio.being_exported.discard(run)
    onward = launched.said[launched.said.rfind("\nin ") + 1 :]
    found = f"{launched.answer}\n{onward}".strip()
    if launched.code == 0:
        tell(studio, f"{run.name} is exported", found, style="good")
    elif launched.code == DIFFERS:
        tell(studio, f"{run.name} is exported, and differs", found)
    else:
        tell(studio, with_code(f"{run.name} was not exported", launched.code), launched.said)
