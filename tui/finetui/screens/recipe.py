"""The station Recipe: a recipe as a form and as text, two views of one draft, with every fault at its place."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from textual import events
from textual.app import ComposeResult
from textual.screen import Screen

from finetui import launching, recipe_asking, recipe_files
from finetui.actions import bindings
from finetui.polling import Poller
from finetui.recipe_detail import detail_rows
from finetui.recipe_draft import Draft
from finetui.recipe_preflight import Asked, turned
from finetui.recipe_seen import Seen, see
from finetui.recipe_title import NO_RECIPE, title_row, unavailable
from finetui.recipe_values import stepped
from finetui.screens.recipe_views import RecipeViews, option_of
from finetui.widgets.filter_bar import FilterBar
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui.widgets.status_line import LEAST_WIDTH, StatusLine
from finetui.widgets.table import Table
from finetui_core.errors import InputError
from finetui_core.recipe.edit import set_value, unset
from finetui_core.recipe.facts import Facts, look
from finetui_core.recipe.mends import Mend, mend
from finetui_core.recipe.options import Recipe

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
        self._draft: Draft | None = None
        self._seen: Seen | None = None
        self._known: tuple[object, Facts] = (None, Facts())
        self._on_disk = ""
        self._device = ""
        self._first: Callable[[], None] | None = None
        self._poller = Poller(self, self._look_at_disk, self._show_disk, lambda error: None)

    @property
    def SCOPES(self) -> tuple[str, ...]:
        return TEXT_SCOPES if self.is_attached and self._views.editor.has_focus else FORM_SCOPES

    @property
    def draft(self) -> Draft | None:
        """What would be lost if ftui ended now."""
        return self._draft

    @property
    def subject(self) -> Path | None:
        """The recipe that the station Compare is asked about."""
        return self._draft.opened.path if self._draft is not None and self._draft.opened is not None else None

    @property
    def rows(self) -> tuple[str, str]:
        """The rows that the open recipe trains on, and those kept apart; "" for none."""
        checked = self._seen.checked if self._seen is not None else None
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
        if not self.query(KeyBar):
            self._first = self.open_last
        elif self._draft is None:
            recipe_asking.offer_unsaved(self._studio, self._take, self._open_proposed)

    def _open_proposed(self) -> None:
        if self._draft is None and (proposed := launching.proposed_recipe()):
            self._open(launching.recipe_path(proposed))

    def open(self, path: Path) -> None:
        """Show the recipe at `path`, once the changes of another one are saved or given up."""
        opening = partial(self._open, path)
        if not self.query(KeyBar):
            self._first = opening
        else:
            what = "Another recipe is to be opened."
            recipe_asking.ask_if_unsaved(self._studio, self._draft, what, opening)

    def _open(self, path: Path) -> None:
        if (draft := recipe_asking.open_or_tell(self._studio, path)) is not None:
            launching.keep_recipe(path)
            self._take(draft)

    def _take(self, draft: Draft) -> None:
        self._draft, self._seen, self._on_disk = draft, None, ""
        self._known = None, Facts()
        self._views.begin()
        self._views.show_panel("text")
        self._changed()
        self._views.form.cursor = 1  # below the heading
        if draft.opened is None:
            self._views.go_to_fault(1)
        self.call_after_refresh(self._views.form.focus)

    def _look_at_disk(self) -> str:
        draft = self._draft
        changed = draft is not None and recipe_files.changed_on_disk(draft)
        return "changed on disk: r reads it again" if changed else ""

    def _show_disk(self, said: str) -> None:
        if said != self._on_disk:
            self._on_disk = said
            self._show_title()

    def action_save(self) -> None:
        if draft := self._possible("save"):
            recipe_asking.save(self._studio, draft, self._saved, self._read_again)

    def action_save_as(self) -> None:
        if draft := self._possible("save_as"):
            recipe_asking.save_as(self._studio, draft, self._saved)

    def _saved(self) -> None:
        self._on_disk = ""
        self._changed()

    def action_again(self) -> None:
        if draft := self._possible("again"):
            what = "Reading the file again takes what it holds now."
            recipe_asking.ask_if_unsaved(self._studio, draft, what, self._read_again)

    def _read_again(self) -> None:
        """What the file holds becomes a step of the history, so that undo brings back what was here."""
        draft = self._draft
        if draft is None or draft.opened is None:
            return
        if (read := recipe_asking.open_or_tell(self._studio, draft.opened.path)) is not None:
            draft.opened, draft.saved = read.opened, read.saved
            draft.change(read.text)
            self._saved()

    def action_new(self) -> None:
        def chosen(preset: str) -> None:
            self._take(recipe_files.preset_draft(preset))

        asking = partial(recipe_asking.ask_preset, self._studio, "A new recipe from which preset?", chosen)
        recipe_asking.ask_if_unsaved(self._studio, self._draft, "A new one is to be started.", asking)

    def action_open_file(self) -> None:
        recipe_asking.ask_to_open(self._studio, self.open)

    def action_editor(self) -> None:
        if draft := self._possible("editor"):
            self._replace(recipe_asking.edit_elsewhere(self._studio, draft) or draft.text)

    def action_start(self) -> None:
        from finetui.starting import ask_to_start_recipe

        if (draft := self._possible("start")) is None:
            return

        def start() -> None:
            self._saved()
            if draft.opened is not None:
                ask_to_start_recipe(self._studio, draft.opened.path, self._root)

        recipe_asking.save(self._studio, draft, start, self._read_again) if draft.unsaved else start()

    # What changes the draft.

    def on_text_editor_changed(self) -> None:
        self._changed()

    def _replace(self, text: str) -> None:
        if self._draft is not None and self._draft.change(text):
            self._changed()

    def _edit(self, change: Callable[..., str], *arguments: Any) -> None:
        """Change the text by a function of `recipe.edit` and the like; where that cannot be, it is told."""
        if self._draft is None:
            return
        try:
            text = change(self._draft.text, *arguments)
        except InputError as error:
            self._studio.notice(str(error), "warning")
        else:
            self._replace(text)

    def on_table_opened(self, event: Table.Opened) -> None:
        if event.table is self._views.form:
            self._edit_option(event.key)
        elif event.table is self._views.preflight.table:
            knob = self._views.preflight.knob(event.key)
            if knob is not None and self._possible("edit"):
                self._edit(turned, knob)
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
        elif (draft := self._possible("edit")) is not None and self._seen is not None:
            then = partial(self._edit, set_value, *option.path)
            recipe_asking.ask_value(self._studio, draft, self._seen, option, then)

    def action_next_value(self) -> None:
        self._step(1)

    def action_more(self) -> None:
        self._step(1)

    def action_less(self) -> None:
        self._step(-1)

    def _step(self, direction: int) -> None:
        option = option_of(self._views.form.chosen)
        if option is None or not self._possible("edit") or self._seen is None:
            return
        shown = self._seen.shown[option.dotted]
        value = stepped(option, shown.value if shown.value is not None else option.default, direction)
        if value is not None and value != shown.value:
            self._edit(set_value, *option.path, value)

    def action_unset(self) -> None:
        key = self._views.form.chosen or ""
        if not key.startswith("[") and self._possible("edit"):
            table, _, name = key.partition(".")
            self._edit(unset, table, name)

    def action_apply(self) -> None:
        if self._possible("apply") and (found := self._mend()) is not None:
            self._replace(found.text)
            table, name = found.path
            self._views.reveal(f"{table}.{name}" if name else f"[{table}]")

    def action_undo(self) -> None:
        if (draft := self._possible("undo")) and draft.undo():
            self._changed()

    def action_redo(self) -> None:
        if (draft := self._possible("redo")) and draft.redo():
            self._changed()

    def _changed(self) -> None:
        """Check the text and show what is known of it now."""
        if (draft := self._draft) is not None:
            self._seen = see(draft.text, draft.name, draft.folder, self._known[1], self._seen)
            self._look_up_facts()
        self._show()
        self._ask_preflight()

    def _look_up_facts(self) -> None:
        """The model's config and the rows are read in a thread, once for each that is named."""
        if self._seen is None or self._seen.checked is None:
            return
        recipe = self._seen.checked.recipe
        named = (recipe.model.name, recipe.data.train, recipe.data.val, recipe.data.val_fraction)
        if named != self._known[0]:
            self._known = named, self._known[1]
            work = partial(self._read_facts, named, recipe)
            self.run_worker(work, thread=True, exit_on_error=False, group="facts")

    def _read_facts(self, named: object, recipe: Recipe) -> None:
        facts = look(recipe)
        self.app.call_later(self._have_facts, named, facts)

    def _have_facts(self, named: object, facts: Facts) -> None:
        if named == self._known[0] and facts != self._known[1]:
            self._known = named, facts
            self._changed()

    def _mend(self) -> Mend | None:
        draft, seen, fault = self._draft, self._seen, self._views.fault
        if draft is None or seen is None or seen.checked is None or fault is None or fault.located is None:
            return None
        return mend(draft.text, seen.checked, fault.located, draft.folder)

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

        if self._seen is not None and (key := self._views.key):
            rows = detail_rows(self._seen, key, self._views.fault, self._mend(), self.size.width - 2)
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
            self._views.difference.compare(against)
        except InputError as error:
            self._studio.notice(str(error), "warning")
            return
        self._views.show_panel("difference")
        self._views.beside.focus()
        self._show_title()

    def action_earlier(self) -> None:
        self._turn(-1)

    def action_later(self) -> None:
        self._turn(1)

    def _turn(self, direction: int) -> None:
        if self._views.panel == "difference":
            self._views.difference.turn(direction)
            self._views.difference.show(self._seen)
            self._show_title()

    def action_take(self) -> None:
        """The value of the other side; where that is left out there, it is taken out here."""
        if self._views.panel != "difference" or not self._possible("edit"):
            return
        try:
            found = self._views.difference.chosen()
        except InputError as error:
            self._studio.notice(str(error), "warning")
            return
        if found is not None:
            path = found.option.split(".")
            self._edit(unset, *path) if found.b is None else self._edit(set_value, *path, found.b)

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
            self._device = device
            if self._views.preflight.table.has_focus:
                self._ask_preflight()
            else:
                self.action_preflight()

        if self._possible("preflight"):
            recipe_asking.ask_device(self._studio, self._device, named)

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
        seen = self._seen
        if seen is not None and seen.checked is not None and self.is_attached:
            asked = Asked(seen.checked.recipe, seen.facts, self._device, bool(seen.faults))
            self._views.preflight.ask(asked)

    # Showing.

    @property
    def _views(self) -> RecipeViews:
        return self.query_one(RecipeViews)

    def _show(self) -> None:
        if self.is_attached:
            self.set_class(self._draft is None, "-none")
            self._views.show(self._draft, self._seen)
            self._show_title()

    def _show_title(self) -> None:
        if self._draft is not None and self._seen is not None:
            views = self._views
            against = views.difference.against if views.panel == "difference" else ""
            row = title_row(self._draft, self._seen, views.level, views.words, self._on_disk, against)
            self.query_one("#title", Lines).show((row,))

    def on_recipe_views_moved(self) -> None:
        self._show_chosen()

    def _show_chosen(self) -> None:
        """What is known of the chosen option, and what can be done with it."""
        if not self.is_attached:
            return
        views, found = self._views, self._mend()
        if self._seen is not None:
            rows = detail_rows(self._seen, views.key, views.fault, found, self.size.width)
            self.query_one("#about", Lines).show(rows)
        reasons = unavailable(self._draft, self._seen, views.key, found)
        for bar in self.query(KeyBar):
            bar.show(unavailable=reasons, labels={"table.open": "edit", "recipe.switch": views.panel})

    def on_descendant_focus(self) -> None:
        self._show_focus()

    def on_descendant_blur(self) -> None:
        self._show_focus()

    def _show_focus(self) -> None:
        """Where the keys go has the larger share, and its keys are named below."""
        self.set_class(not self._views.form.has_focus, "-aside")
        form_bar, text_bar = self.query(KeyBar)
        text_bar.display = self._views.editor.has_focus
        form_bar.display = not text_bar.display
        self._show_chosen()

    def _possible(self, action: str) -> Draft | None:
        """The draft, if the action can be done now; if not, the reason is told."""
        reason = self.query(KeyBar).first().unavailable.get(f"recipe.{action}")
        if reason is not None:
            self._studio.notice(f"{action.replace('_', ' ')}: {reason}", "warning")
        return self._draft if reason is None else None

    @property
    def _studio(self) -> "Studio":
        return cast("Studio", self.app)
