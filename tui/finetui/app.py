"""The application: its first screen, its theme, and how it ends."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from textual.app import App
from textual.screen import Screen

from finetui.actions import bindings
from finetui.screens.runs import RunsScreen

TERMINAL_CHECK_SECONDS = 3.0
LAST_RESORT_SECONDS = 3.0


class Studio(App[None]):
    """Shows the runs under `root`; `clock` gives unix seconds."""

    CSS_PATH = "styles.tcss"
    TITLE = "ftui"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS = bindings("studio")

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._root = root
        self._clock = clock
        self.animation_level = "none"

    def get_default_screen(self) -> Screen[None]:
        return RunsScreen(self._root, self._clock)

    def on_mount(self) -> None:
        if not self.is_headless:
            self._end_on_signals()
            self.set_interval(TERMINAL_CHECK_SECONDS, self._end_without_terminal)

    def action_help(self) -> None:
        from finetui.screens.help import Help

        self.push_screen(Help(getattr(self.screen, "SCOPES", ("studio",))))

    def _end_on_signals(self) -> None:
        """SIGTERM and SIGHUP leave the terminal as it was before, like quitting."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, self._leave, 128 + number)

    def _end_without_terminal(self) -> None:
        """A terminal that closed sends no signal to a process that ignores SIGHUP (nohup)."""
        if not os.isatty(sys.__stdin__.fileno() if sys.__stdin__ else 0):
            self._leave(128 + signal.SIGHUP)

    def _leave(self, code: int) -> None:
        """Quit; if writing to a dead terminal holds that up, end the process."""
        last_resort = threading.Timer(LAST_RESORT_SECONDS, os._exit, (code,))
        last_resort.daemon = True
        last_resort.start()
        self.exit(return_code=code)
