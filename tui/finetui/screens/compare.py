"""The station Compare: all comparisons under the folder of runs, and the way to start one."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.screen import Screen

from finetui.actions import bindings
from finetui.compare_asking import ask_to_begin, ask_to_compare, ask_to_stop
from finetui.compare_folder import UNDER_WAY
from finetui.compare_list import COLUMNS, ComparisonList, Glance, about, compare_folder, nothing, record
from finetui.polling import Poller
from finetui.screens.comparison import ComparisonScreen
from finetui.screens.runs_rows import short
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui.widgets.status_line import StatusLine
from finetui.widgets.table import Table
from finetui_core.errors import InputError
from finetui_core.evaluate.chat_client import Subject

if TYPE_CHECKING:
    from finetui.app import Studio


class CompareScreen(Screen[None]):
    """Lists the comparisons under `root`; `clock` gives unix seconds. It stays when it is left."""

    BINDINGS = bindings("comparisons")
    SCOPES = ("table", "comparisons", "studio")

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._root, self._clock = root, clock
        self._list = ComparisonList(root)
        self._shown: tuple[Glance, ...] | None = None
        self._minute = 0
        self._subject: Path | None = None
        self._poller = Poller(self, self._list.refresh, self._show, self._show_failure)

    def compose(self) -> ComposeResult:
        yield StatusLine("compare")
        yield Lines((((" reading the comparisons …", "muted"),),), id="title")
        yield Table(COLUMNS, id="comparisons")
        yield Lines(id="empty", tail=True)
        yield Lines(id="about")
        yield KeyBar(self.SCOPES)

    def on_mount(self) -> None:
        self.query_one(Table).focus()
        self._show_keys()
        self._poller.start()

    def on_screen_resume(self) -> None:
        self._poller.now()

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_about)

    def propose(self, subject: Path | None) -> None:
        """A run or a recipe that is compared next, if the user starts a comparison."""
        self._subject = subject or self._subject
        if self.is_attached and self._shown is not None:
            self._show_title()

    def _show(self, found: tuple[Glance, ...]) -> None:
        minute = int(self._clock() // 60)
        if (found, minute) == (self._shown, self._minute):
            return
        self._shown, self._minute = found, minute
        table = self.query_one(Table)
        table.show([record(one, self._clock()) for one in found])
        self.set_class(not found, "-empty")
        if found and self.focused is None:
            self.call_after_refresh(table.focus)
        self._show_title()
        self._show_about()
        self._show_keys()

    def _show_title(self) -> None:
        found = self._shown or ()
        working = sum(one.state in UNDER_WAY for one in found)
        counted = f" {len(found):,} {'comparison' if len(found) == 1 else 'comparisons'}"
        ready = (
            f"   s compares {self._subject.name}" if self._subject and not self._known(self._subject) else ""
        )
        self.query_one("#title", Lines).show(
            [
                (
                    (counted + (f", {working:,} under way" if working else ""), ""),
                    (ready, "accent"),
                    (f"   in {short(self._root)}", "muted"),
                )
            ]
        )
        self.query_one("#empty", Lines).show(nothing(self._subject))

    def _known(self, subject: Path) -> bool:
        return any(one.folder == compare_folder(subject) for one in self._shown or ())

    def _show_failure(self, error: Exception) -> None:
        said = error.problems[0].what if isinstance(error, InputError) else str(error)
        self.query_one("#title", Lines).show([((f" the comparisons cannot be read: {said}", "bad"),)])

    def _show_about(self) -> None:
        if self.is_attached:
            chosen, lines = self._chosen(), self.query_one("#about", Lines)
            lines.show(about(chosen, self.size.width)[: max(1, lines.size.height)] if chosen else ())

    def _show_keys(self) -> None:
        chosen = self._chosen()
        reasons = {} if chosen else {"table.open": "there is no comparison"}
        if chosen is None or chosen.state not in UNDER_WAY:
            reasons["comparisons.stop"] = "it is not under way"
        self.query_one(KeyBar).show(unavailable=reasons, labels={})

    def _chosen(self) -> Glance | None:
        key = self.query_one(Table).chosen
        return next((one for one in self._shown or () if str(one.folder) == key), None)

    # What the keys do.

    def on_table_chosen(self) -> None:
        self._show_about()
        self._show_keys()

    def on_table_opened(self, event: Table.Opened) -> None:
        self.open(Path(event.key))

    def open(self, folder: Path) -> None:
        """Show one comparison over the list."""
        self.app.push_screen(ComparisonScreen(folder, self._root, self._clock))

    def action_reload(self) -> None:
        self._poller.now()

    def action_start(self) -> None:
        chosen = self._chosen()
        proposed = self._subject or (chosen.run if chosen else None)
        ask_to_compare(self._studio, proposed, lambda path: ask_to_begin(self._studio, path, self._root))

    def action_chat(self) -> None:
        """With the chosen comparison's run, or else the proposed one; asks where there is neither."""
        from finetui.chat_asking import ask_for_subject

        chosen = self._chosen()
        run = chosen.run if chosen else None
        if run is not None:
            self._talk(run)
        else:
            ask_for_subject(self._studio, self._subject, self._talk)

    def _talk(self, path: Path) -> None:
        self._studio.open_chat(Subject(str(path), self._root))

    def action_stop(self) -> None:
        chosen = self._chosen()
        if chosen is None or chosen.working is None or chosen.state not in UNDER_WAY:
            self._studio.notice("stop: it is not under way", "warning")
        else:
            ask_to_stop(self._studio, chosen.working)

    @property
    def _studio(self) -> "Studio":
        return cast("Studio", self.app)
