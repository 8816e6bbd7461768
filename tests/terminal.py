"""A program on a pseudo-terminal: its keys, what it writes, and what a terminal would show of that."""

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.cells import cell_len

KEYS = {"enter": "\r", "escape": "\x1b", "down": "\x1b[B", "up": "\x1b[A", "tab": "\t", "pagedown": "\x1b[6~"}
TOKEN = re.compile(
    r"\x1b\[(?P<csi>[0-?]*[ -/]*[@-~])"
    r"|\x1b(?P<string>[\]PX^_].*?(?:\x1b\\|\x07))"
    r"|\x1b(?P<escape>[ -/]*[0-~])"
    r"|(?P<control>[\x00-\x1f\x7f-\x9f])"
    r"|(?P<text>[^\x00-\x1f\x7f-\x9f]+)",
    re.DOTALL,
)

RUN = re.compile(r"[ -~]+|[^ -~]")
"""Characters that take a cell each, or any other one."""
UNFINISHED = re.compile(r"\x1b(\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)\Z")


class Display:
    """The cells of a terminal as text: what is written where, lines cleared and scrolled; no colours."""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self._row = self._column = 0
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._clear()

    def _clear(self) -> None:
        self._grid = [[" "] * self.columns for _ in range(self.rows)]

    def text(self) -> str:
        """The lines, without spaces at their ends."""
        return "\n".join("".join(line).rstrip() for line in self._grid)

    def resize(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self._clear()

    def feed(self, output: bytes) -> None:
        text = self._rest + self._decoder.decode(output)
        unfinished = UNFINISHED.search(text)
        end = unfinished.start() if unfinished else len(text)
        self._rest = text[end:]
        for match in TOKEN.finditer(text, 0, end):
            if match["csi"] is not None:
                self._obey(match["csi"])
            elif match["control"] is not None:
                self._move(match["control"])
            elif match["text"] is not None:
                self._write(match["text"])

    def _obey(self, csi: str) -> None:
        if csi[-1] in "Hf":
            self._row, self._column = ([int(part or 1) - 1 for part in csi[:-1].split(";")] + [0])[:2]
        elif csi in ("2J", "?1049h", "?1049l"):
            self._clear()
        elif csi == "K" and self._row < self.rows:
            self._grid[self._row][self._column :] = [" "] * (self.columns - self._column)

    def _move(self, control: str) -> None:
        if control == "\r":
            self._column = 0
        elif control == "\n" and self._row + 1 < self.rows:
            self._row += 1
        elif control == "\n":
            self._grid = [*self._grid[1:], [" "] * self.columns]

    def _write(self, text: str) -> None:
        for character in RUN.findall(text):
            width = cell_len(character) if len(character) == 1 else len(character)
            if self._row < self.rows and self._column < self.columns:
                line = self._grid[self._row]
                if len(character) > 1:
                    room = self.columns - self._column
                    line[self._column : self._column + width] = character[:room]
                    self._column += width
                    continue
                if width:
                    line[self._column : self._column + width] = [character, *[""] * (width - 1)]
                elif self._column:
                    line[self._column - 1] += character
            self._column += width


@dataclass
class Terminal:
    """The terminal's side of a program. `output` is all that it has written; sizes are in cells."""

    pid: int
    descriptor: int
    display: Display
    output: bytearray = field(default_factory=bytearray)
    code: int | None = None

    def press(self, *keys: str) -> None:
        """Send keys by name, or text as it is."""
        for key in keys:
            os.write(self.descriptor, KEYS.get(key, key).encode())

    def resize(self, rows: int, columns: int) -> None:
        self.display.resize(rows, columns)
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds: float) -> bytes:
        """What comes first within that time; empty where nothing does, or the program has closed its side."""
        if not select.select([self.descriptor], [], [], seconds)[0]:
            return b""
        try:
            piece = os.read(self.descriptor, 1 << 16)
        except OSError:
            piece = b""
        self.output += piece
        self.display.feed(piece)
        return piece

    def wait_for(self, text: str, seconds: float = 90.0) -> None:
        """Read until the screen shows `text`."""
        deadline = time.monotonic() + seconds
        while text not in self.screen():
            if time.monotonic() > deadline or self.ended():
                raise AssertionError(f"{text!r} is not shown; the screen is:\n{self.screen()}")
            self.read(0.05)

    def settle(self, quiet: float = 0.15, seconds: float = 20.0) -> str:
        """Read until nothing was written for `quiet` seconds; then what the screen shows."""
        deadline = time.monotonic() + seconds
        while self.read(quiet) and time.monotonic() < deadline:
            pass
        return self.screen()

    def screen(self) -> str:
        return self.display.text()

    def ended(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is not None

    def wait_for_end(self, seconds: float = 90.0) -> int:
        """The exit code, negative for a signal. Reads on, so that the program can write its last words."""
        deadline = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > deadline:
                raise AssertionError(f"it did not end within {seconds} s; the screen is:\n{self.screen()}")
            self.read(0.02)
        while self.read(0.0):
            pass
        assert self.code is not None
        return self.code


@contextmanager
def run_on_terminal(
    arguments: Sequence[str], *, rows: int = 24, columns: int = 80, **environment: str
) -> Iterator[Terminal]:
    """Run Python with `arguments` as the leader of a session on a new terminal; killed at the end.

    It finds no settings and nothing remembered.
    """
    with tempfile.TemporaryDirectory() as home:
        # pytest-xdist puts LINES and COLUMNS into the environment, and they would count more than the terminal.
        given = {key: os.environ[key] for key in os.environ.keys() - {"NO_COLOR", "LINES", "COLUMNS"}}
        given |= {"TERM": "xterm-256color", "COLORTERM": ""}
        given |= dict.fromkeys(("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"), home)
        pid, descriptor = pty.fork()
        if pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                os.execve(sys.executable, [sys.executable, *arguments], {**given, **environment})
            finally:
                os._exit(127)
        terminal = Terminal(pid, descriptor, Display(rows, columns))
        try:
            yield terminal
        finally:
            if not terminal.ended():
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            os.close(descriptor)
