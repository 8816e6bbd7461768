"""A program on a pseudo-terminal that is shown fuzzed strings: what it writes is checked, what is seen counted."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.cells import cell_len

from fuzz_strings import numbers_in
from harmless import assert_harmless
from terminal import Terminal, run_on_terminal

ROWS, COLUMNS = 200, 400
QUIET = 0.06  # seconds without output after which a page counts as drawn
STILL = 0.3  # the same before and after a click, which is to change nothing
SLOW = 30.0  # seconds that a loaded machine may take to begin to draw
PATIENCE = 4.0  # seconds that a key may take to show something new, before nothing new is expected
AFTER_ESCAPE = 0.2  # seconds; sooner, the next key would be taken for one with Alt
NONE: set[int] = set()
PALETTE = "a part of a name: an action"
LEAVE = "\x11"  # ctrl+q
LIVE = "@click", "link=", "@mouse"
CLICKS, MOST_CHANGED = 2, 3
STATIONS = 80
"""Cells of the first line that say at which station one is."""


@dataclass
class Watched:
    """The terminal, and the numbers of the strings that were seen on it. What was checked is forgotten.

    `palette` says whether the key for it opens the palette, and is no text.
    """

    terminal: Terminal
    palette: bool = True
    seen: set[int] = field(default_factory=set)
    _read: int = 0

    def read(self, seconds: float) -> bool:
        """Whether anything came within that time; the strings in it are counted."""
        came = bool(self.terminal.read(seconds))
        start = max(0, self._read - 16)  # a word may come in two pieces
        self.seen |= numbers_in(self.terminal.output[start:])
        self._read = len(self.terminal.output)
        return came

    def check(self) -> None:
        """Raises AssertionError where anything came that neither we nor Textual write."""
        terminal = self.terminal
        end = max(0, terminal.output.rfind(b"\x1b["))
        piece = bytes(terminal.output[:end])
        assert_harmless(piece, terminal.display.rows, terminal.display.columns)
        del terminal.output[:end]
        self._read = len(terminal.output)

    def settle(self, quiet: float = QUIET) -> None:
        while self.read(quiet):
            pass
        self.check()
        assert not self.terminal.ended(), f"it ended:\n{self.terminal.screen()}"

    def wait_for(self, text: str) -> None:
        self.terminal.wait_for(text, SLOW)
        self.settle()

    def press(self, *keys: str, shows: str = "") -> None:
        """One after the other; each once the one before has changed the screen. At last it `shows` that text."""
        for key in keys:
            until = time.monotonic() + PATIENCE
            self.terminal.press(key)
            while not self.read(QUIET) and time.monotonic() < until:
                pass
            self.settle(AFTER_ESCAPE if key == "escape" else QUIET)
        if shows:
            self.wait_for(shows)

    def poke(self, *keys: str) -> None:
        """As `press`, for keys that may change nothing."""
        for key in keys:
            self.terminal.press(key)
            self.settle(AFTER_ESCAPE)

    def turn(self, key: str, patience: float = PATIENCE) -> bool:
        """Press `key`; whether strings were shown that had not been shown before."""
        before, until = len(self.seen), time.monotonic() + patience
        self.terminal.press(key)
        while len(self.seen) == before and time.monotonic() < until:
            self.read(QUIET)
        self.settle()
        return len(self.seen) > before

    def page(self, key: str = "pagedown", *, until: set[int] = NONE) -> None:
        """Turn pages until the strings of these numbers are seen, or two pages in turn show nothing new."""
        idle = 0
        while idle < 2 and not (until and until <= self.seen):
            idle = 0 if self.turn(key) else idle + 1

    def click(self, *, of_list: bool = False) -> None:
        """Click on shown text that would be live if it were read as markup.

        Nothing may change but the lines of status; in a list, whose cursor a click moves, the station may not.
        """
        lines = self.still()
        found = {line: text.index(mark) for line, text in enumerate(lines) for mark in LIVE if mark in text}
        for line, at in list(found.items())[:: max(1, len(found) // CLICKS)][:CLICKS]:
            column = cell_len(lines[line][:at]) + 1
            for kind in "Mm":
                os.write(self.terminal.descriptor, f"\x1b[<0;{column + 1};{line + 1}{kind}".encode())
            now = self.still()
            changed = sum(one != other for one, other in zip(lines[1:], now[1:], strict=True))
            station = lines[0][:STATIONS] == now[0][:STATIONS]
            said = f"a click on {lines[line][at : at + 40]!r} changed {changed} lines:\n"
            assert station and (of_list or changed <= MOST_CHANGED), said + "\n".join(now)

    def still(self) -> list[str]:
        """The lines of the screen, once all that was sent is done: the palette opens and closes only after it."""
        if self.palette:
            self.terminal.press(":")
            self.terminal.wait_for(PALETTE, SLOW)
            self.terminal.press("escape")
            until = time.monotonic() + SLOW
            while PALETTE in self.terminal.screen() and time.monotonic() < until:
                self.read(QUIET)
        before: list[str] = []
        while (lines := self.terminal.screen().split("\n")) != before:
            before = lines
            self.settle(STILL)
        return lines

    def leave(self) -> None:
        """It still answers, and ends as asked."""
        self.settle()
        self.terminal.press(LEAVE)
        code = self.terminal.wait_for_end(SLOW)
        assert code == 0, f"it ended with {code}:\n{self.terminal.screen()}"
        self.seen |= numbers_in(self.terminal.output)
        rest = bytes(self.terminal.output)
        assert_harmless(rest, self.terminal.display.rows, self.terminal.display.columns)


@contextmanager
def watched(
    arguments: Sequence[str | bytes], *, rows: int = ROWS, columns: int = COLUMNS, **environment: str
) -> Iterator[Watched]:
    """The studio with these arguments on a large terminal; it must live until it is left."""
    given = ["-m", "finetui", *(os.fsdecode(one) for one in arguments)]
    with run_on_terminal(given, rows=rows, columns=columns, **environment) as terminal:
        watching = Watched(terminal)
        yield watching
        watching.leave()
