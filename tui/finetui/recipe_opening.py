"""The file of the recipe that is edited: opened, saved, read again, given to another editor, and started."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual.screen import Screen

from finetui import launching, recipe_asking, recipe_files
from finetui.recipe_draft import Draft
from finetui.recipe_editing import Editing

if TYPE_CHECKING:
    from finetui.app import Studio


class Opening:
    """Nothing unsaved is lost without a question. `taken` is called with a draft that is to be shown."""

    def __init__(
        self, screen: Screen[None], root: Path, editing: Editing, taken: Callable[[Draft], None]
    ) -> None:
        self._screen, self._root, self._editing, self._taken = screen, root, editing, taken

    @property
    def _studio(self) -> "Studio":
        return cast("Studio", self._screen.app)

    def open_last(self) -> None:
        """The recipe used last, where none is open; before, what was not saved is offered."""
        if self._editing.draft is None:
            recipe_asking.offer_unsaved(self._studio, self._taken, self._open_proposed)

    def _open_proposed(self) -> None:
        if self._editing.draft is None and (proposed := launching.proposed_recipe()):
            self._open(launching.recipe_path(proposed))

    def open(self, path: Path) -> None:
        opening = partial(self._open, path)
        what = "Another recipe is to be opened."
        recipe_asking.ask_if_unsaved(self._studio, self._editing.draft, what, opening)

    def _open(self, path: Path) -> None:
        if (draft := recipe_asking.open_or_tell(self._studio, path)) is not None:
            launching.keep_recipe(path)
            self._taken(draft)

    def ask_to_open(self) -> None:
        recipe_asking.ask_to_open(self._studio, self.open)

    def new(self) -> None:
        def chosen(preset: str) -> None:
            self._taken(recipe_files.preset_draft(preset, self._studio.open_rows))

        asking = partial(recipe_asking.ask_preset, self._studio, "A new recipe from which preset?", chosen)
        recipe_asking.ask_if_unsaved(self._studio, self._editing.draft, "A new one is to be started.", asking)

    def save(self, draft: Draft) -> None:
        recipe_asking.save(self._studio, draft, self._editing.look, self._read_again)

    def save_as(self, draft: Draft) -> None:
        recipe_asking.save_as(self._studio, draft, self._editing.look)

    def again(self, draft: Draft) -> None:
        what = "Reading the file again takes what it holds now."
        recipe_asking.ask_if_unsaved(self._studio, draft, what, self._read_again)

    def _read_again(self) -> None:
        """What the file holds becomes a step of the history, so that undo brings back what was here."""
        draft = self._editing.draft
        if draft is None or draft.opened is None:
            return
        if (read := recipe_asking.open_or_tell(self._studio, draft.opened.path)) is not None:
            draft.opened, draft.saved = read.opened, read.saved
            draft.change(read.text)
            self._editing.look()

    def elsewhere(self, draft: Draft) -> None:
        """In the person's own editor."""
        self._editing.replace(recipe_asking.edit_elsewhere(self._studio, draft) or draft.text)

    def start(self, draft: Draft) -> None:
        """Ask whether to start a run of what is saved."""
        from finetui.starting import ask_to_start_recipe

        def start() -> None:
            self._editing.look()
            if draft.opened is not None:
                ask_to_start_recipe(self._studio, draft.opened.path, self._root)

        recipe_asking.save(self._studio, draft, start, self._read_again) if draft.unsaved else start()

    def on_disk(self) -> str:
        """What is to be said of the file as it is on the disk now."""
        draft = self._editing.draft
        changed = draft is not None and recipe_files.changed_on_disk(draft)
        return "changed on disk: r reads it again" if changed else ""
