"""The application: its stations, its theme, and how it ends."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.dom import DOMNode
from textual.notifications import SeverityLevel
from textual.screen import Screen

from finetui.actions import Action, actions_of, bindings
from finetui.interface import built_in_themes
from finetui.leaving import SIGNALS, end_by_force_later
from finetui.machine import Machine
from finetui.screens.runs import RunsScreen
from finetui.stopped import go_on_after_stops
from finetui.text import safe
from finetui.themes import textual_theme
from finetui.widgets.key_bar import KeyBar
from finetui.widgets.status_line import LEAST_HEIGHT, LEAST_WIDTH, StatusLine
from finetui_core.errors import InputError, Problem
from finetui_core.secrets import redact
from finetui_core.settings import Loaded, Settings, keep_theme, settings_file, user_themes_folder
from finetui_core.themes import DEFAULT, load_theme, theme_files

if TYPE_CHECKING:
    from finetui.screens.chat import ChatScreen
    from finetui.screens.compare import CompareScreen
    from finetui.screens.data import DataScreen
    from finetui.screens.decide import DecideScreen
    from finetui.screens.palette import Choice
    from finetui.screens.recipe import RecipeScreen
    from finetui.screens.run import RunScreen
    from finetui_core.evaluate.chat_client import Subject
    from finetui_core.evaluate.chat_protocol import Sampling

TERMINAL_CHECK_SECONDS = 3.0
MACHINE_SECONDS = 5.0
THEME_CHECK_SECONDS = 2.0
NOTICE_SECONDS = 8.0
MOST_TOLD = 3
WIDTHS = [(0, "-cramped"), (LEAST_WIDTH, "-narrow"), (120, "-wide"), (200, "-widest")]
HEIGHTS = [(0, "-flat"), (LEAST_HEIGHT, "-low"), (36, "-tall"), (60, "-tallest")]
"""The class that a screen has from so many cells on, for styles.tcss."""


class Studio(App[None]):
    """Shows the runs under `root`.

    `clock` gives unix seconds. `look`, called in a thread every few seconds, gives what the first line says of the
    machine; without it, nothing is said. `opened` is a run to open at once, `opened_data` a data set,
    `opened_recipe` a recipe, `opened_chat` a model to talk to with the settings and the system prompt.
    """

    CSS_PATH = "styles.tcss"
    TITLE = "ftui"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS = bindings("studio")
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS

    def __init__(
        self,
        root: Path,
        clock: Callable[[], float] = time.time,
        loaded: Loaded | None = None,
        look: Callable[[], Machine] | None = None,
        opened: Path | None = None,
        opened_data: str = "",
        opened_recipe: Path | None = None,
        opened_chat: "tuple[Subject, Sampling, str] | None" = None,
    ) -> None:
        super().__init__()
        loaded = loaded or Loaded(Settings())
        self.settings = loaded.settings
        self.keymap = loaded.settings.keys
        self.machine: Machine | None = None
        self._problems = list(loaded.problems)
        self._root = root
        self._clock = clock
        self._look = look
        self._opened = opened
        self._opened_data = opened_data
        self._opened_recipe = opened_recipe
        self._opened_chat = opened_chat
        self._train: RunScreen | None = None
        self._decide: DecideScreen | None = None
        self._data: DataScreen | None = None
        self._recipe: RecipeScreen | None = None
        self._compare: CompareScreen | None = None
        self._chat: ChatScreen | None = None
        self._asks_to_quit = False
        self.being_continued: set[Path] = set()
        self.being_exported: set[Path] = set()
        self.animation_level = "none"
        self._start_theme(loaded.settings.theme)
        if self.keymap:
            self.set_keymap({action: ",".join(keys) for action, keys in self.keymap.items()})

    async def run_on_terminal(self) -> int:
        """Run until it is quit, or ended by a signal, at whatever moment; returns the exit code."""
        self._end_on_signals()
        await self.run_async(mouse=self.settings.mouse)
        return self.return_code or 0

    def get_default_screen(self) -> Screen[None]:
        return RunsScreen(self._root, self._clock)

    def on_mount(self) -> None:
        self._tell_problems("The settings", self._problems)
        if self._opened is not None:
            self.open_runs([self._opened])
        if self._opened_data:
            self.open_data(self._opened_data)
        if self._opened_recipe is not None:
            self._show_recipe().open(self._opened_recipe)
        if self._opened_chat is not None:
            self.open_chat(*self._opened_chat)
        self.set_interval(THEME_CHECK_SECONDS, self._reload_theme)
        if self._look:
            self.set_timer(0.2, self._look_at_machine)
            self.set_interval(MACHINE_SECONDS, self._look_at_machine)
        if not self.is_headless:
            go_on_after_stops(self)
            self.set_interval(TERMINAL_CHECK_SECONDS, self._end_without_terminal)

    def open_runs(self, paths: Sequence[Path]) -> None:
        """Show one run, or several overlaid of which the first is the main one, at the station Train."""
        from finetui.screens.run import RunScreen

        if self._train is not None and self._train not in self.screen_stack:
            self.call_later(self._train.remove)
        self._leave_station()
        if self._train is not None:
            self.uninstall_screen(self._train)
        self._train = RunScreen(list(paths), self._clock)
        self.install_screen(self._train, f"train {id(self._train)}")  # so that it stays as it is when left
        self.push_screen(self._train)

    @property
    def train(self) -> "RunScreen | None":
        """The dashboard opened last, which the station Train shows."""
        return self._train

    def action_start_run(self) -> None:
        from finetui.starting import ask_to_start

        ask_to_start(self, self._root)

    def action_station(self, station: str) -> None:
        """Go to a station; at Train, to the run opened last or else to the newest one under way."""
        if station == "runs":
            self._leave_station()
        elif station == "decide":
            self._show_decide().begin()
        elif station == "data":
            self._show_data().open_last()
        elif station == "recipe":
            self._show_recipe().open_last()
        elif station == "compare":
            self._show_compare(getattr(self.screen, "subject", None))
        elif station != "train":
            self._show_station(station)
        elif self._train is None:
            self.run_worker(self._open_live_run(), exclusive=True, group="station")
        elif self.screen is not self._train:
            self._leave_station()
            self.push_screen(self._train)

    def open_data(self, source: str, row: int = 0) -> None:
        """Show a data set at the station Data, from a row on."""
        self._show_data().open(source, row)

    def _show_decide(self) -> "DecideScreen":
        """The station stays as it is when it is left, with what is not saved."""
        from finetui.screens.decide import DecideScreen

        if self._decide is None:
            self._decide = DecideScreen(self._root, self._rows_at_hand)
            self.install_screen(self._decide, "decide")
        if self.screen is not self._decide:
            self._leave_station()
            self.push_screen(self._decide)
        return self._decide

    def _rows_at_hand(self) -> tuple[str, str]:
        """The rows to train on and those kept apart, of the open recipe, or else the open data set."""
        named = self._recipe.rows if self._recipe is not None else ("", "")
        return named if named[0] else (self.open_rows, "")

    @property
    def open_rows(self) -> str:
        """The data set that is open at the station Data; "" for none."""
        return self._data.source if self._data is not None else ""

    def _show_data(self) -> "DataScreen":
        """The station stays as it is when it is left."""
        from finetui.screens.data import DataScreen

        if self._data is None:
            self._data = DataScreen()
            self.install_screen(self._data, "data")
        if self.screen is not self._data:
            self._leave_station()
            self.push_screen(self._data)
        return self._data

    def _show_recipe(self) -> "RecipeScreen":
        """The station stays as it is when it is left, with what is not saved."""
        from finetui.screens.recipe import RecipeScreen

        if self._recipe is None:
            self._recipe = RecipeScreen(self._root)
            self.install_screen(self._recipe, "recipe")
        if self.screen is not self._recipe:
            self._leave_station()
            self.push_screen(self._recipe)
        return self._recipe

    def _show_compare(self, subject: Path | None) -> None:
        """The comparison of the run `subject`, where it has one; else the list, which proposes to make it."""
        from finetui.compare_list import compare_folder, holds_comparison
        from finetui.screens.compare import CompareScreen

        if self._compare is None:
            self._compare = CompareScreen(self._root, self._clock)
            self.install_screen(self._compare, "compare")
        if self._compare not in self.screen_stack:
            self._leave_station()
            self.push_screen(self._compare)
            self._compare.propose(subject)
            if subject is not None and holds_comparison(folder := compare_folder(subject)):
                self._compare.open(folder)

    def open_chat(self, subject: "Subject", sampling: "Sampling | None" = None, system: str = "") -> None:
        """Talk to a model over the station Compare; a conversation with the same one goes on."""
        from finetui.screens.chat import ChatScreen

        if self._chat is None or self._chat.subject != subject:
            if self._chat is not None:
                self.uninstall_screen(self._chat)
                self.call_later(self._chat.remove)
            self._chat = ChatScreen(subject, sampling, system)
            self.install_screen(self._chat, f"chat {id(self._chat)}")  # so that it stays as it is when left
        if self._compare is None or self._compare not in self.screen_stack:
            self._show_compare(None)
        self.push_screen(self._chat)

    async def action_quit(self) -> None:
        """Ask once before changes of a recipe are lost; asked to quit again, keep them for the next start."""
        draft = self._recipe.draft if self._recipe is not None else None
        if draft is None or not draft.unsaved or self._asks_to_quit:
            self._keep_unsaved()
            self.exit()
            return
        from finetui.recipe_asking import ask_to_quit

        self._asks_to_quit = True
        ask_to_quit(self, draft, self.exit, self._stay)

    def _stay(self) -> None:
        self._asks_to_quit = False

    def _keep_unsaved(self) -> None:
        if self._decide is not None:
            self._decide.keep_unsaved()
        if self._recipe is not None and self._recipe.draft is not None:
            from finetui.recipe_files import keep_unsaved

            keep_unsaved(self._recipe.draft)

    async def _open_live_run(self) -> None:
        from finetui_core.runs.live import LiveRuns

        live = await asyncio.to_thread(LiveRuns(self._root).find)
        if self.screen.is_modal:
            return
        if live:
            self.open_runs(live[:1])
        else:
            self._show_station("train")

    def _show_station(self, station: str) -> None:
        from finetui.screens.stations import StationScreen

        self._leave_station()
        self.push_screen(StationScreen(station))

    def _leave_station(self) -> None:
        """Back to the list of runs, which stays below all other stations."""
        while len(self.screen_stack) > 1:
            self.pop_screen()

    def action_help(self) -> None:
        from finetui.screens.help import Help

        self.push_screen(Help(_scopes(self.screen), self.keymap, _unavailable(self.screen)))

    def action_palette(self) -> None:
        from finetui.screens.palette import Palette, choices_of

        below = self.screen
        choices = choices_of(_scopes(below), self.keymap, _unavailable(below), self._theme_files())
        self.push_screen(Palette(choices), partial(self._do, below))

    async def _do(self, screen: Screen[Any], choice: "Choice | None") -> None:
        """What was chosen in the palette that was opened over `screen`."""
        if choice is None:
            return
        if choice.kind == "theme":
            self._choose_theme(choice.name)
            return
        (action,) = (one for one in actions_of(*_scopes(screen)) if one.id == choice.name)
        await self.run_action(action.does or action.name, default_namespace=_node_of(action, screen))

    def action_copy(self) -> None:
        self.copy("\n".join(strip.text.rstrip() for strip in self.screen._compositor.render_strips()))

    def copy(self, text: str) -> None:
        """Copy `text` to where the user can paste it from; a notice says where it went."""
        self.run_worker(lambda: self._copy(text), thread=True, exit_on_error=False, group="copy")

    def _copy(self, text: str) -> None:
        from finetui import copying

        try:
            said = copying.copy(text, lambda part: self.call_from_thread(self.copy_to_clipboard, part))
        except OSError as error:
            self.call_from_thread(self.notice, f"Not copied: {error.strerror}", "error")
        else:
            self.call_from_thread(self.notice, said)

    def notice(self, text: str, severity: SeverityLevel = "information") -> None:
        """Show `text` in a corner for some seconds; it may be anybody's."""
        self.notify(safe(redact(text), keep="\n"), severity=severity, timeout=NOTICE_SECONDS, markup=False)

    def _tell_problems(self, where: str, problems: Sequence[Problem]) -> None:
        if problems:
            more = f"\n… and {len(problems) - MOST_TOLD} more" if len(problems) > MOST_TOLD else ""
            told = "\n".join(str(problem) for problem in problems[:MOST_TOLD])
            self.notice(f"{where}: passed over (ftui settings check)\n{told}{more}", "warning")

    def _theme_files(self) -> dict[str, Path]:
        return {**theme_files(built_in_themes()), **theme_files(user_themes_folder())}

    def _start_theme(self, name: str) -> None:
        try:
            self._use_theme(name)
        except InputError as error:
            self._problems += error.problems
            self._use_theme(DEFAULT)

    def _use_theme(self, name: str) -> None:
        """Raises InputError, and leaves the theme as it was, where the file has faults."""
        path = self._theme_files().get(name)
        if path is None:
            raise InputError(Problem(f"there is no theme {name}"))
        self._theme_file = path, _stamp(path)
        theme = textual_theme(load_theme(path, built_in_themes()))
        self.register_theme(theme)
        if not self.is_running:
            self.set_reactive(App.theme, name)  # watched, it would have the style sheets parsed twice
            self.stylesheet.set_variables(self.get_css_variables())
        elif self.theme == name:
            self.refresh_css(animate=False)
        else:
            self.theme = name

    def _choose_theme(self, name: str) -> None:
        """Use a theme from now on."""
        try:
            self._use_theme(name)
            keep_theme(settings_file(), name)
        except InputError as error:
            self._tell_problems(f"Theme {name}", error.problems)
        except OSError as error:
            self.notice(f"The theme could not be kept in {settings_file()}: {error.strerror}", "warning")

    def _reload_theme(self) -> None:
        """A theme that its author has saved is shown at once; one with faults leaves the screen as it is."""
        path, stamp = self._theme_file
        if _stamp(path) not in (None, stamp):
            try:
                self._use_theme(path.stem)
            except InputError as error:
                self._tell_problems(f"Theme {path.stem}", error.problems)

    def _look_at_machine(self) -> None:
        if not any(worker.group == "machine" and not worker.is_finished for worker in self.workers):
            self.run_worker(self._look_once, thread=True, exit_on_error=False, group="machine")

    def _look_once(self) -> None:
        if self._look:
            self.call_from_thread(self._show_machine, self._look())

    def _show_machine(self, machine: Machine) -> None:
        self.machine = machine
        for line in self.screen.query(StatusLine):  # what a covered screen draws makes Textual repaint it all
            line.show(machine)

    def _end_on_signals(self) -> None:
        """They leave the terminal as it was, like quitting; one that comes early waits for the first screen.

        The handlers are not asyncio's: those would wait for a loop that writing to a dead terminal may hold up.
        """
        loop = asyncio.get_running_loop()

        def told(number: int, _: object) -> None:
            self._end_by_force_later(128 + number)
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self.call_later, self._leave, 128 + number)

        for number in SIGNALS:
            signal.signal(number, told)

    def _end_without_terminal(self) -> None:
        """A terminal that closed sends no signal to a process that ignores SIGHUP (nohup)."""
        if not os.isatty(sys.__stdin__.fileno() if sys.__stdin__ else 0):
            self._end_by_force_later(128 + signal.SIGHUP)
            self._leave(128 + signal.SIGHUP)

    def _end_by_force_later(self, code: int) -> None:
        """For where a thread that hangs or writing to a dead terminal holds up all else."""
        end_by_force_later(code, getattr(self._driver, "attrs_before", None), self._keep_unsaved)

    def _leave(self, code: int) -> None:
        self._keep_unsaved()
        self.exit(return_code=code)


def _scopes(screen: Screen[Any]) -> tuple[str, ...]:
    scopes: tuple[str, ...] = getattr(screen, "SCOPES", ("studio",))
    return scopes


def _unavailable(screen: Screen[Any]) -> dict[str, str]:
    return {action: reason for bar in screen.query(KeyBar) for action, reason in bar.unavailable.items()}


def _node_of(action: Action, screen: Screen[Any]) -> DOMNode:
    """The widget, screen or app that has the action: the focused one before the others."""
    focused = list(screen.focused.ancestors_with_self) if screen.focused else []
    nodes: list[DOMNode] = [*focused, screen, *screen.query("*")]
    for node in nodes:
        if any(getattr(binding, "id", None) == action.id for binding in node.BINDINGS):
            return node
    return screen.app


def _stamp(path: Path) -> int | None:
    """What changes when a file is saved."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
