"""Which file the Data station opens, and with which recipe it shows rows as tokens: asked, checked, remembered."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from finetui import launching
from finetui.data_file import DataFile
from finetui.remembered import keep, recall
from finetui_core.errors import InputError

if TYPE_CHECKING:
    from finetui.app import Studio

LAST_DATA, LAST_TOKENS = "last_data", "last_data_recipe"
FILE = "Data set (JSONL, JSON, CSV, Parquet, Arrow or text)"
RECIPE = "Recipe whose model shows the rows as tokens (a TOML file)"


class Used(msgspec.Struct, frozen=True):
    """The path that was used last."""

    path: str


def last_file() -> str:
    """The data set opened last, where it is still there; "" otherwise."""
    path = recall(LAST_DATA, Used, Used("")).path
    return path if path and Path(path).is_file() else ""


def keep_file(path: str) -> None:
    keep(LAST_DATA, Used(path))


def open_or_tell(studio: "Studio", source: str, opened: Callable[[DataFile], object]) -> None:
    """In a thread: open the data set, or show why it cannot be."""
    from finetui.screens.told import Told

    def tell(said: str) -> None:
        studio.push_screen(Told(f"{source} cannot be opened", said))

    try:
        studio.call_later(opened, DataFile(source))
    except (InputError, OSError) as error:
        studio.call_later(tell, str(error))


def last_recipe() -> str:
    """The recipe to show tokens with: the one chosen last, or else the one that a run was started from last."""
    chosen = recall(LAST_TOKENS, Used, Used("")).path
    started = recall(launching.LAST_RECIPE, launching.UsedRecipe, launching.UsedRecipe("")).path
    return next((path for path in (chosen, started) if path and Path(path).is_file()), "")


def ask_for_file(studio: "Studio", then: Callable[[str], None]) -> None:
    """Ask for a data set."""
    from finetui.screens.ask import Ask

    def answered(text: str | None) -> None:
        if text is not None:
            then(str(launching.typed_path(text)))

    studio.push_screen(Ask(FILE, _proposed(), _check_file, launching.complete_file), answered)


def ask_for_recipe(studio: "Studio", then: Callable[[str], None]) -> None:
    from finetui.screens.ask import Ask

    def answered(text: str | None) -> None:
        if text is not None:
            path = str(launching.recipe_path(text))
            keep(LAST_TOKENS, Used(path))
            then(path)

    proposed = launching.as_typed(Path(last_recipe())) if last_recipe() else launching.proposed_recipe()
    studio.push_screen(Ask(RECIPE, proposed, _check_recipe, launching.complete_path), answered)


def _proposed() -> str:
    """The data set opened last, else the sample data."""
    from finetui_core.cli.demo import sample_data

    if last := last_file():
        return launching.as_typed(Path(last))
    try:
        return launching.as_typed(sample_data() / "support_chat.jsonl")
    except InputError:
        return ""


def _check_file(text: str) -> None:
    """Raises InputError where no file that holds rows is named."""
    from finetui_core.data.readers import form_of

    form_of(str(launching.typed_path(text)))


def _check_recipe(text: str) -> None:
    """Raises InputError where no recipe is named; its data files need not be there."""
    from finetui_core.errors import Problem

    path = launching.recipe_path(text)
    if not path.is_file():
        raise InputError(Problem(f"there is no file {path.name}", str(path), "tab completes a path"))
