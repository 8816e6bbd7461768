"""What is asked for a conversation: which model, settings, a file for rows; and the person's own editor."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from textual.app import SuspendNotSupported

from finetui import launching
from finetui.compare_starting import subject_path
from finetui.recipe_files import edited_elsewhere
from finetui.remembered import keep, recall
from finetui_core.errors import InputError, Problem
from finetui_core.evaluate.chat_protocol import Sampling
from finetui_core.evaluate.chat_settings import sampling_of

if TYPE_CHECKING:
    from finetui.app import Studio

WHICH = "Talk to what? A run's folder, or before there is a run a recipe (TOML)"
LAST_ROWS = "chat-rows.json"
NEW_ROWS = "next_round.jsonl"
ASKED = {
    "temperature": "Temperature: 0 takes the likeliest token, more draws others too",
    "top_p": "Top-p: draw from the likeliest tokens that together have this share",
    "max_new_tokens": "The longest answer, in tokens",
    "seed": "Seed: what is drawn, the same for both sides",
}


class UsedRows(msgspec.Struct, frozen=True):
    """The file to which rows were added last."""

    path: str


def ask_for_subject(studio: "Studio", proposed: Path | None, then: Callable[[Path], object]) -> None:
    from finetui.screens.ask import Ask

    def answered(text: str | None) -> None:
        if text is not None:
            then(subject_path(text))

    text = launching.as_typed(proposed) if proposed else launching.proposed_recipe()
    studio.push_screen(Ask(WHICH, text, subject_path, launching.complete_path), answered)


def ask_for_setting(
    studio: "Studio", name: str, sampling: Sampling, then: Callable[[Sampling], object]
) -> None:
    from finetui.screens.ask import Ask

    def answered(text: str | None) -> None:
        if text is not None:
            then(sampling_of({name: text}, sampling))

    check = lambda text: sampling_of({name: text}, sampling)  # noqa: E731
    studio.push_screen(Ask(ASKED[name], f"{getattr(sampling, name):g}", check), answered)


def ask_for_system(studio: "Studio", system: str, then: Callable[[str], object]) -> None:
    from finetui.screens.ask import Ask

    def answered(text: str | None) -> None:
        if text is not None:
            then(text.strip())

    studio.push_screen(Ask("System prompt, empty for none; a new one counts at once", system, str), answered)


def ask_for_rows(studio: "Studio", then: Callable[[Path], object]) -> None:
    """Name a file of JSON lines to add a row to."""
    from finetui.screens.ask import Ask

    def check(text: str) -> Path:
        path = launching.typed_path(text)
        if path.suffix != ".jsonl":
            raise InputError(
                Problem(f"{path.name} is no .jsonl file", hint="rows are added to JSON lines only")
            )
        if not path.parent.is_dir():
            raise InputError(Problem(f"there is no folder {path.parent}", hint="name a folder that exists"))
        return path

    def answered(text: str | None) -> None:
        if text is not None:
            path = check(text)
            keep(LAST_ROWS, UsedRows(str(path)))
            then(path)

    used = recall(LAST_ROWS, UsedRows, UsedRows("")).path
    text = launching.as_typed(Path(used)) if used else NEW_ROWS
    question = "Add the conversation as a row to which file? One of JSON lines, or a new one"
    studio.push_screen(Ask(question, text, check, launching.complete_file), answered)


def edit_text(studio: "Studio", text: str, name: str) -> str | None:
    """The text as the person's editor leaves it, None where there is none."""
    try:
        with studio.suspend():
            return edited_elsewhere(text, name, "The answer is as it was.").rstrip("\n")
    except SuspendNotSupported:
        studio.notice("The terminal cannot be given to an editor here.", "warning")
    except InputError as error:
        studio.notice(str(error), "error")
    return None
