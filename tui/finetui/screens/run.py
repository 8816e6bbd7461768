"""The station Train: one run, or several overlaid; its numbers, curves, texts, and the commands it takes."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.screen import Screen

from finetui import hosted_rows, states
from finetui.actions import actions_of, bindings, key_name
from finetui.closing import close
from finetui.followed import Followed
from finetui.last_words import EXPLAINED, last_words
from finetui.meter_rows import alarm_row
from finetui.panels import FOLLOWING, PANELS, Panels
from finetui.picture import Moment, event_row, facts, moment
from finetui.polling import Poller
from finetui.run_commands import COMMANDS, command_row, why_not, why_not_continue, why_not_export
from finetui.run_comparison import RunComparison
from finetui.screens.confirm import Confirm
from finetui.text import content
from finetui.widgets.chart_grid import ChartGrid
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui.widgets.pager import Pager
from finetui.widgets.plot import Row
from finetui.widgets.status_line import StatusLine
from finetui_core.errors import InputError
from finetui_core.runs import mailbox
from finetui_core.runs.inexact import headline
from finetui_core.runs.paths import RunPaths

if TYPE_CHECKING:
    from finetui.app import Studio

SLICE_SECONDS = 0.3
"""How long the thread reads before the charts are drawn again, while much is unread."""
LAST_EVENTS = 20
MOST_LOOKED_AT = 200
"""Events from the end, phases among them."""
STOP = "Stop this run? It saves a checkpoint and ends; it can be continued."
ABORT = "Abort this run? It ends at once, and what it did since the last checkpoint is lost."


class RunScreen(Screen[None]):
    """Follows the runs at `paths` while it is on the screen; the first is the main one."""

    BINDINGS = bindings("run")

    def __init__(self, paths: Sequence[Path], clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._runs = [Followed(path) for path in paths]
        self._clock = clock
        self._moment: Moment | None = None
        self._asked: list[tuple[str, str]] = []
        self._panel = "charts"
        self._panels = Panels(self._runs, lambda: self._moment)
        self._faults: dict[Path, Exception] = {}
        self._comparison = RunComparison(paths[0])
        self._poller = Poller(
            self, self._read, self._show, self._show_failure, more=lambda: any(r.unread for r in self._runs)
        )

    @property
    def SCOPES(self) -> tuple[str, ...]:
        """The scopes whose keys work now."""
        return ("run", "chart", "studio") if self._panel == "charts" else ("log", "run", "studio")

    def compose(self) -> ComposeResult:
        yield StatusLine("train")
        yield Lines((_title(self._runs),), id="title")
        yield Lines((((" reading …", "muted"),),), id="facts")
        yield Lines(id="alarm")
        yield Lines((_tabs(self._panel),), id="tabs")
        yield ChartGrid(id="charts")
        yield Lines(id="pane", tail=True)
        yield Pager(id="text")
        yield Lines(id="notice")
        yield KeyBar(("run", "chart", "studio"))
        yield KeyBar(("log", "run", "studio"))

    def on_mount(self) -> None:
        self._show_panel("charts")
        self._poller.start()

    def on_screen_resume(self) -> None:
        self._poller.now()

    def action_back(self) -> None:
        if not self.query_one(Pager).leave_search():
            close(self)

    def action_charts(self) -> None:
        self._show_panel("charts")

    def action_log(self) -> None:
        self._show_panel("log")

    def action_events(self) -> None:
        self._show_panel("events")

    def action_samples(self) -> None:
        self._show_panel("samples")

    def action_recipe(self) -> None:
        self._show_panel("recipe")

    def action_machine(self) -> None:
        self._show_panel("machine")

    def action_numbers(self) -> None:
        self._show_panel("numbers")

    def action_meters(self) -> None:
        self._show_panel("meters")

    def action_checkpoint(self) -> None:
        self._ask("checkpoint")

    def action_evaluate(self) -> None:
        self._ask("evaluate")

    def action_sample(self) -> None:
        self._ask("sample")

    def action_pause(self) -> None:
        self._ask("resume" if self._state() == "paused" else "pause")

    def action_stop(self) -> None:
        self._ask_first("stop", STOP)

    def action_abort(self) -> None:
        self._ask_first("abort", ABORT)

    def action_resume(self) -> None:
        if why := self._why_not_continue():
            self._notice(f"continue: {why}", "warning")
        else:
            from finetui.starting import ask_to_continue

            ask_to_continue(self._studio, self._runs[0].path)

    def action_export(self) -> None:
        from finetui.exporting import ask_to_export

        if why := self._why_not_export():
            self._notice(f"export: {why}", "warning")
        else:
            ask_to_export(self._studio, self._runs[0].path)

    def _why_not_export(self) -> str:
        return why_not_export(self._runs[0].view, self._runs[0].path in self._studio.being_exported)

    def _why_not_continue(self) -> str:
        run = self._runs[0]
        return why_not_continue(run.view, run.path in self._studio.being_continued)

    @property
    def _studio(self) -> "Studio":
        return cast("Studio", self.app)

    def on_pager_search_ended(self, event: Pager.SearchEnded) -> None:
        if not event.found:
            self._notice(f"no more lines with: {event.text}", "warning")

    def on_pager_moved(self, event: Pager.Moved) -> None:
        self._name_panel()

    def on_pager_turned(self, event: Pager.Turned) -> None:
        self._panels.turn(self._panel, event.direction, other_side=event.other_side)
        self.query_one(Pager).read_again()
        self._name_panel()

    @property
    def subject(self) -> Path:
        """The run that the station Compare is asked about."""
        return self._runs[0].path

    def _state(self) -> str:
        view = self._runs[0].view
        return str(view.state.state) if view else ""

    def _ask_first(self, command: str, question: str) -> None:
        if why := why_not(self._runs[0].view, command):
            self._notice(f"{command}: {why}", "warning")
        else:
            question = hosted_rows.CANCEL if self._is_hosted else question
            self.app.push_screen(Confirm(question), lambda yes: self._ask(command) if yes else None)

    def _ask(self, command: str) -> None:
        if why := why_not(self._runs[0].view, command):
            self._notice(f"{command}: {why}", "warning")
            return
        paths = RunPaths(self._runs[0].path)
        try:
            self._asked.append((mailbox.send(paths, command), command))
        except OSError as error:
            self._notice(f"{command}: cannot write to {paths.control}: {error.strerror}", "bad")
        else:
            self._show_commands()

    def _read(self) -> Moment | None:
        """In the thread: what is new, or None where nothing is. Raises what opening the main run raises."""
        until = time.monotonic() + SLICE_SECONDS
        main, opened, unread = self._runs[0], self._runs[0].view is not None, self._runs[0].unread
        changed = main.refresh() or self._moment is None
        changed = self._comparison.refresh() or changed
        for run in self._runs[1:]:
            changed = self._refresh_other(run) or changed
        while opened and main.unread and time.monotonic() < until:
            changed = main.refresh() or changed
        return moment(main, self._clock) if changed or main.unread != unread else None

    def _refresh_other(self, run: Followed) -> bool:
        """A run beside the main one that cannot be read is told of, and left out of the charts."""
        try:
            changed = run.refresh()
        except Exception as error:
            self._faults[run.path] = error
            return False
        self._faults.pop(run.path, None)
        return changed

    def _show(self, now: Moment | None) -> None:
        if now is None:
            return
        self._moment = now
        main, live = self._runs[0], self._state() in states.LIVE
        self.query_one("#title", Lines).show(((*_title(self._runs), *self._compared_words()),))
        self.query_one("#facts", Lines).show(facts(now, main))
        self._show_alarm()
        open_runs = [run for run in self._runs if run.view is not None]
        if self._panel == "charts":
            self.query_one(ChartGrid).show(open_runs, live=live)
        self._show_pane()
        self.query_one(Pager).read_again()
        self._show_commands()
        self._show_keys()
        if self._faults:
            path, error = next(iter(self._faults.items()))
            self._notice(f"{path.name}: cannot be read: {error}", "bad")

    def _show_keys(self) -> None:
        view = self._runs[0].view
        unavailable = {f"run.{one}": why for one in COMMANDS if (why := why_not(view, one))}
        if why_ended := self._why_not_continue():
            unavailable["run.resume"] = why_ended
        if why_kept := self._why_not_export():
            unavailable["run.export"] = why_kept
        labels = {"run.pause": "resume"} if self._state() == "paused" else {}
        hidden: frozenset[str] = frozenset()
        if self._is_hosted:
            labels = hosted_rows.LABELS
            again = ("resume",) if why_ended else ()
            hidden = frozenset(f"run.{one}" for one in (*hosted_rows.NEVER_TAKEN, *again))
        for bar in self.query(KeyBar):
            bar.show(unavailable=unavailable, labels=labels, hidden=hidden)

    @property
    def _is_hosted(self) -> bool:
        return hosted_rows.is_hosted(self._runs[0].view)

    def _compared_words(self) -> Row:
        words, style = self._comparison.words
        key = self._key_of("compare", "studio")
        return ((f"   {key} compared: ", "muted"), (words, style)) if words else ()

    def _show_alarm(self) -> None:
        """The gravest alarm that stands; without one the line is not there."""
        row = alarm_row(getattr(self._runs[0].view, "alarms", ()), self._key_of("meters"))
        line = self.query_one("#alarm", Lines)
        line.display = bool(row)
        line.show((row,))

    def _show_failure(self, error: Exception) -> None:
        self.query_one("#facts", Lines).show(_failure(error))

    def _show_panel(self, name: str) -> None:
        self._panel = name
        charts, pager = self.query_one(ChartGrid), self.query_one(Pager)
        as_charts = name == "charts"
        charts.display = self.query_one("#pane").display = as_charts
        pager.display = not as_charts
        first, second = self.query(KeyBar)
        first.display, second.display = as_charts, not as_charts
        if as_charts:
            charts.show(
                [run for run in self._runs if run.view is not None], live=self._state() in states.LIVE
            )
            charts.focus()
        else:
            pager.show(self._panels.source(name), follows=name in FOLLOWING)
            pager.focus()
        self.query_one("#tabs", Lines).show((_tabs(name),))
        self._name_panel()

    def _name_panel(self) -> None:
        pager = self.query_one(Pager)
        words = self._panels.title(self._panel)
        if self._panel in FOLLOWING and not pager.follows:
            words = "not following: G goes to the end and follows"
        if words:
            self._notice(words, "muted")
        else:
            self.query_one("#notice", Lines).show(())
            self._show_commands()

    def _show_pane(self) -> None:
        """The last events, but for the phases, which the state tells; of a run that failed or hangs, why."""
        view, pane = self._runs[0].view, self.query_one("#pane", Lines)
        attempts = getattr(view, "attempts", ())
        explained = view.state.state in EXPLAINED and not view.read_only
        self.set_class(explained, "-explained")
        title = content("why, and the last words of the log" if explained else "events")
        if pane.border_title != title:  # setting it repaints the pane
            pane.border_title = title
        if explained:
            attempt = attempts[-1].attempt if attempts else None
            pane.show(last_words(RunPaths(view.path), attempt, view.state))
        else:
            happened = [event for event in view.events[-MOST_LOOKED_AT:] if event.get("type") != "phase"]
            pane.show([event_row(event) for event in happened[-LAST_EVENTS:]])

    def _show_commands(self) -> None:
        """asked → acknowledged → done, for the last commands given here; of an ended run, how it goes on."""
        view = self._runs[0].view
        row: Row = ()
        if self._asked and view is not None:
            row = command_row(self._asked, view.events)
        if self._panel == "charts":
            row = (*row, *self._onward_row())
        if row or self._panel == "charts":
            self.query_one("#notice", Lines).show((row,) if row else ())

    def _onward_row(self) -> Row:
        """What an ended run is good for: the bar has no room for it beside commands that such a run does not take."""
        if self._runs[0].path in self._studio.being_exported:
            return ((" it is being exported, which goes on when ftui is left", "accent"),)
        ways = []
        if not self._why_not_continue():
            words = (
                hosted_rows.FOLLOWS_AGAIN if self._is_hosted else "continues it from its newest checkpoint"
            )
            ways.append((self._key_of("resume"), words))
        if self._state() not in states.LIVE and not self._why_not_export():
            ways += [
                (self._key_of("compare", "studio"), "compares it"),
                (self._key_of("export"), "exports it"),
            ]
        return tuple(
            span for key, words in ways for span in ((f" {key}", "strong"), (f" {words}  ", "muted"))
        )

    def _key_of(self, name: str, scope: str = "run") -> str:
        (action,) = (one for one in actions_of(scope, keys=self._studio.keymap) if one.name == name)
        return key_name(action.keys[0])

    def _notice(self, text: str, style: str) -> None:
        self.query_one("#notice", Lines).show([((f" {text}", style),)])


def _failure(error: Exception) -> list[Row]:
    """What is wrong first, since lines are cut at the edge; then what to do."""
    if not isinstance(error, InputError):
        return [((f" cannot be read: {error}", "bad"),)]
    problem = error.problems[0]
    said: list[Row] = [((f" cannot be read: {problem.what}", "bad"),)]
    return [*said, *(((f"    {text}", "muted"),) for text in (problem.hint, problem.where) if text)]


def _title(runs: Sequence[Followed]) -> Row:
    first, *others = runs
    beside = f"   and {', '.join(run.label for run in others)}" if others else ""
    read_only = "   read-only" if first.view is not None and first.view.read_only else ""
    inexact = getattr(first.view, "inexact", ())
    marked = f"   {headline(inexact[0]['step'])}" if inexact else ""
    return (
        (f" {first.label}", "strong"),
        (marked, "warning"),
        (f"   {first.path.name}{beside}{read_only}", "muted"),
    )


def _tabs(chosen: str) -> Row:
    """The panels and their keys; the one shown stands in brackets."""
    keys = {action.name: key_name(action.keys[0]) for action in actions_of("run")}
    return tuple(
        (f"[{keys[name]} {words}]", "strong") if name == chosen else (f" {keys[name]} {words} ", "muted")
        for name, words in PANELS.items()
    )
