"""How the studio ends when it is told to, or when its terminal goes away: quickly, cleanly, and alone."""

import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from run_folders import write_run
from terminal import Terminal, run_on_terminal

MOST_SECONDS = 2.0
SWITCHED_ON = ("?1049h", "?25l", "?1000h", "?1003h", "?1015h", "?1006h", "?1004h", "?2004h", "?7l")
"""Alternate screen, hidden cursor, mouse, focus, pasting in brackets, no wrapping: what must be undone."""
OFF = {"h": "l", "l": "h"}
IGNORING = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.executable, "
IGNORING += "[sys.executable, '-m', 'finetui', *sys.argv[1:]])"


@contextmanager
def studio(root: Path, *, opened: bool, ignoring: bool = False) -> Iterator[Terminal]:
    """A studio that shows the list, or the first run, with everything that it does in threads under way."""
    program = ["-c", IGNORING] if ignoring else ["-m", "finetui"]
    with run_on_terminal([*program, "--runs", str(root)], rows=36, columns=120) as terminal:
        terminal.wait_for("demo")
        if opened:
            terminal.press("enter")
            terminal.wait_for("loss")
        terminal.settle()
        yield terminal


def assert_restored(output: bytes) -> None:
    """The last word on each mode is the one that a shell expects."""
    for mode in SWITCHED_ON:
        on, off = (f"\x1b[{mode[:-1]}{end}".encode() for end in (mode[-1], OFF[mode[-1]]))
        assert on not in output or output.rindex(off) > output.rindex(on), mode
    assert output.count(b"\x1b[>") <= output.count(b"\x1b[<u"), "the keyboard's protocol"
    assert b"\x1b[?1049l" in output and output.rstrip().endswith((b"l", b"h", b"u", b"m"))
    assert b"Traceback" not in output


def seconds_until_end(terminal: Terminal) -> float:
    began = time.monotonic()
    terminal.wait_for_end(10)
    return time.monotonic() - began


def assert_alone(children: list[psutil.Process]) -> None:
    assert psutil.wait_procs(children, timeout=MOST_SECONDS)[1] == []


def family(terminal: Terminal) -> list[psutil.Process]:
    return psutil.Process(terminal.pid).children(recursive=True)


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_restores_the_terminal(
    tmp_path: Path, number: signal.Signals, opened: bool
) -> None:
    write_run(tmp_path, end=None)
    with studio(tmp_path, opened=opened) as terminal:
        before = bytes(terminal.output)
        assert b"\x1b[?1049h" in before
        children = family(terminal)
        os.kill(terminal.pid, number)
        assert seconds_until_end(terminal) < MOST_SECONDS
        assert terminal.code == 128 + number
        assert_restored(terminal.output)
        assert_alone(children)


def catches(terminal: Terminal, number: signal.Signals) -> bool:
    """Whether the process has taken the signal into its own hands, as its kernel knows it."""
    status = Path(f"/proc/{terminal.pid}/status").read_text()
    (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)


def wrote(text: bytes) -> Callable[[Terminal], bool]:
    return lambda terminal: text in terminal.output


def wrote_bytes(number: int) -> Callable[[Terminal], bool]:
    return lambda terminal: len(terminal.output) >= number


def starting_until(root: Path, reached: Callable[[Terminal], bool], number: signal.Signals) -> Terminal:
    """A studio that got the signal as soon as `reached`, has ended, and left its terminal as it was."""
    with run_on_terminal(["-m", "finetui", "--runs", str(root)], rows=36, columns=120) as terminal:
        before = termios.tcgetattr(terminal.descriptor)
        deadline = time.monotonic() + 20
        while not reached(terminal):
            assert time.monotonic() < deadline and not terminal.ended()
            terminal.read(0.001)
        os.kill(terminal.pid, number)
        assert seconds_until_end(terminal) < MOST_SECONDS
        assert termios.tcgetattr(terminal.descriptor) == before
    assert b"Traceback" not in terminal.output
    if terminal.output:
        assert_restored(terminal.output)
    return terminal


SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
MOMENTS = {
    "it can": lambda terminal: catches(terminal, signal.SIGHUP),
    "it writes": wrote_bytes(1),
    "it has the mouse": wrote(b"\x1b[?1006h"),
    "it hides the cursor": wrote(b"\x1b[?25l"),
    "it asks for pastes": wrote(b"\x1b[?2004h"),
    "it draws": wrote_bytes(400),
    "it has drawn": wrote(b"demo"),
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_it_as_soon_as(tmp_path: Path, number: signal.Signals, moment: str) -> None:
    write_run(tmp_path, end=None)
    terminal = starting_until(tmp_path, MOMENTS[moment], number)
    assert terminal.code == 128 + number


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_at_any_moment_of_the_start_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    """Every 20 ms from the time on that it can; and before that, Python's own way to end is good enough."""
    write_run(tmp_path, end=None)
    for late in range(0, 1200, 20):
        began: list[float] = []

        def reached(terminal: Terminal, late: int = late, began: list[float] = began) -> bool:
            if not began and catches(terminal, signal.SIGHUP):
                began.append(time.monotonic())
            return bool(began) and time.monotonic() - began[0] >= late / 1000

        assert starting_until(tmp_path, reached, number).code == 128 + number, f"{late} ms"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_it_can_do_anything_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    terminal = starting_until(tmp_path, lambda _: True, number)
    assert terminal.code in (128 + number, -number) and not terminal.output


HANGING = """
import sys, threading
from finetui.machine import MachineReader
from finetui.__main__ import main
MachineReader.read = lambda self: (open(sys.argv[2], "w").close(), threading.Event().wait())
sys.exit(main(["--runs", sys.argv[1]]))
"""


def test_a_reading_that_hangs_does_not_hold_it_up(tmp_path: Path) -> None:
    """As from a dead network disk or a driver that is stuck: a thread that cannot be ended."""
    write_run(tmp_path, end=None)
    hangs = tmp_path / "hangs"
    with run_on_terminal(["-c", HANGING, str(tmp_path), str(hangs)], rows=36, columns=120) as terminal:
        before = termios.tcgetattr(terminal.descriptor)
        terminal.wait_for("demo")
        while not hangs.exists():
            terminal.read(0.05)
        os.kill(terminal.pid, signal.SIGTERM)
        assert seconds_until_end(terminal) < MOST_SECONDS
        assert terminal.code == 128 + signal.SIGTERM
        assert termios.tcgetattr(terminal.descriptor) == before
        assert_restored(terminal.output)


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGTSTP])
def test_it_goes_on_as_before_after_a_stop(tmp_path: Path, number: signal.Signals) -> None:
    write_run(tmp_path, end=None)
    with studio(tmp_path, opened=False) as terminal:
        process = psutil.Process(terminal.pid)
        threads = process.num_threads()
        for times in range(1, 4):
            os.kill(terminal.pid, number)
            while process.status() != psutil.STATUS_STOPPED:
                terminal.read(0.02)
            os.kill(terminal.pid, signal.SIGCONT)
            while terminal.output.count(b"\x1b[?7l") <= times:  # the last of what it switches on
                terminal.read(0.02)
            terminal.settle()
        assert process.num_threads() == threads
        terminal.press("?")
        terminal.wait_for("In a list")
        for key in ("escape", "q"):
            terminal.settle()
            terminal.press(key)
        assert seconds_until_end(terminal) < MOST_SECONDS
        assert terminal.code == 0
        assert_restored(terminal.output)


HELD_UP = """
import sys, threading
from textual.drivers.linux_driver import LinuxDriver
from finetui.__main__ import main
locked = threading.Lock()
locked.acquire()
LinuxDriver.write = lambda self, data: (open(sys.argv[2], "w").close(), locked.acquire())
sys.exit(main(["--runs", sys.argv[1]]))
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_writing_that_waits_for_ever_does_not_hold_it_up(tmp_path: Path, number: signal.Signals) -> None:
    """As where Textual's writing thread has ended with the terminal and its queue is full."""
    write_run(tmp_path, end=None)
    waits = tmp_path / "waits"
    with run_on_terminal(["-c", HELD_UP, str(tmp_path), str(waits)], rows=36, columns=120) as terminal:
        while not waits.exists():
            terminal.read(0.05)
        os.kill(terminal.pid, number)
        assert seconds_until_end(terminal) < MOST_SECONDS
        assert terminal.code == 128 + number


@pytest.mark.parametrize("ignoring", [False, True])
@pytest.mark.parametrize("opened", [False, True])
def test_a_closed_terminal_ends_it(tmp_path: Path, opened: bool, ignoring: bool) -> None:
    """With SIGHUP ignored, as under nohup, nobody tells it; it must notice."""
    write_run(tmp_path, end=None)
    with studio(tmp_path, opened=opened, ignoring=ignoring) as terminal:
        children = family(terminal)
        os.close(terminal.descriptor)
        terminal.descriptor = os.open(os.devnull, os.O_RDWR)
        assert seconds_until_end(terminal) < MOST_SECONDS
        assert_alone(children)


def test_a_second_signal_does_no_harm(tmp_path: Path) -> None:
    write_run(tmp_path, end=None)
    with studio(tmp_path, opened=True) as terminal:
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGHUP):
            os.kill(terminal.pid, number)
        assert seconds_until_end(terminal) < MOST_SECONDS
        assert_restored(terminal.output)


def test_a_terminal_that_takes_nothing_more_does_not_hold_it_up(tmp_path: Path) -> None:
    """As over a connection that hangs: nobody reads what it writes."""
    paths = write_run(tmp_path, end=None)
    with studio(tmp_path, opened=True) as terminal:
        for rows in range(20, 60):
            terminal.resize(rows, 100 + rows)
            os.kill(terminal.pid, signal.SIGWINCH)
        os.kill(terminal.pid, signal.SIGTERM)
        deadline = time.monotonic() + 10
        while not terminal.ended():
            assert time.monotonic() < deadline
            os.sched_yield()
    assert paths.root.is_dir()


def test_a_dumb_terminal_is_told_what_to_use_instead(tmp_path: Path) -> None:
    with run_on_terminal(["-m", "finetui", "--runs", str(tmp_path)], TERM="dumb") as terminal:
        assert terminal.wait_for_end() == 2
        assert "ftui runs" in terminal.screen()
        assert b"\x1b" not in terminal.output


def test_output_to_a_pipe_that_was_closed_is_no_error(tmp_path: Path) -> None:
    for number in range(30):
        write_run(tmp_path, f"demo {number}", steps=1)
    command = [sys.executable, "-m", "finetui", "runs", "--runs", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode in (0, 141)
