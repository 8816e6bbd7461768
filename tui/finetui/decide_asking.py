"""What the Decide station asks: for files and rows, and before any answers are lost."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from finetui import decide_sheet, launching
from finetui.decide_sheet import NEW_NAME, Sheet
from finetui.remembered import forget, keep, recall
from finetui.screens.ask import Ask
from finetui.screens.choose import Choose
from finetui.screens.told import Told
from finetui_core import wording
from finetui_core.decide.questions import Answer, Questions
from finetui_core.errors import InputError, Problem
from finetui_core.recipe.saving import Opened, write_new_recipe

if TYPE_CHECKING:
    from finetui.app import Studio

SAVE, DISCARD, STAY = "save", "discard", "stay"
OVERWRITE, SAVE_AS = "overwrite", "save as"
UNSAVED = "unsaved_answers"
Then = Callable[[], None]


class Unsaved(msgspec.Struct, frozen=True):
    """Answers that were not saved when ftui ended; `path` is their file ("" for none), `content` what that held."""

    path: str
    folder: str
    answers: dict[str, Answer]
    asked: tuple[str, ...]
    saved: dict[str, Answer] = {}
    content: bytes = b""
    at: float = 0.0


def keep_unsaved(sheet: Sheet) -> None:
    """Keep the answers for the next start, or forget those of an earlier one where all are saved."""
    if not sheet.unsaved:
        forget(UNSAVED)
        return
    opened = sheet.opened
    kept = Unsaved(
        str(opened.path) if opened else "",
        str(sheet.folder),
        dict(sheet.answers),
        sheet.asked,
        dict(sheet.saved),
        opened.content if opened else b"",
        time.time(),
    )
    keep(UNSAVED, kept)


def unsaved_sheet(questions: Questions) -> tuple[Sheet, str] | None:
    """The answers that were kept, unsaved still, and a sentence about them."""
    kept = recall(UNSAVED, Unsaved, Unsaved("", "", {}, ()))
    keys = {one.key for one in questions.questions}
    if set(kept.answers) != keys or set(kept.saved) != keys or not keys.issuperset(kept.asked):
        return None
    path = Path(kept.path) if kept.path else None
    opened = Opened(path, kept.content.decode("utf-8-sig", "replace"), kept.content) if path else None
    name = path.name if path else NEW_NAME
    sheet = Sheet(opened, name, Path(kept.folder), kept.answers, kept.saved, kept.asked)
    ago = wording.duration(max(0.0, time.time() - kept.at))
    return (
        sheet,
        f"The answers that ftui had not saved when it ended {ago} ago are back: w saves, N starts anew",
    )


def open_or_tell(studio: "Studio", path: Path, questions: Questions) -> Sheet | None:
    """The answers at a path; None, and it is told why, where they cannot be read."""
    try:
        return decide_sheet.opened_sheet(path, questions)
    except (InputError, OSError) as error:
        studio.push_screen(Told(f"{path.name} cannot be opened", str(error)))
        return None


def ask_to_open(studio: "Studio", then: Callable[[Path], None]) -> None:
    def check(text: str) -> None:
        path = launching.typed_path(text)
        if not path.is_file():
            raise InputError(Problem(f"there is no file {path.name}", hint="tab completes a path"))

    ask = Ask("Answers to open (a TOML file)", "", check, launching.complete_path)
    studio.push_screen(ask, lambda text: then(launching.typed_path(text)) if text is not None else None)


def ask_for_rows(studio: "Studio", proposed: str, then: Callable[[str], None]) -> None:
    """Ask for a data set to propose answers from."""

    def check(text: str) -> None:
        from finetui_core.data.readers import form_of

        form_of(str(launching.typed_path(text)))

    ask = Ask("Training rows to propose answers from", proposed, check, launching.complete_file)
    studio.push_screen(ask, lambda text: then(str(launching.typed_path(text))) if text is not None else None)


def ask_if_unsaved(studio: "Studio", sheet: Sheet, questions: Questions, what: str, then: Then) -> None:
    """Go on with `then` once nothing unsaved can be lost by it, or the user says that it may be."""
    if not sheet.unsaved:
        then()
        return
    answers = [
        (SAVE, "write them into a file, then go on"),
        (DISCARD, "go on without them"),
        (STAY, "do nothing"),
    ]

    def answered(answer: str | None) -> None:
        if answer == SAVE:
            save(studio, sheet, questions, then)
        elif answer == DISCARD:
            then()

    studio.push_screen(Choose(f"{sheet.name} has answers that are not saved. {what}", answers), answered)


def save(studio: "Studio", sheet: Sheet, questions: Questions, then: Then) -> None:
    """Write the answers into their file, or a new one, and go on with `then` once they are there."""
    if sheet.opened is None:
        save_as(studio, sheet, questions, then)
    elif decide_sheet.changed_on_disk(sheet):
        _ask_about_change(studio, sheet, questions, then)
    else:
        _try(studio, sheet.name, partial(decide_sheet.save, sheet, questions), then)


def _ask_about_change(studio: "Studio", sheet: Sheet, questions: Questions, then: Then) -> None:
    answers = [
        (OVERWRITE, "put these answers in the place of what the file holds now"),
        (SAVE_AS, "leave the file as it is now, and write a new one"),
        (STAY, "do nothing"),
    ]

    def answered(answer: str | None) -> None:
        if answer == OVERWRITE:
            _try(studio, sheet.name, partial(decide_sheet.save_over, sheet, questions), then)
        elif answer == SAVE_AS:
            save_as(studio, sheet, questions, then)

    what = f"Another program has changed {sheet.name} since it was read, or has taken it away."
    studio.push_screen(Choose(what, answers), answered)


def save_as(studio: "Studio", sheet: Sheet, questions: Questions, then: Then) -> None:
    """Ask for a new file, and write the answers into it."""

    def write(path: Path) -> None:
        _try(studio, path.name, partial(decide_sheet.save_as, sheet, path, questions), then)

    _ask_new_file(studio, "The new file of answers", sheet.folder / sheet.name, write)


def save_page(studio: "Studio", folder: Path, text: str) -> None:
    """Ask for a new file, and write the page into it."""

    def write(path: Path) -> None:
        _try(studio, path.name, partial(write_new_recipe, path, text), lambda: None)

    _ask_new_file(studio, "The page (Markdown)", folder / "decision.md", write)


def _ask_new_file(studio: "Studio", question: str, path: Path, then: Callable[[Path], None]) -> None:
    names = [path, *(path.with_stem(f"{path.stem}-{number}") for number in range(2, 100))]
    proposed = launching.as_typed(next((name for name in names if not os.path.lexists(name)), path))
    ask = Ask(question, proposed, _check_new, launching.complete_file)
    studio.push_screen(ask, lambda text: then(launching.typed_path(text)) if text is not None else None)


def _check_new(text: str) -> None:
    """Raises InputError where the text is no path for a new file."""
    path = launching.typed_path(text)
    if os.path.lexists(path):
        raise InputError(Problem(f"{path.name} exists already", hint="give another name"))
    if not path.parent.is_dir():
        raise InputError(
            Problem(f"there is no folder {path.parent}", hint="name a file in a folder that exists")
        )


def _try(studio: "Studio", name: str, write: Then, then: Then) -> None:
    try:
        write()
    except InputError as error:
        studio.push_screen(Told(f"{name} was not saved", str(error)))
    except OSError as error:
        studio.push_screen(Told(f"{name} was not saved", f"it cannot be written: {error.strerror}"))
    else:
        studio.notice(f"{name} is saved")
        then()
