"""What the benchmarks of the screens share: a studio on a terminal, its processor time, and the figures."""

import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from terminal import Terminal, run_on_terminal

BRAILLE = range(0x2801, 0x2900)


def processor_seconds(terminal: Terminal) -> float:
    """User and system time of the program so far, all its threads."""
    times = psutil.Process(terminal.pid).cpu_times()
    return times.user + times.system


@contextmanager
def studio(root: Path, rows: int = 50, columns: int = 160) -> Iterator[Terminal]:
    with run_on_terminal(["-m", "finetui", "--runs", str(root)], rows=rows, columns=columns) as terminal:
        yield terminal


def has_chart(terminal: Terminal) -> bool:
    """Whether a curve is drawn: more braille than the icons of legends."""
    return sum(ord(character) in BRAILLE for character in terminal.screen()) > 20


def read_until_chart(terminal: Terminal, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not has_chart(terminal):
        if time.monotonic() > deadline:
            raise SystemExit(f"no chart after {seconds} s:\n{terminal.screen()}")
        terminal.read(0.005)


def read_for(terminal: Terminal, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        terminal.read(left)


def report(title: str, values: Sequence[float], unit: str, base: float | None = None, than: str = "") -> None:
    """The median, the range, and the ratio of the median to `base`."""
    median = statistics.median(values)
    ratio = f"   {median / base:.2f} of {than}" if base else ""
    print(f"{title:<58}{median:10.3f} {unit:<8}({min(values):.3f} to {max(values):.3f}){ratio}", flush=True)


def put_table(page: str, name: str, table: str) -> None:
    """Put a table between the marks of its name in a page of the docs, in place of the one that is there."""
    path = Path(__file__).parents[2] / page
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    before, _, rest = path.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    path.write_text(f"{before}{begin}{table}\n{end}{after}", encoding="utf-8")
