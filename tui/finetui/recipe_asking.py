"""What the Recipe station asks: for values, files and presets, and before anything unsaved is lost."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import SuspendNotSupported

from finetui import launching, recipe_files
from finetui.recipe_draft import Draft
from finetui.recipe_seen import Seen
from finetui.recipe_values import PATHS, as_typed, check_typed, typed_value
from finetui.screens.ask import Ask
from finetui.screens.choose import Choose
from finetui.screens.told import Told
from finetui_core import wording
from finetui_core.errors import InputError
from finetui_core.preflight.devices import find_device
from finetui_core.recipe.presets import preset_names, preset_purpose
from finetui_core.recipe.table import OptionInfo

if TYPE_CHECKING:
    from finetui.app import Studio

SAVE, DISCARD, STAY = "save", "discard", "stay"
RELOAD, OVERWRITE, SAVE_AS = "read again", "overwrite", "save as"
RESTORE, FORGET, LATER = "bring back", "forget", "later"
Then = Callable[[], None]


def ask_value(
    studio: "Studio", draft: Draft, seen: Seen, option: OptionInfo, then: Callable[[Any], None]
) -> None:
    """Ask for the value of an option: one of a few, or a line of text."""
    shown = seen.shown.get(option.dotted)
    value = shown.value if shown is not None else option.default
    if option.kind == "choice":
        answers = [(word, "the default" if word == option.default else "") for word in option.choices]
        chosen = Choose(f"{option.dotted}: {option.help}", answers, str(value))
        studio.push_screen(chosen, lambda answer: then(answer) if answer is not None else None)
        return
    is_given = option.path in (seen.checked.given if seen.checked is not None else {})
    written: Any = seen.checked.values[option.table][option.name] if is_given and seen.checked else value
    complete = partial(_completed, draft.folder) if option.path in PATHS else None
    check = partial(check_typed, draft.text, option, folder=draft.folder)
    question = f"{option.dotted}: {option.type}"
    studio.push_screen(
        Ask(question, as_typed(option, written), check, complete),
        lambda text: then(typed_value(option, text)) if text is not None else None,
    )


def _completed(folder: Path, text: str) -> str:
    """A path in a recipe starts at its folder."""
    if text.startswith(("/", "~", "hub:")):
        return launching.complete_file(text)
    return launching.complete_file(f"{folder}/{text}").removeprefix(f"{folder}/")


def ask_device(studio: "Studio", device: str, then: Callable[[str], None]) -> None:
    """Ask for a device by a name of the table or by its memory; nothing stands for this machine."""

    def check(text: str) -> None:
        if text.strip():
            find_device(text)

    question = 'Would it fit? "24GB", "rtx 4090", "a100", "cpu"; nothing for this machine'
    studio.push_screen(
        Ask(question, device, check), lambda text: then(text.strip()) if text is not None else None
    )


def ask_preset(studio: "Studio", question: str, then: Callable[[str], None]) -> None:
    answers = [(name, preset_purpose(name)) for name in preset_names()]
    studio.push_screen(Choose(question, answers), lambda name: then(name) if name is not None else None)


def open_or_tell(studio: "Studio", path: Path) -> Draft | None:
    """The recipe at a path; None, and it is told why, where there is none to read."""
    try:
        return recipe_files.open_draft(path)
    except InputError as error:
        studio.push_screen(Told(f"{path.name} cannot be opened", str(error)))
        return None


def ask_to_open(studio: "Studio", then: Callable[[Path], None]) -> None:
    ask = Ask(
        "Recipe to open (a TOML file)",
        launching.proposed_recipe(),
        recipe_files.check_openable,
        launching.complete_path,
    )
    studio.push_screen(ask, lambda text: then(launching.recipe_path(text)) if text is not None else None)


def ask_if_unsaved(
    studio: "Studio", draft: Draft | None, what: str, then: Then, otherwise: Then = lambda: None
) -> None:
    """Go on with `then` once nothing unsaved can be lost by it, or the user says that it may be."""
    if draft is None or not draft.unsaved:
        then()
        return
    answers = [
        (SAVE, "write it into its file, then go on"),
        (DISCARD, "go on without the changes"),
        (STAY, "do nothing"),
    ]

    def answered(answer: str | None) -> None:
        if answer == SAVE:
            otherwise()
            save(studio, draft, then)
        elif answer == DISCARD:
            then()
        else:
            otherwise()

    studio.push_screen(Choose(f"{draft.name} has changes that are not saved. {what}", answers), answered)


def ask_to_quit(studio: "Studio", draft: Draft, leave: Then, stay: Then) -> None:
    """`leave` once nothing is lost by it; `stay` where the question is over and ftui goes on."""
    ask_if_unsaved(studio, draft, "ftui is to end.", leave, stay)


def save(studio: "Studio", draft: Draft, then: Then, reload: Then | None = None) -> None:
    """Write the draft into its file, and go on with `then` once it is there."""
    if draft.opened is None:
        save_as(studio, draft, then)
    elif recipe_files.changed_on_disk(draft):
        _ask_about_change(studio, draft, then, reload)
    else:
        _try(studio, draft, partial(recipe_files.save, draft), then)


def _ask_about_change(studio: "Studio", draft: Draft, then: Then, reload: Then | None) -> None:
    answers = (
        [(RELOAD, "take what the file holds now; your changes can be had back with undo")] if reload else []
    )
    answers += [
        (OVERWRITE, "put this text in the place of what the file holds now"),
        (SAVE_AS, "leave the file as it is now, and write a new one"),
        (STAY, "do nothing"),
    ]

    def answered(answer: str | None) -> None:
        if answer == RELOAD and reload is not None:
            reload()
        elif answer == OVERWRITE:
            _try(studio, draft, partial(recipe_files.save_over, draft), then)
        elif answer == SAVE_AS:
            save_as(studio, draft, then)

    what = f"Another program has changed {draft.name} since it was read, or has taken it away."
    studio.push_screen(Choose(what, answers), answered)


def save_as(studio: "Studio", draft: Draft, then: Then) -> None:
    """Ask for a new file, and write the draft into it."""
    proposed = launching.as_typed(_free_name(draft.folder / draft.name))

    def answered(text: str | None) -> None:
        if text is not None:
            path = launching.recipe_path(text)
            _try(studio, draft, partial(recipe_files.save_as, draft, path), then)

    ask = Ask("The new recipe", proposed, recipe_files.check_new_path, launching.complete_path)
    studio.push_screen(ask, answered)


def _free_name(path: Path) -> Path:
    names = [path, *(path.with_stem(f"{path.stem}-{number}") for number in range(2, 100))]
    return next((name for name in names if not name.exists()), path)


def _try(studio: "Studio", draft: Draft, write: Then, then: Then) -> None:
    try:
        write()
    except InputError as error:
        studio.push_screen(Told(f"{draft.name} was not saved", str(error)))
    else:
        studio.notice(f"{draft.name} is saved")
        then()


def edit_elsewhere(studio: "Studio", draft: Draft) -> str | None:
    """The text as the person's own editor leaves it; None where it stays as it is."""
    try:
        with studio.suspend():
            return recipe_files.edited_elsewhere(draft.text, draft.name)
    except SuspendNotSupported:
        studio.notice("The terminal cannot be given to an editor here.", "warning")
    except InputError as error:
        studio.notice(str(error), "warning")
    return None


def offer_unsaved(studio: "Studio", then: Callable[[Draft], None], otherwise: Then) -> None:
    """Ask about a text that was not saved when ftui ended last, where one was kept."""
    found = recipe_files.find_unsaved()
    if found is None:
        otherwise()
        return
    file, kept = found
    name = Path(kept.path).name or "a new recipe"
    answers = [
        (RESTORE, "open it with its changes, unsaved still"),
        (FORGET, "throw the changes away"),
        (LATER, "ask again next time"),
    ]

    def answered(answer: str | None) -> None:
        if answer in (RESTORE, FORGET):
            recipe_files.forget_unsaved(file)
        if answer == RESTORE:
            then(recipe_files.unsaved_draft(kept))
        else:
            otherwise()

    ago = wording.duration(max(0.0, time.time() - kept.at))
    what = f"ftui ended {ago} ago, before the changes of {name} were saved."
    studio.push_screen(Choose(what, answers), answered)
