"""What preflight says of the recipe: asked anew in a thread when it changes, and traced in a child when told to."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.worker import get_current_worker

from finetui.recipe_preflight import (
    PREFLIGHT_COLUMNS,
    Answer,
    Asked,
    answer,
    knob_of,
    preflight_records,
    verdict_rows,
)
from finetui.recipe_seen import Seen
from finetui.recipe_trace import trace
from finetui.widgets.lines import Lines
from finetui.widgets.table import Table
from finetui_core.preflight.figures import Knob, Report


class PreflightPanel(Container):
    """One list; a line with a knob is opened to turn it. `device` is asked about: "" is this machine."""

    def __init__(self, root: Path) -> None:
        super().__init__(id="preflight")
        self._root = root
        self._asked: Asked | None = None
        self._said: Answer | None = None
        self._answering = False
        self.device = ""
        self.tracing = False

    def compose(self) -> ComposeResult:
        yield Lines(id="verdict")
        yield Table(PREFLIGHT_COLUMNS, id="knobs", beside=True)

    @property
    def table(self) -> Table:
        return self.query_one(Table)

    def on_resize(self, event: events.Resize) -> None:
        self._show()

    def ask(self, seen: Seen | None) -> None:
        """Show what is said of a recipe on `device`, where this is seen; no recipe leaves it as it is."""
        if seen is not None and seen.checked is not None:
            self._ask(Asked(seen.checked.recipe, seen.facts, self.device, bool(seen.faults)))

    def _ask(self, asked: Asked | None) -> None:
        """Of two that are asked, the last one is answered."""
        self._asked = asked
        if asked is None or not self.display or (self._said is not None and self._said.asked == asked):
            return
        if not self._answering:
            self._answering = True
            work = partial(self._answer, asked, self._said)
            self.run_worker(work, thread=True, exit_on_error=False, group="preflight")

    def _answer(self, asked: Asked, before: Answer | None) -> None:
        said = answer(asked, self._root, before)
        self.app.call_later(self._answered, said)

    def _answered(self, said: Answer) -> None:
        before, self._said = self._said, said
        self._answering = False
        if self.is_attached:
            self._show()
            if before is None or before.asked != said.asked:
                self.table.cursor = 0
            self.call_later(lambda: self._ask(self._asked))

    def knob(self, key: str) -> Knob | None:
        """The knob at a line."""
        report = self._said.report if self._said is not None else None
        return knob_of(report, key) if report is not None else None

    def trace(self, text: str, folder: Path, failed: Callable[[str], None]) -> None:
        """Trace the recipe that is asked about; what is found is shown until another one is."""
        if self._asked is not None:
            self.tracing = True
            self._show()
            work = partial(self._trace, text, folder, self._asked, failed)
            self.run_worker(work, thread=True, exit_on_error=False, group="trace")

    def end_trace(self) -> None:
        self.workers.cancel_group(self, "trace")
        self.tracing = False
        self._show()

    def _trace(self, text: str, folder: Path, asked: Asked, failed: Callable[[str], None]) -> None:
        worker = get_current_worker()
        found = trace(text, folder, asked.device, self._root, lambda: worker.is_cancelled)
        self.app.call_later(self._traced, asked, found, failed)

    def _traced(self, asked: Asked, found: Report | str | None, failed: Callable[[str], None]) -> None:
        if found is None:  # it was ended, and another one may be under way
            return
        self.tracing = False
        if isinstance(found, str):
            failed(f"not traced: {found}")
        elif asked == self._asked:
            self._said = Answer(asked, found, self._said.past if self._said is not None else ())
        if self.is_attached:
            self._show()

    def _show(self) -> None:
        verdict = self.query_one("#verdict", Lines)
        rows = verdict_rows(self._said, self.tracing, self.size.width - 1)
        verdict.styles.height = len(rows)
        verdict.show(rows)
        self.table.show(preflight_records(self._said, self.table.size.width))
