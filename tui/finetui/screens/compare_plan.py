"""What a comparison would do, before it begins: the rows, what they can show, and the arms to take in or out."""

from functools import partial
from pathlib import Path

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.worker import get_current_worker

from finetui import launching
from finetui.actions import bindings
from finetui.closing import close
from finetui.compare_starting import Planned, Wanted, arms_of, documents_path, plan
from finetui.compare_words import arm_name, detectable_words, excluded_words
from finetui.text import pad, wrapped
from finetui.widgets.choices import Choices
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui.widgets.plot import Row, Span
from finetui_core.evaluate.figures import ArmName
from finetui_core.evaluate.in_words import metric_name

FOLDER = "Folder of documents that answers are looked up in (empty: none)"
MOST_LINES = 12


class ComparePlan(ModalScreen[Wanted | None]):
    """Dismissed with what is to begin, or with None."""

    BINDINGS = bindings("comparing")
    SCOPES = ("comparing",)

    def __init__(self, subject: Path, root: Path) -> None:
        super().__init__(id="comparing")
        self._subject, self._root = subject, root
        self._planned: Planned | None = None
        self._documents = ""
        self._left_out: frozenset[ArmName] = frozenset()

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Lines(id="asked")
            yield Lines(id="facts")
            yield Choices()
        yield KeyBar(self.SCOPES)

    def on_mount(self) -> None:
        self._ask()

    def on_resize(self, event: events.Resize) -> None:
        self._show()

    def _ask(self) -> None:
        """Plan, in a child: the rows are read and looked through for leaks."""
        self._planned = None
        self._show()
        work = partial(self._plan, self._documents)
        self.run_worker(work, thread=True, exclusive=True, exit_on_error=False, group="plan")

    def _plan(self, documents: str) -> None:
        worker = get_current_worker()
        planned = plan(self._subject, self._root, documents, lambda: worker.is_cancelled)
        if not worker.is_cancelled:
            self.app.call_later(self._take, planned)

    def _take(self, planned: Planned) -> None:
        if self.is_attached:
            self._planned = planned
            self._show()

    @property
    def _names(self) -> tuple[ArmName, ...]:
        found = self._planned.plan if self._planned else None
        return tuple(arm.name for arm in found.arms) if found else ()

    def _show(self) -> None:
        if not self.query("#asked"):
            return
        width = self.size.width
        self.query_one("#asked", Lines).show([((f" Compare {self._subject.name}", "strong"),)])
        rows = self._fact_rows(width)
        facts = self.query_one("#facts", Lines)
        facts.styles.height = max(1, len(rows))
        facts.show(rows)
        choices, cursor = self.query_one(Choices), self.query_one(Choices).cursor
        choices.display = bool(self._names)
        choices.styles.height = max(1, len(self._names))
        choices.show([self._arm_row(name) for name in self._names])
        choices.move(cursor if cursor < len(self._names) else 0)
        ready = bool(self._names)
        missing = "" if ready else "there is no plan yet"
        reasons = dict.fromkeys(("comparing.accept", "comparing.in_or_out"), missing) if missing else {}
        self.query_one(KeyBar).show(unavailable=reasons, labels={})

    def _fact_rows(self, width: int) -> list[Row]:
        planned = self._planned
        if planned is None:
            return [((" reading the rows, and looking for those that training has seen …", "muted"),)]
        if planned.plan is None:
            lines = [part for line in planned.fault.splitlines() for part in wrapped(line, max(8, width - 2))]
            return [((" ", ""), (line, "bad")) for line in lines[:MOST_LINES]]
        found = planned.plan
        folder = (
            launching.as_typed(Path(planned.documents)) if planned.documents else "no folder of documents"
        )
        said: list[Span] = [
            (f"{found.rows:,} rows of {found.test_file}; {excluded_words(found)}", ""),
            (f"task: {found.task}, judged by {metric_name(found.metric)}", ""),
            (f"{detectable_words(found)}.", "accent" if found.detectable is not None else "warning"),
            (f"{folder}; answers of at most {found.max_new_tokens:,} tokens", "muted"),
            *((note, "muted") for note in found.notes),
        ]
        return [
            ((" ", ""), (line, style)) for text, style in said for line in wrapped(text, max(8, width - 2))
        ]

    def _arm_row(self, name: ArmName) -> Row:
        found = self._planned.plan if self._planned else None
        says = next((arm.says for arm in found.arms if arm.name == name), "") if found else ""
        is_in = name in arms_of(self._names, self._left_out)
        return (
            (f" [{'x' if is_in else ' '}] ", "strong"),
            (pad(arm_name(name), 12), "strong" if is_in else "muted"),
            (says, "" if is_in else "muted"),
            ("; the others are measured by it" if name == self._names[0] else "", "muted"),
        )

    # What the keys do.

    def action_accept(self) -> None:
        if self._planned is not None and self._planned.plan is not None:
            close(self, Wanted(self._planned, arms_of(self._names, self._left_out)))

    def on_choices_clicked(self) -> None:
        self.action_in_or_out()

    def action_in_or_out(self) -> None:
        if not self._names:
            return
        place = self.query_one(Choices).cursor
        if place:
            self._left_out ^= {self._names[place]}
            self._show()

    def action_documents(self) -> None:
        from finetui.screens.ask import Ask

        def answered(text: str | None) -> None:
            if text is not None and (folder := documents_path(text)) != self._documents:
                self._documents = folder
                self._ask()

        asked = Ask(FOLDER, self._documents, documents_path, partial(launching.complete_path, endings=()))
        self.app.push_screen(asked, answered)

    def action_down(self) -> None:
        self.query_one(Choices).move(1)

    def action_up(self) -> None:
        self.query_one(Choices).move(-1)

    def action_cancel(self) -> None:
        close(self, None)
