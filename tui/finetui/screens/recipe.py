"""The station Recipe: a recipe as a form and as text, two views of one draft, with every fault at its place."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual import events
from textual.app import ComposeResult
from textual.screen import Screen

from finetui import recipe_asking
from finetui.actions import bindings
from finetui.polling import Poller
from finetui.recipe_detail import detail_rows
from finetui.recipe_draft import Draft
from finetui.recipe_editing import Editing
from finetui.recipe_opening import Opening
from finetui.recipe_preflight import turned
from finetui.recipe_title import NO_RECIPE, title_row, unavailable
from finetui.screens.recipe_views import RecipeViews, option_of
from finetui.widgets.filter_bar import FilterBar
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui.widgets.plot import Row
from finetui.widgets.status_line import LEAST_WIDTH, StatusLine
from finetui.widgets.table import Table
from finetui_core.errors import InputError
from finetui_core.recipe.edit import set_value, unset
from finetui_core.recipe.mends import Mend

if TYPE_CHECKING:
    from finetui.app import Studio

WIDTHS = [(0, "-cramped"), (LEAST_WIDTH, "-narrow"), (120, "-beside"), (160, "-three")]
"""From so many cells on, the text stands beside the form, and what preflight says beside both."""
FORM_SCOPES, TEXT_SCOPES = ("table", "recipe", "studio"), ("text",)
EXAMPLES = "words of a name or its help, such as: rate   batch   memory"


class RecipeScreen(Screen[None]):
    """Holds the draft, and shows it anew when a view or an action has changed it; it stays when it is left."""

    BINDINGS = bindings("recipe")
    HORIZONTAL_BREAKPOINTS = WIDTHS

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root
        self._editing = Editing(self, self._changed, lambda said: self._studio.notice(said, "warning"))
        self._opening = Opening(self, root, self._editing, self._take)
        self._on_disk = ""
        self._first: Callable[[], None] | None = None
        self._poller = Poller(self, self._opening.on_disk, self._show_disk, lambda error: None)

    @property
    def SCOPES(self) -> tuple[str, ...]:
        return TEXT_SCOPES if self.is_attached and self._views.editor.has_focus else FORM_SCOPES

    @property
    def draft(self) -> Draft | None:
        """What would be lost if ftui ended now."""
        return self._editing.draft

    @property
    def subject(self) -> Path | None:
        """The recipe that the station Compare is asked about."""
        draft = self._editing.draft
        return draft.opened.path if draft is not None and draft.opened is not None else None

    @property
    def rows(self) -> tuple[str, str]:
        """The rows that the open recipe trains on, and those kept apart; "" for none."""
        checked = self._editing.seen.checked if self._editing.seen is not None else None
        return (checked.recipe.data.train, checked.recipe.data.val or "") if checked is not None else ("", "")

    def compose(self) -> ComposeResult:
        yield StatusLine("recipe")
        yield Lines(id="title")
        yield RecipeViews(self._root)
        yield Lines(NO_RECIPE, id="empty", tail=True)
        yield Lines(id="about")
        yield KeyBar(FORM_SCOPES)
        yield KeyBar(TEXT_SCOPES)

    def on_mount(self) -> None:
        self._views.show_panel("text")
        self._show_focus()
        self._show()
        self._poller.start()
        if self._first is not None:
            self.call_later(self._first)

    def on_screen_resume(self) -> None:
        self._poller.now()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._show_chosen)
        self.call_after_refresh(self._ask_preflight)

    # Opening and saving.

    def open_last(self) -> None:
        """Show the recipe used last, where none is open; before, offer what was not saved."""
        self._when_shown(self._opening.open_last)

    def open(self, path: Path) -> None:
        """Show the recipe at `path`, once the changes of another one are saved or given up."""
        self._when_shown(partial(self._opening.open, path))

    def _when_shown(self, do: Callable[[], None]) -> None:
        if self.query(KeyBar):
            do()
        else:
            self._first = do

    def _take(self, draft: Draft) -> None:
        self._on_disk = ""
        self._views.begin()
        self._views.show_panel("text")
        self._editing.take(draft)
        self._views.form.cursor = 1  # below the heading
        if draft.opened is None:
            self._views.go_to_fault(1)
        self.call_after_refresh(self._views.form.focus)

    def _show_disk(self, said: str) -> None:
        if said != self._on_disk:
            self._on_disk = said
            self._show_title()

    def action_save(self) -> None:
        if draft := self._possible("save"):
            self._opening.save(draft)

    def action_save_as(self) -> None:
        if draft := self._possible("save_as"):
            self._opening.save_as(draft)

    def action_again(self) -> None:
        if draft := self._possible("again"):
            self._opening.again(draft)

    def action_new(self) -> None:
        self._opening.new()

    def action_open_file(self) -> None:
        self._opening.ask_to_open()

    def action_editor(self) -> None:
        if draft := self._possible("editor"):
            self._opening.elsewhere(draft)

    def action_start(self) -> None:
        if draft := self._possible("start"):
            self._opening.start(draft)

    # What changes the draft.

    def on_text_editor_changed(self) -> None:
        self._editing.look()

    def on_table_opened(self, event: Table.Opened) -> None:
        if event.table is self._views.form:
            self._edit_option(event.key)
        elif event.table is self._views.preflight.table:
            knob = self._views.preflight.knob(event.key)
            if knob is not None and self._possible("edit"):
                self._editing.edit(turned, knob)
                self._studio.notice(f"{knob.name}: done; u undoes it")
        elif event.key:
            self._views.reveal(event.key)
            self._views.form.focus()

    def _edit_option(self, key: str) -> None:
        option = option_of(key)
        if option is None:
            self._views.open_in_text(key)
        elif option.kind == "switch":
            self.action_next_value()
        elif (draft := self._possible("edit")) is not None and self._editing.seen is not None:
            then = partial(self._editing.edit, set_value, *option.path)
            recipe_asking.ask_value(self._studio, draft, self._editing.seen, option, then)

    def action_next_value(self) -> None:
        self._step(1)

    action_more = action_next_value

    def action_less(self) -> None:
        self._step(-1)

    def _step(self, direction: int) -> None:
        option = option_of(self._views.form.chosen)
        if option is not None and self._possible("edit"):
            self._editing.step(option, direction)

    def action_unset(self) -> None:
        key = self._views.form.chosen or ""
        if not key.startswith("[") and self._possible("edit"):
            table, _, name = key.partition(".")
            self._editing.edit(unset, table, name)

    def action_apply(self) -> None:
        if self._possible("apply") and (found := self._editing.mend_of(self._views.fault)) is not None:
            self._editing.replace(found.text)
            table, name = found.path
            self._views.reveal(f"{table}.{name}" if name else f"[{table}]")

    def action_undo(self) -> None:
        if self._possible("undo"):
            self._editing.undo()

    def action_redo(self) -> None:
        if self._possible("redo"):
            self._editing.redo()

    def _changed(self) -> None:
        """Show what is known of the text now."""
        if self.draft is not None and not self.draft.unsaved:
            self._on_disk = ""
        self._show()
        self._ask_preflight()

    # Going about.

    def action_next_fault(self) -> None:
        if self._possible("next_fault"):
            self._leave_filter()
            self._views.go_to_fault(1)

    def action_fault_before(self) -> None:
        if self._possible("next_fault"):
            self._leave_filter()
            self._views.go_to_fault(-1)

    def action_switch(self) -> None:
        if self._possible("switch"):
            self._views.switch()

    def action_back(self) -> None:
        self._leave_filter()
        self._views.back()
        self._show_title()

    def action_level(self) -> None:
        if self._possible("level"):
            self._views.next_level()
            self._show_title()

    def action_about(self) -> None:
        from finetui.screens.told import Told

        if key := self._views.key:
            rows = self._details(self._editing.mend_of(self._views.fault), self.size.width - 2)
            text = "\n".join("".join(part for part, _ in row).rstrip() for row in rows)
            self.app.push_screen(Told(key, text, style="strong"))

    async def action_find(self) -> None:
        bars = self.query(FilterBar)
        if bars:
            bars.first().edit()
        elif self._possible("find"):
            await self.mount(FilterBar(EXAMPLES, self._views.words), after="#title")

    def on_filter_bar_changed(self, event: FilterBar.Changed) -> None:
        self._views.find(event.text)
        self._show_title()

    def on_filter_bar_left(self, event: FilterBar.Left) -> None:
        self._views.form.focus()
        if not event.text.strip():
            self._leave_filter()
            self._views.find("")
            self._show_title()

    def _leave_filter(self) -> None:
        self.query(FilterBar).remove()

    # What stands beside the form.

    def action_difference(self) -> None:
        if self._views.panel == "difference":
            self.action_back()
        elif self._possible("difference"):
            self._compare(self._views.difference.against)

    def action_presets(self) -> None:
        if self._possible("presets"):
            question = "Show what differs from which preset?"
            recipe_asking.ask_preset(self._studio, question, lambda name: self._compare(f"preset {name}"))

    def _compare(self, against: str) -> None:
        try:
            self._views.compare(against)
        except InputError as error:
            self._studio.notice(str(error), "warning")
            return
        self._show_title()

    def action_earlier(self) -> None:
        self._views.turn(-1)
        self._show_title()

    def action_later(self) -> None:
        self._views.turn(1)
        self._show_title()

    def action_take(self) -> None:
        """The value of the other side; where that is left out there, it is taken out here."""
        if self._views.panel == "difference" and self._possible("edit"):
            self._editing.edit(self._views.difference.taken)

    def action_preflight(self) -> None:
        if not self._possible("preflight"):
            return
        if self._views.panel == "preflight":
            self.action_back()
            return
        if not self.has_class("-three"):
            self._views.show_panel("preflight")
        self._views.preflight.table.focus()
        self._ask_preflight()

    def action_device(self) -> None:
        def named(device: str) -> None:
            panel.device = device
            if panel.table.has_focus:
                self._ask_preflight()
            else:
                self.action_preflight()

        panel = self._views.preflight
        if self._possible("preflight"):
            recipe_asking.ask_device(self._studio, panel.device, named)

    def action_trace(self) -> None:
        """Begin a trace, or end the one that is under way."""
        panel = self._views.preflight
        if panel.tracing:
            panel.end_trace()
        elif (draft := self._possible("trace")) is not None:
            if not panel.display:
                self.action_preflight()
            self._ask_preflight()
            panel.trace(draft.text, draft.folder, lambda why: self._studio.notice(why, "warning"))

    def _ask_preflight(self) -> None:
        if self.is_attached:
            self._views.preflight.ask(self._editing.seen)

    # Showing.

    @property
    def _views(self) -> RecipeViews:
        return self.query_one(RecipeViews)

    def _show(self) -> None:
        if self.is_attached:
            self.set_class(self._editing.draft is None, "-none")
            self._views.show(self._editing.draft, self._editing.seen)
            self._show_title()

    def _show_title(self) -> None:
        if self._editing.draft is not None and self._editing.seen is not None:
            views = self._views
            against = views.difference.against if views.panel == "difference" else ""
            draft, seen, keys = self._editing.draft, self._editing.seen, self._studio.keymap
            row = title_row(draft, seen, views.level, views.words, self._on_disk, against, keys)
            self.query_one("#title", Lines).show((row,))

    def on_recipe_views_moved(self) -> None:
        self._show_chosen()

    def _show_chosen(self) -> None:
        """What is known of the chosen option, and what can be done with it."""
        if not self.is_attached:
            return
        views = self._views
        found = self._editing.mend_of(views.fault)
        self.query_one("#about", Lines).show(self._details(found, self.size.width))
        reasons = unavailable(self._editing.draft, self._editing.seen, views.key, found)
        for bar in self.query(KeyBar):
            bar.show(unavailable=reasons, labels={"table.open": "edit", "recipe.switch": views.panel})

    def _details(self, offered: Mend | None, width: int) -> Sequence[Row]:
        seen, views = self._editing.seen, self._views
        return detail_rows(seen, views.key, views.fault, offered, width) if seen is not None else ()

    def _show_focus(self) -> None:
        """Where the keys go has the larger share, and its keys are named below."""
        self.set_class(not self._views.form.has_focus, "-aside")
        form_bar, text_bar = self.query(KeyBar)
        text_bar.display = self._views.editor.has_focus
        form_bar.display = not text_bar.display
        self._show_chosen()

    on_descendant_focus = on_descendant_blur = _show_focus

    def _possible(self, action: str) -> Draft | None:
        """The draft, if the action can be done now; if not, the reason is told."""
        said = self.query(KeyBar).first().why_not(f"recipe.{action}")
        if said:
            self._studio.notice(said, "warning")
        return None if said else self._editing.draft

    @property
    def _studio(self) -> "Studio":
        return cast("Studio", self.app)
