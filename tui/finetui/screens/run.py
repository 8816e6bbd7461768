"""One run: its numbers, its curves, what happened last, and the commands that it takes."""

from textual.app import ComposeResult
from textual.screen import Screen

from finetui import states
from finetui.actions import bindings
from finetui.picture import Picture, picture
from finetui.polling import Poller
from finetui.screens.confirm import Confirm
from finetui.text import content
from finetui.widgets.chart import Chart
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.lines import Lines
from finetui.widgets.plot import Row
from finetui_core.runs import mailbox
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView

COMMANDS = frozenset({"run.checkpoint", "run.pause", "run.evaluate", "run.stop"})


class RunScreen(Screen[None]):
    """Follows the run at `paths` while it is on the screen."""

    BINDINGS = bindings("run")
    SCOPES = ("run", "studio")

    def __init__(self, paths: RunPaths) -> None:
        super().__init__()
        self._paths = paths
        self._view: RunView | None = None
        self._picture: Picture | None = None
        self._asked: tuple[str, str] | None = None
        self._shows_log = False
        self._poller = Poller(self, self._read, self._show, self._show_failure)

    def compose(self) -> ComposeResult:
        yield Lines((_title(self._paths.id, ""),), id="title")
        yield Lines((((" reading …", "muted"),),), id="facts")
        yield Chart(id="chart")
        yield Lines(id="pane", tail=True)
        yield Lines(id="notice")
        yield KeyBar(self.SCOPES)

    def on_mount(self) -> None:
        self._name_pane()
        self._poller.start()

    def action_back(self) -> None:
        self.app.pop_screen()

    def action_log(self) -> None:
        self._shows_log = not self._shows_log
        self._name_pane()
        self._show_pane()

    def action_checkpoint(self) -> None:
        self._ask("checkpoint")

    def action_evaluate(self) -> None:
        self._ask("evaluate")

    def action_pause(self) -> None:
        self._ask("resume" if self._picture and self._picture.state == "paused" else "pause")

    def action_stop(self) -> None:
        if self._takes_commands("stop"):
            question = "Stop this run? It saves a checkpoint and ends; it can be resumed."
            self.app.push_screen(Confirm(question), lambda yes: self._ask("stop") if yes else None)

    def _ask(self, command: str) -> None:
        if not self._takes_commands(command):
            return
        try:
            self._asked = (mailbox.send(self._paths, command), command)
        except OSError as error:
            self._notice(f"{command}: cannot write to {self._paths.control}: {error.strerror}", "bad")
        else:
            self._show_command()

    def _takes_commands(self, command: str) -> bool:
        state = self._picture.state if self._picture else None
        if state is not None and state not in states.LIVE:
            self._notice(f"{command}: the run is over ({states.state_words(state)[0]})", "warning")
            return False
        return True

    def _read(self) -> Picture | None:
        """In the thread: what is new, or None where nothing is."""
        if self._view is None:
            self._view = RunView(self._paths)
        changed = self._view.refresh()
        return picture(self._view) if changed or self._picture is None else None

    def _show(self, shown: Picture | None) -> None:
        if shown is None:
            return
        self._picture = shown
        self.query_one("#title", Lines).show((_title(shown.name, shown.run_id),))
        self.query_one("#facts", Lines).show(shown.facts)
        self.query_one(Chart).show(shown.series, shown.checkpoints)
        self._show_pane()
        self._show_command()
        over = shown.state not in states.LIVE
        self.query_one(KeyBar).show(
            unavailable=COMMANDS if over else frozenset(),
            labels={"run.pause": "resume"} if shown.state == "paused" else {},
        )

    def _show_failure(self, error: Exception) -> None:
        self.query_one("#facts", Lines).show([((f" cannot be read: {error}", "bad"),)])

    def _name_pane(self) -> None:
        self.query_one("#pane", Lines).border_title = content("log" if self._shows_log else "events")

    def _show_pane(self) -> None:
        if self._picture:
            self.query_one("#pane", Lines).show(
                self._picture.log if self._shows_log else self._picture.events
            )

    def _show_command(self) -> None:
        """asked → acknowledged → done, for the last command given here."""
        if self._asked is None or self._picture is None:
            return
        command_id, command = self._asked
        event = self._picture.commands.get(command_id, {})
        status, note = event.get("status"), event.get("note")
        words = {"acknowledged": " → acknowledged", "done": " → acknowledged → done", "refused": " → refused"}
        said = f"{command}: asked{words.get(str(status), '')}{f' ({note})' if note else ''}"
        self._notice(said, {"done": "good", "refused": "warning"}.get(str(status), "accent"))

    def _notice(self, text: str, style: str) -> None:
        self.query_one("#notice", Lines).show([((f" {text}", style),)])


def _title(name: str, run_id: str) -> Row:
    return (" ftui ", "title"), (" runs › ", "muted"), (name, "strong"), (f"   {run_id}", "muted")
