"""The draft that the Recipe station edits, what is known of it, and each way to change it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from textual.screen import Screen

from finetui.recipe_draft import Draft
from finetui.recipe_seen import Fault, Seen, see
from finetui.recipe_values import stepped
from finetui_core.errors import InputError
from finetui_core.recipe.edit import set_value
from finetui_core.recipe.facts import Facts, look
from finetui_core.recipe.mends import Mend, mend
from finetui_core.recipe.options import Recipe
from finetui_core.recipe.table import OptionInfo


class Editing:
    """`changed` is called after each change and when more is known, `failed` with what cannot be done."""

    def __init__(
        self, screen: Screen[None], changed: Callable[[], None], failed: Callable[[str], None]
    ) -> None:
        self._screen, self._changed, self._failed = screen, changed, failed
        self._known: tuple[object, Facts] = (None, Facts())
        self.draft: Draft | None = None
        self.seen: Seen | None = None

    def take(self, draft: Draft) -> None:
        """Edit another draft, of which nothing is known yet."""
        self.draft, self.seen, self._known = draft, None, (None, Facts())
        self.look()

    def look(self) -> None:
        """Check the text."""
        if (draft := self.draft) is not None:
            self.seen = see(draft.text, draft.name, draft.folder, self._known[1], self.seen)
            self._look_up_facts()
        self._changed()

    # Changes.

    def replace(self, text: str) -> None:
        if self.draft is not None and self.draft.change(text):
            self.look()

    def edit(self, change: Callable[..., str], *arguments: Any) -> None:
        """Change the text by a function of `recipe.edit` and the like; where that cannot be, it is told."""
        if self.draft is None:
            return
        try:
            text = change(self.draft.text, *arguments)
        except InputError as error:
            self._failed(str(error))
        else:
            self.replace(text)

    def step(self, option: OptionInfo, direction: int) -> None:
        """To the next value of an option, or the one before."""
        if self.seen is None:
            return
        shown = self.seen.shown[option.dotted]
        value = stepped(option, shown.value if shown.value is not None else option.default, direction)
        if value is not None and value != shown.value:
            self.edit(set_value, *option.path, value)

    def undo(self) -> None:
        if self.draft is not None and self.draft.undo():
            self.look()

    def redo(self) -> None:
        if self.draft is not None and self.draft.redo():
            self.look()

    def mend_of(self, fault: Fault | None) -> Mend | None:
        """The change that is offered for a fault."""
        draft, seen = self.draft, self.seen
        if draft is None or seen is None or seen.checked is None or fault is None or fault.located is None:
            return None
        return mend(draft.text, seen.checked, fault.located, draft.folder)

    # The model's config and the rows are read in a thread, once for each that is named.

    def _look_up_facts(self) -> None:
        if self.seen is None or self.seen.checked is None:
            return
        recipe = self.seen.checked.recipe
        named = (recipe.model.name, recipe.data.train, recipe.data.val, recipe.data.val_fraction)
        if named != self._known[0]:
            self._known = named, self._known[1]
            work = partial(self._read_facts, named, recipe)
            self._screen.run_worker(work, thread=True, exit_on_error=False, group="facts")

    def _read_facts(self, named: object, recipe: Recipe) -> None:
        facts = look(recipe)
        self._screen.app.call_later(self._have_facts, named, facts)

    def _have_facts(self, named: object, facts: Facts) -> None:
        if named == self._known[0] and facts != self._known[1]:
            self._known = named, facts
            self.look()
