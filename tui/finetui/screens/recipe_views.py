"""The form and the text of a recipe, each of which follows the other, and the panels that stand beside the form."""

from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Container
from textual.message import Message
from textual.widget import Widget

from finetui.recipe_draft import Draft
from finetui.recipe_form import FORM_COLUMNS, LEVELS, form_records
from finetui.recipe_seen import Fault, Seen
from finetui.screens.recipe_difference import DifferencePanel
from finetui.screens.recipe_preflight import PreflightPanel
from finetui.widgets.table import Table
from finetui.widgets.text_editor import TextEditor
from finetui_core.recipe.table import OptionInfo, options_by_path

PANELS = ("text", "difference", "preflight")


def option_of(key: str | None) -> OptionInfo | None:
    """The option that "table.name" names."""
    table, _, name = (key or "").partition(".")
    return options_by_path().get((table, name))


class RecipeViews(Container):
    """Shows a draft and what is known of it; says when another option is chosen, or another view has the keys."""

    class Moved(Message):
        """Another option is chosen, or the keys go elsewhere."""

    def __init__(self, root: Path) -> None:
        super().__init__(id="views")
        self._root = root
        self._draft: Draft | None = None
        self._seen: Seen | None = None
        self._last_fault: Fault | None = None
        self.level = LEVELS[0]
        self.words = ""
        self.panel = PANELS[0]

    def compose(self) -> ComposeResult:
        yield Table(FORM_COLUMNS, id="form", beside=True)
        yield TextEditor(id="text")
        yield DifferencePanel(self._root)
        yield PreflightPanel(self._root)

    @property
    def form(self) -> Table:
        return self.query_one("#form", Table)

    @property
    def editor(self) -> TextEditor:
        return self.query_one(TextEditor)

    @property
    def difference(self) -> DifferencePanel:
        return self.query_one(DifferencePanel)

    @property
    def preflight(self) -> PreflightPanel:
        return self.query_one(PreflightPanel)

    # Showing.

    def begin(self) -> None:
        """Another recipe is to be shown."""
        self._last_fault, self.words = None, ""

    def show(self, draft: Draft | None, seen: Seen | None) -> None:
        """Show the draft and what is known of it now."""
        self._draft, self._seen = draft, seen
        self._show_form()
        marks = {fault.line: "bad" for fault in seen.faults} if seen is not None else {}
        self.editor.show(draft, marks)
        self.difference.show(seen)
        self._follow_text()

    def _show_form(self) -> None:
        if self._seen is not None:
            self.form.show(form_records(self._seen, self.level, self.words))

    def next_level(self) -> None:
        self.level = LEVELS[(LEVELS.index(self.level) + 1) % len(LEVELS)]
        self._show_form()

    def find(self, words: str) -> None:
        """Show only the options that fit some words."""
        self.words = words.strip()
        self._show_form()
        if self.words:
            self.form.cursor = 1  # below the heading

    # Where the keys go.

    def show_panel(self, name: str) -> None:
        """What stands beside the form, or below it."""
        self.panel = name
        for one in ("text", "difference"):
            self.query_one(f"#{one}").display = one == name
        self.screen.set_class(name == "preflight", "-preflight")
        self.difference.show(self._seen)

    def compare(self, against: str) -> None:
        """Show what differs from another one. Raises InputError where the folder of runs cannot be read."""
        self.difference.compare(against)
        self.show_panel("difference")
        self.beside.focus()

    def turn(self, direction: int) -> None:
        """Compare with the next one, or the one before, where a difference is shown."""
        if self.panel == "difference":
            self.difference.turn(direction)
            self.difference.show(self._seen)

    @property
    def beside(self) -> Widget:
        """The view in the place of the panel that is shown."""
        panels: dict[str, Widget] = {
            "text": self.editor,
            "difference": self.difference.table,
            "preflight": self.preflight.table,
        }
        return panels[self.panel]

    def switch(self) -> None:
        (self.beside if self.form.has_focus else self.form).focus()

    def back(self) -> None:
        """To the form, and first to all its options, and the text beside it."""
        if self.words:
            self.reveal(self.form.chosen or "")
        elif self.panel != "text":
            self.show_panel("text")
        self.form.focus()

    # One view follows the other.

    @property
    def key(self) -> str | None:
        """The option that is chosen: in the text, among the differences, or in the form."""
        if self.editor.has_focus:
            return self._seen.option_at(self.editor.line) if self._seen else None
        table = self.difference.table
        return table.chosen if table.has_focus else self.form.chosen

    def on_table_chosen(self) -> None:
        seen, key = self._seen, self.form.chosen
        if seen is not None and key is not None and not self.editor.has_focus:
            lines = seen.line_of(key)
            if lines is not None and not lines[0] <= self.editor.line <= lines[1]:
                self.editor.go_to(lines[0], 0)
        self.post_message(self.Moved())

    def on_text_editor_moved(self) -> None:
        self._follow_text()

    def _follow_text(self) -> None:
        if self.editor.has_focus and (key := self.key) is not None:
            self.form.go_to(key)
        self.post_message(self.Moved())

    def reveal(self, key: str) -> None:
        """Choose an option in the form, whatever is filtered there or hidden by its level."""
        option = option_of(key)
        if option is not None and self._seen is not None and option.dotted not in self._seen.where:
            self.level = max(self.level, option.level, key=LEVELS.index)
        self.words = ""
        self._show_form()
        self.form.go_to(key)

    def open_in_text(self, key: str) -> None:
        """Edit what is no option where it is written."""
        if self._seen is not None and (lines := self._seen.line_of(key)) is not None:
            self.show_panel("text")
            self.editor.go_to(lines[0], 0)
            self.editor.focus()

    # Faults.

    def go_to_fault(self, direction: int) -> None:
        """To the next fault, or the one before, from the last one or from the line of the cursor."""
        if self._seen is None or not self._seen.faults:
            return
        faults = sorted(self._seen.faults, key=lambda fault: (fault.line, fault.column))
        if self._last_fault in faults:
            place = faults.index(self._last_fault) + direction
        else:
            behind = [at for at, fault in enumerate(faults) if fault.line >= self.editor.line]
            place = (behind[0] if behind else 0) - (direction < 0)
        self._last_fault = fault = faults[place % len(faults)]
        self.reveal(fault.key)
        self.editor.go_to(fault.line, fault.column)
        self.post_message(self.Moved())

    @property
    def fault(self) -> Fault | None:
        """The fault that is told of: the one gone to last, where it is that of the chosen option."""
        if self._seen is None or self._seen.syntax is not None:
            return self._seen.syntax if self._seen is not None else None
        own = [fault for fault in self._seen.faults if fault.key == self.key]
        return self._last_fault if self._last_fault in own else own[0] if own else None
