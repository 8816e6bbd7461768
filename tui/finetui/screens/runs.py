"""The first screen: every run in the folder, newest first."""

from collections.abc import Callable
from pathlib import Path

from textual.app import ComposeResult
from textual.screen import Screen

from finetui import states
from finetui.actions import bindings
from finetui.polling import Poller
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui.widgets.plot import Row
from finetui.widgets.table import Column, Record, Table
from finetui_core import wording
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunSummary, list_runs

COLUMNS = (
    Column("state", 15),
    Column("name", 12, most=40),
    Column("step", 13, right=True),
    Column("loss", 8, right=True),
    Column("val loss", 8, right=True),
    Column("age", 6, right=True),
    Column("note", 0, most=80),
)


class RunsScreen(Screen[None]):
    """A table of the runs under `root`; `clock` gives unix seconds."""

    BINDINGS = bindings("runs")
    SCOPES = ("table", "runs", "studio")

    def __init__(self, root: Path, clock: Callable[[], float]) -> None:
        super().__init__()
        self._root = root
        self._clock = clock
        self._paths: dict[str, RunPaths] = {}
        self._poller = Poller(self, lambda: list_runs(root), self._show, self._show_failure)

    def compose(self) -> ComposeResult:
        yield Lines((_title(self._root, "reading the runs"),), id="title")
        yield Table(COLUMNS, id="runs")
        yield Lines(id="empty")
        yield KeyBar(self.SCOPES)

    def on_mount(self) -> None:
        self.query_one(Table).focus()
        self._poller.start()

    def on_screen_resume(self) -> None:
        self._poller.now()

    def action_reload(self) -> None:
        self._poller.now()

    def on_table_opened(self, event: Table.Opened) -> None:
        from finetui.screens.run import RunScreen

        self.app.push_screen(RunScreen(self._paths[event.key]))

    def _show(self, runs: list[RunSummary]) -> None:
        self._paths = {run.id: RunPaths(Path(run.path)) for run in runs}
        live = sum(run.state in states.LIVE for run in runs)
        summary = f"{len(runs):,} {'run' if len(runs) == 1 else 'runs'}, {live:,} under way"
        self.query_one("#title", Lines).show((_title(self._root, summary),))
        self.query_one(Table).show([_record(run, self._clock()) for run in runs])
        self.set_class(not runs, "-empty")
        if not runs:
            self.query_one("#empty", Lines).show(_invitation(self._root))

    def _show_failure(self, error: Exception) -> None:
        self.query_one("#title", Lines).show((_title(self._root, f"cannot be read: {error}", "bad"),))


def _title(root: Path, summary: str, style: str = "muted") -> Row:
    return (" ftui ", "title"), (f" {summary}", style), (" in ", "muted"), (_short(root), "")


def _short(path: Path) -> str:
    """`path` as seen from the home folder."""
    try:
        return str("~" / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(path)


def _record(run: RunSummary, now: float) -> Record:
    words, style = states.state_words(run.state)
    total = f"/{wording.count(run.total_steps)}" if run.total_steps else ""
    return Record(
        run.id,
        (
            (words, style),
            (run.name or run.id, ""),
            (f"{wording.count(run.step)}{total}", ""),
            (wording.loss(run.loss), ""),
            (wording.loss(run.eval_loss), ""),
            (wording.age(now - run.created), "muted"),
            (run.reason, "muted"),
        ),
    )


def _invitation(root: Path) -> tuple[Row, ...]:
    return (
        ((f" There are no runs in {_short(root)} yet. Start one from a shell:", ""),),
        (),
        (
            ("   ftui demo           ", "strong"),
            ("fine-tune the small sample model, no GPU needed", ""),
        ),
        (("   ftui train RECIPE   ", "strong"), ("fine-tune as a recipe file says", "")),
        (),
        ((" It appears here by itself.", "muted"),),
    )
