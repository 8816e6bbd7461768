"""A tmux server of one's own with tmux's defaults: keys go in, what its windows show comes out."""

import re
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

LOOK_EVERY = 0.1


class NotShown(AssertionError):
    """What had to be seen did not come in time."""


@dataclass(frozen=True, slots=True)
class Tmux:
    """The server named `socket`. Windows are told apart by name."""

    socket: str

    def start(self, window: str, width: int, height: int, environment: Mapping[str, str]) -> None:
        """A session with a shell in its first window; the shell has `environment` beside what is there anyhow."""
        self._run("new-session", "-d", "-n", window, f"-x{width}", f"-y{height}", *_shell(environment))

    def open_window(self, window: str, environment: Mapping[str, str]) -> None:
        self._run("new-window", "-d", "-n", window, *_shell(environment))

    def type(self, window: str, text: str) -> None:
        """Type `text` as it is, then enter."""
        self._run("send-keys", "-t", window, "-l", text)
        self._run("send-keys", "-t", window, "Enter")

    def press(self, window: str, *keys: str) -> None:
        """Press keys by the names that tmux has for them."""
        self._run("send-keys", "-t", window, *keys)

    def screen(self, window: str, *, colours: bool = False) -> str:
        """The lines of a window, with escape sequences for their colours if asked for."""
        return self._run("capture-pane", "-p", "-t", window, *(["-e", "-N"] if colours else []))

    def wait_for(self, window: str, wanted: str | Callable[[str], object], seconds: float = 30.0) -> str:
        """Wait until a regular expression is found on the screen, or a function of its text says yes."""
        found = wanted if callable(wanted) else re.compile(wanted).search
        deadline = time.monotonic() + seconds
        while not found(shown := self.screen(window)):
            if time.monotonic() > deadline:
                raise NotShown(f"{wanted} is not shown after {seconds:.0f} s; the screen is:\n{shown}")
            time.sleep(LOOK_EVERY)
        return shown

    def kill(self) -> None:
        """End the server, and with it every terminal that it holds."""
        subprocess.run(self._command("kill-server"), capture_output=True)

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(self._command(*arguments), capture_output=True, text=True)
        if done.returncode:
            raise NotShown(f"tmux {arguments[0]}: {done.stderr.strip()}")
        return done.stdout

    def _command(self, *arguments: str) -> list[str]:
        return ["tmux", "-f", "/dev/null", "-L", self.socket, *arguments]


def _shell(environment: Mapping[str, str]) -> list[str]:
    """As a command of several words, which tmux starts itself: no shell's start-up file changes anything."""
    return ["env", *(f"{name}={value}" for name, value in environment.items()), "/bin/sh"]
