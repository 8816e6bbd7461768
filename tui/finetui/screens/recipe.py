"""The station Recipe: a recipe as a form and as text, two views of one draft, with every fault at its place."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.screen import Screen
from textual.worker import get_current_worker

from finetui import launching, recipe_asking, recipe_files
from finetui.actions import bindings
from finetui.polling import Poller
from finetui.recipe_compared import DEFAULTS, DIFFERENCE_COLUMNS, difference_records, sources
from finetui.recipe_detail import detail_rows
from finetui.recipe_draft import Draft
from finetui.recipe_form import FORM_COLUMNS, LEVELS, form_records
from finetui.recipe_preflight import (
    FIRST_KNOB,
    PREFLIGHT_COLUMNS,
    Answer,
    Asked,
    answer,
    knob_of,
    preflight_records,
    turned,
)
from finetui.recipe_seen import Fault, Seen, see
from finetui.recipe_title import NO_RECIPE, title_row, unavailable
from finetui.recipe_trace import trace
from finetui.recipe_values import stepped
from finetui.widgets.filter_bar import FilterBar
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui.widgets.status_line import LEAST_WIDTH, StatusLine
from finetui.widgets.table import Table
from finetui.widgets.text_editor import TextEditor
from finetui_core.errors import InputError
from finetui_core.preflight.figures import Report
from finetui_core.recipe.edit import set_value, unset
from finetui_core.recipe.facts import Facts, look
from finetui_core.recipe.mends import Mend, mend
from finetui_core.recipe.options import Recipe
from finetui_core.recipe.table import OptionInfo, options_by_path

if TYPE_CHECKING:
    from finetui.app import Studio
    from finetui_core.preflight.history import Compared

WIDTHS = [(0, "-cramped"), (LEAST_WIDTH, "-narrow"), (120, "-beside"), (160, "-three")]
"""From so many cells on, the text stands beside the form, and what preflight says beside both."""
FORM_SCOPES, TEXT_SCOPES = ("table", "recipe", "studio"), ("text",)
EXAMPLES = "words of a name or its help, such as: rate   batch   memory"
LABELS = {"table.open": "edit"}


class RecipeScreen(Screen[None]):
    """Both views change the draft, and show it anew when the other has changed it; it stays when it is left."""

    BINDINGS = bindings("recipe")
    HORIZONTAL_BREAKPOINTS = WIDTHS

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root
        self._draft: Draft | None = None
        self._seen: Seen | None = None
        self._level = LEVELS[0]
        self._words = ""
        self._panel = "text"
        self._against = DEFAULTS
        self._sources: list[str] = []
        self._last_fault: Fault | None = None
        self._known: tuple[object, Facts] = (None, Facts())
        self._on_disk = ""
        self._device = ""
        self._said: Answer | None = None
        self._tracing = False
        self._first: Callable[[], None] | None = None
        self._poller = Poller(self, self._look_at_disk, self._show_disk, lambda error: None)

    @property
    def SCOPES(self) -> tuple[str, ...]:
        return TEXT_SCOPES if self.is_attached and self._editor.has_focus else FORM_SCOPES

    @property
    def draft(self) -> Draft | None:
        """What would be lost if ftui ended now."""
        return self._draft

    def compose(self) -> ComposeResult:
        yield StatusLine("recipe")
        yield Lines(id="title")
        with Container(id="views"):
            yield Table(FORM_COLUMNS, id="form", beside=True)
            yield TextEditor(id="text")
            yield Table(DIFFERENCE_COLUMNS, id="difference", beside=True)
            yield Table(PREFLIGHT_COLUMNS, id="preflight", beside=True)
        yield Lines(NO_RECIPE, id="empty", tail=True)
        yield Lines(id="about")
        yield KeyBar(FORM_SCOPES)
        yield KeyBar(TEXT_SCOPES)

    def on_mount(self) -> None:
        self._show_focus()
        self._show_panel("text")
        self._poller.start()
        if self._first is not None:
            self.call_later(self._first)

    def on_screen_resume(self) -> None:
        self._poller.now()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._show_resized)

    def _show_resized(self) -> None:
        self._show_about()
        self._ask_preflight()
        self._show_preflight()

    # Opening and saving.

    def open_last(self) -> None:
        """Show the recipe used last, where none is open; before, offer what was not saved."""
        if self._draft is not None:
            return
        if not self.query(TextEditor):
            self._first = self.open_last
            return

        def otherwise() -> None:
            if self._draft is None and (proposed := launching.proposed_recipe()):
                self._open(launching.recipe_path(proposed))

        recipe_asking.offer_unsaved(self._studio, self._take, otherwise)

    def open(self, path: Path) -> None:
        """Show the recipe at `path`, once the changes of another one are saved or given up."""
        opening = partial(self._open, path)
        if not self.query(TextEditor):
            self._first = opening
            return
        recipe_asking.ask_if_unsaved(self._studio, self._draft, "Another recipe is to be opened.", opening)

    def _open(self, path: Path) -> None:
        from finetui.screens.told import Told

        try:
            draft = recipe_files.open_draft(path)
        except InputError as error:
            self.app.push_screen(Told(f"{path.name} cannot be opened", str(error)))
        else:
            launching.keep_recipe(path)
            self._take(draft)

    def _take(self, draft: Draft) -> None:
        self._draft, self._seen, self._last_fault, self._on_disk = draft, None, None, ""
        self._words, self._known = "", (None, Facts())
        self._show_panel("text")
        self._changed()
        self._form.cursor = 1
        if self._draft.opened is None:
            self.action_next_fault()
        self.call_after_refresh(self._form.focus)

    def _look_at_disk(self) -> str:
        draft = self._draft
        if draft is None or not recipe_files.changed_on_disk(draft):
            return ""
        return "changed on disk: r reads it again"

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
            reading = "Reading the file again takes what it holds now."
            recipe_asking.ask_if_unsaved(self._studio, draft, reading, self._read_again)

    def _read_again(self) -> None:
        """What the file holds becomes a step of the history, so that undo brings back what was here."""
        draft = self._draft
        if draft is None or draft.opened is None:
            return
        try:
            read = recipe_files.open_draft(draft.opened.path)
        except InputError as error:
            self._studio.notice(str(error), "warning")
            return
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
            text = recipe_asking.edit_elsewhere(self._studio, draft)
            if text is not None and draft.change(text):
                self._changed()

    def action_start(self) -> None:
        from finetui.starting import ask_to_start_recipe

        draft = self._possible("start")
        if draft is None:
            return

        def start() -> None:
            if draft.opened is not None:
                ask_to_start_recipe(self._studio, draft.opened.path, self._root)

        recipe_asking.save(self._studio, draft, start, self._read_again) if draft.unsaved else start()

    # What changes the draft.

    def on_text_editor_changed(self) -> None:
        self._changed()

    def _edit(self, what: str, *arguments: Any) -> None:
        """Set or unset an option in the text; where that cannot be, it is told."""
        draft = self._draft
        if draft is None:
            return
        change: Callable[..., str] = set_value if what == "set" else unset
        try:
            text = change(draft.text, *arguments)
        except InputError as error:
            self._studio.notice(str(error), "warning")
            return
        if draft.change(text):
            self._changed()

    def on_table_opened(self, event: Table.Opened) -> None:
        if event.table is self._form:
            self._edit_option(event.key)
        elif event.table.id == "preflight":
            self._turn_knob(event.key)
        elif event.key:
            self._reveal(event.key)
            self._form.focus()

    def _edit_option(self, key: str) -> None:
        option = self._option(key)
        if option is None:
            if (draft := self._draft) and self._seen is not None and self._seen.line_of(key) is not None:
                self._editor.go_to(self._seen.line_of(key)[0], 0)  # type: ignore[index]
                self._show_panel("text")
                self._editor.focus()
            return
        draft = self._possible("edit")
        if draft is None or self._seen is None:
            return
        if option.kind == "switch":
            self.action_next_value()
        else:
            recipe_asking.ask_value(
                self._studio, draft, self._seen, option, partial(self._edit, "set", *option.path)
            )

    def action_next_value(self) -> None:
        self._step(1)

    def action_more(self) -> None:
        self._step(1)

    def action_less(self) -> None:
        self._step(-1)

    def _step(self, direction: int) -> None:
        option = self._option(self._form.chosen)
        if option is None or not self._possible("edit") or self._seen is None:
            return
        shown = self._seen.shown[option.dotted]
        value = stepped(option, shown.value if shown.value is not None else option.default, direction)
        if value is not None and value != shown.value:
            self._edit("set", *option.path, value)

    def action_unset(self) -> None:
        key = self._form.chosen or ""
        if not key.startswith("[") and self._possible("edit"):
            table, _, name = key.partition(".")
            self._edit("unset", table, name)

    def action_apply(self) -> None:
        if (draft := self._possible("apply")) and (found := self._mend()) is not None:
            draft.change(found.text)
            self._changed()
            table, name = found.path
            self._reveal(f"{table}.{name}" if name else f"[{table}]")

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
        self._show_all()
        self._ask_preflight()

    def _look_up_facts(self) -> None:
        """The model's config and the rows are read in a thread, once for each that is named."""
        seen = self._seen
        if seen is None or seen.checked is None:
            return
        recipe = seen.checked.recipe
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

    # Faults.

    def action_next_fault(self) -> None:
        self._go_to_fault(1)

    def action_fault_before(self) -> None:
        self._go_to_fault(-1)

    def _go_to_fault(self, direction: int) -> None:
        seen = self._seen
        if seen is None or not self._possible("next_fault"):
            return
        faults = sorted(seen.faults, key=lambda fault: (fault.line, fault.column))
        if self._last_fault in faults:
            place = faults.index(self._last_fault) + direction
        else:
            line = self._editor.line
            behind = [at for at, fault in enumerate(faults) if fault.line >= line]
            place = (behind[0] if behind else 0) if direction > 0 else (behind[0] if behind else 0) - 1
        fault = faults[place % len(faults)]
        self._last_fault = fault
        self._reveal(fault.key)
        self._editor.go_to(fault.line, fault.column)
        if self._panel != "text" and not self._form.has_focus:
            self._show_panel("text")
        self._show_about()

    def _fault(self) -> Fault | None:
        """The fault that is told of: the one gone to last, where it is that of the chosen option."""
        seen, key = self._seen, self._key
        if seen is None:
            return None
        if seen.syntax is not None:
            return seen.syntax
        own = [fault for fault in seen.faults if fault.key == key]
        return self._last_fault if self._last_fault in own else own[0] if own else None

    def _mend(self) -> Mend | None:
        draft, seen, fault = self._draft, self._seen, self._fault()
        if draft is None or seen is None or seen.checked is None or fault is None or fault.located is None:
            return None
        return mend(draft.text, seen.checked, fault.located, draft.folder)

    # One view follows the other.

    @property
    def _key(self) -> str | None:
        """The option that is chosen: in the text, among the differences, or in the form."""
        if self._editor.has_focus:
            return self._seen.option_at(self._editor.line) if self._seen else None
        difference = self.query_one("#difference", Table)
        return difference.chosen if difference.has_focus else self._form.chosen

    def on_table_chosen(self) -> None:
        seen, key = self._seen, self._form.chosen
        if seen is not None and key is not None and not self._editor.has_focus:
            lines = seen.line_of(key)
            if lines is not None and not lines[0] <= self._editor.line <= lines[1]:
                self._editor.go_to(lines[0], 0)
        self._show_about()

    def on_text_editor_moved(self) -> None:
        self._follow_text()

    def _follow_text(self) -> None:
        if self._editor.has_focus and (key := self._key) is not None:
            self._form.go_to(key)
        self._show_about()

    def _reveal(self, key: str) -> None:
        """Choose an option in the form, whatever is filtered there or hidden by its level."""
        if self._words:
            self._find("")
            self.query(FilterBar).remove()
        option = self._option(key)
        if option is not None and LEVELS.index(option.level) > LEVELS.index(self._level):
            if self._seen is not None and option.dotted not in self._seen.where:
                self._level = option.level
            self._show_form()
        self._form.go_to(key)

    def on_descendant_focus(self) -> None:
        self._show_focus()

    def on_descendant_blur(self) -> None:
        self._show_focus()

    def action_switch(self) -> None:
        if not self._possible("switch"):
            return
        if self._form.has_focus:
            self.query_one(f"#{self._panel}").focus()
        else:
            self._form.focus()

    def action_back(self) -> None:
        if self._words:
            self._reveal(self._form.chosen or "")
        elif self._panel != "text":
            self._show_panel("text")
        self._form.focus()

    # The panel beside the form.

    def _show_panel(self, name: str) -> None:
        self._panel = name
        for one in ("text", "difference"):
            self.query_one(f"#{one}").display = one == name
        self.set_class(name == "preflight", "-preflight")
        self._show_all()

    def action_difference(self) -> None:
        if not self._possible("difference"):
            return
        if self._panel == "difference":
            self.action_back()
            return
        self._compare(self._against)

    def action_presets(self) -> None:
        if self._possible("presets"):
            question = "Show what differs from which preset?"
            recipe_asking.ask_preset(self._studio, question, lambda name: self._compare(f"preset {name}"))

    def _compare(self, against: str) -> None:
        try:
            self._sources = sources(self._root)
        except InputError as error:
            self._studio.notice(str(error), "warning")
            return
        self._against = against if against in self._sources else DEFAULTS
        self._show_panel("difference")
        self.query_one("#difference").focus()

    def action_earlier(self) -> None:
        self._turn(-1)

    def action_later(self) -> None:
        self._turn(1)

    def _turn(self, direction: int) -> None:
        if self._panel == "difference":
            place = self._sources.index(self._against) + direction
            self._against = self._sources[place % len(self._sources)]
            self._show_difference()
            self._show_title()

    def action_take(self) -> None:
        """The value of the other side; where that is left out there, it is taken out here."""
        if self._panel != "difference" or not self._possible("edit") or self._seen is None:
            return
        from finetui.recipe_compared import differences

        chosen = self.query_one("#difference", Table).chosen
        found = next(
            (o for o in differences(self._seen, self._against, self._root) if o.option == chosen), None
        )
        if found is None:
            return
        path = tuple(found.option.split("."))
        self._edit("set", *path, found.b) if found.b is not None else self._edit("unset", *path)

    # What preflight says.

    def action_preflight(self) -> None:
        if not self._possible("preflight"):
            return
        if self._panel == "preflight":
            self.action_back()
            return
        if not self.has_class("-three"):
            self._show_panel("preflight")
        self.query_one("#preflight").focus()
        self._ask_preflight()

    def action_device(self) -> None:
        def named(device: str) -> None:
            self._device = device
            self.action_preflight() if self._panel != "preflight" else self._ask_preflight()

        if self._possible("preflight"):
            recipe_asking.ask_device(self._studio, self._device, named)

    def _ask_preflight(self) -> None:
        """In a thread, where it is seen; what has changed meanwhile is asked about when that is answered."""
        asked = self._asked()
        if asked is None or not self.query_one("#preflight").display:
            return
        if self._said is not None and self._said.asked == asked:
            return
        if not any(worker.group == "preflight" and not worker.is_finished for worker in self.workers):
            past = self._said.past if self._said is not None else None
            self.run_worker(
                partial(self._answer, asked, past), thread=True, exit_on_error=False, group="preflight"
            )

    def _asked(self) -> Asked | None:
        seen = self._seen
        if seen is None or seen.checked is None:
            return None
        return Asked(seen.checked.recipe, seen.facts, self._device, bool(seen.faults))

    def _answer(self, asked: Asked, past: "Sequence[Compared] | None") -> None:
        said = answer(asked, self._root, past)
        self.app.call_later(self._have_answer, said)

    def _have_answer(self, said: Answer) -> None:
        before, self._said = self._said, said
        if self.is_attached:
            self._show_preflight()
            if before is None or before.asked.device != said.asked.device:
                self.query_one("#preflight", Table).go_to(FIRST_KNOB)
            self.call_later(self._ask_preflight)

    def _show_preflight(self) -> None:
        table = self.query_one("#preflight", Table)
        table.show(preflight_records(self._said, self._tracing, table.size.width))

    def action_trace(self) -> None:
        """In a child; what it finds is shown until the recipe or the device is another one."""
        if self._tracing:
            self.workers.cancel_group(self, "trace")
            return
        draft, asked = self._possible("trace"), self._asked()
        if draft is None or asked is None:
            return
        self._tracing = True
        if not self.query_one("#preflight").display:
            self.action_preflight()
        self._show_preflight()
        work = partial(self._trace, draft.text, draft.folder, asked)
        self.run_worker(work, thread=True, exit_on_error=False, group="trace")

    def _trace(self, text: str, folder: Path, asked: Asked) -> None:
        worker = get_current_worker()
        found = trace(text, folder, asked.device, self._root, lambda: worker.is_cancelled)
        self.app.call_later(self._traced, asked, found)

    def _traced(self, asked: Asked, found: Report | str | None) -> None:
        self._tracing = False
        if isinstance(found, str):
            self._studio.notice(f"not traced: {found}", "warning")
        elif found is not None and asked == self._asked():
            self._said = Answer(asked, found, self._said.past if self._said else ())
        if self.is_attached:
            self._show_preflight()

    def _turn_knob(self, key: str) -> None:
        draft, report = self._possible("edit"), self._said.report if self._said else None
        knob = knob_of(report, key) if report is not None else None
        if draft is None or knob is None:
            return
        try:
            text = turned(draft.text, knob)
        except InputError as error:
            self._studio.notice(str(error), "warning")
            return
        if draft.change(text):
            self._studio.notice(f"{knob.name}: done; u undoes it")
            self._changed()

    def action_level(self) -> None:
        if self._possible("level"):
            self._level = LEVELS[(LEVELS.index(self._level) + 1) % len(LEVELS)]
            self._show_form()
            self._show_title()

    def action_about(self) -> None:
        from finetui.screens.told import Told

        if self._seen is not None and (key := self._key):
            rows = detail_rows(self._seen, key, self._fault(), self._mend(), self.size.width - 2)
            text = "\n".join("".join(part for part, _ in row).rstrip() for row in rows)
            self.app.push_screen(Told(key, text, style="strong"))

    # Finding options.

    async def action_find(self) -> None:
        bars = self.query(FilterBar)
        if bars:
            bars.first().edit()
        elif self._possible("find"):
            await self.mount(FilterBar(EXAMPLES, self._words), after="#title")

    def on_filter_bar_changed(self, event: FilterBar.Changed) -> None:
        self._find(event.text)

    def on_filter_bar_left(self, event: FilterBar.Left) -> None:
        self._form.focus()
        if not event.text.strip():
            self.query(FilterBar).remove()
            self._find("")

    def _find(self, words: str) -> None:
        self._words = words.strip()
        self._show_form()
        if self._words:
            self._form.cursor = 1  # below the heading
        self._show_title()

    # Showing.

    @property
    def _form(self) -> Table:
        return self.query_one("#form", Table)

    @property
    def _editor(self) -> TextEditor:
        return self.query_one(TextEditor)

    def _option(self, key: str | None) -> OptionInfo | None:
        table, _, name = (key or "").partition(".")
        return options_by_path().get((table, name))

    def _show_all(self) -> None:
        if not self.is_attached:
            return
        self.set_class(self._draft is None, "-none")
        self._show_form()
        self._editor.show(self._draft, self._marks())
        if self._panel == "difference":
            self._show_difference()
        self._show_title()
        self._follow_text()

    def _show_form(self) -> None:
        if self._seen is not None:
            self._form.show(form_records(self._seen, self._level, self._words))

    def _show_difference(self) -> None:
        if self._seen is not None and self._seen.checked is not None:
            records = difference_records(self._seen, self._against, self._root)
            self.query_one("#difference", Table).show(records)

    def _marks(self) -> dict[int, str]:
        return {fault.line: "bad" for fault in self._seen.faults} if self._seen is not None else {}

    def _show_title(self) -> None:
        if self._draft is not None and self._seen is not None:
            against = self._against if self._panel == "difference" else ""
            row = title_row(self._draft, self._seen, self._level, self._words, self._on_disk, against)
            self.query_one("#title", Lines).show((row,))

    def _show_about(self) -> None:
        if self.is_attached and self._seen is not None:
            about = self.query_one("#about", Lines)
            rows = detail_rows(self._seen, self._key, self._fault(), self._mend(), self.size.width)
            about.show(rows)
        self._show_keys()

    def _show_keys(self) -> None:
        labels = {**LABELS, "recipe.switch": self._panel}
        for bar in self.query(KeyBar):
            bar.show(unavailable=unavailable(self._draft, self._seen, self._key, self._mend()), labels=labels)

    def _show_focus(self) -> None:
        """Where the keys go has the larger share, and its keys are named below."""
        in_text = self._editor.has_focus
        self.set_class(not self._form.has_focus, "-aside")
        form_bar, text_bar = self.query(KeyBar)
        form_bar.display, text_bar.display = not in_text, in_text
        self._show_about()

    def _possible(self, action: str) -> Draft | None:
        """The draft, if the action can be done now; if not, the reason is told."""
        reason = self.query(KeyBar).first().unavailable.get(f"recipe.{action}")
        if reason is not None:
            self._studio.notice(f"{action.replace('_', ' ')}: {reason}", "warning")
        return self._draft if reason is None else None

    @property
    def _studio(self) -> "Studio":
        return cast("Studio", self.app)
