"""How soon a long run is seen, what following it costs then, and how soon keys answer meanwhile.

    python tests/benchmarks/open_run.py [--steps 1000000] [--rounds 5] [--peers FOLDER]

Opens runs of 1,000 and of many steps from the list, in turn, in a pseudo-terminal of 160x50. Processor seconds
are those of the interface's process from the key that opens the run. With FOLDER, plotext draws one chart of as
many points, given to it as a list.
"""

import argparse
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import processor_seconds, read_for, read_until_chart, report, studio

from run_folders import add_steps, write_run
from terminal import Terminal

SHORT = 1000
LOG_LINES = 1_000_000
PANELS = {"o": "[o log]", "d": "[d charts]"}
PEER = """
import sys, time; sys.path.append(sys.argv[1])
import plotext
steps = list(range(1, int(sys.argv[2]) + 1))
losses = [1 + 1000 / (step + 500) for step in steps]
began = time.process_time()
plotext.plot_size(50, 18); plotext.plot(steps, losses, marker="braille"); plotext.build()
print(time.process_time() - began)
"""


def open_first(terminal: Terminal) -> tuple[float, float]:
    """Processor and wall seconds until the first chart of the only run."""
    terminal.wait_for("demo")
    terminal.settle(1.0)
    before, began = processor_seconds(terminal), time.perf_counter()
    terminal.press("enter")
    read_until_chart(terminal)
    return processor_seconds(terminal) - before, time.perf_counter() - began


def seconds_until_shown(terminal: Terminal, key: str) -> float:
    """Wall seconds from a key to the bytes of the frame that shows what it does."""
    written = b""
    began = time.perf_counter()
    terminal.press(key)
    while PANELS[key].encode() not in written:
        if time.perf_counter() - began > 30:
            raise SystemExit(f"{key} is not answered:\n{terminal.screen()}")
        if select.select([terminal.descriptor], [], [], 0.005)[0]:
            written += os.read(terminal.descriptor, 1 << 16)  # drawing it here would take longer than it took
    seconds = time.perf_counter() - began
    terminal.output += written
    terminal.settle(0.02, 0.2)
    return seconds


def latencies(terminal: Terminal, times: int) -> list[float]:
    """Milliseconds until the log and the charts are shown, by turns."""
    return [1000 * seconds_until_shown(terminal, "od"[number % 2]) for number in range(times)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as short_root, tempfile.TemporaryDirectory() as long_root:
        write_run(Path(short_root), steps=SHORT)
        paths = write_run(Path(long_root), steps=options.steps, end=None)
        with paths.log(1).open("w") as log:
            log.writelines(
                f"step {line}: all is well with this line of the log\n" for line in range(LOG_LINES)
            )
        megabytes = paths.metrics(1).stat().st_size / 1e6
        print(f"{options.steps:,} steps ({megabytes:.0f} MB), {LOG_LINES:,} lines of log")
        measure(Path(short_root), Path(long_root), options.rounds, options.steps)
        measure_loading(Path(long_root))
        step = options.steps
        with studio(Path(long_root)) as terminal:
            open_first(terminal)
            wait_until_read(terminal)
            costs = []
            for _ in range(5):
                before = processor_seconds(terminal)
                add_steps(paths, step + 1, step + 1000)
                step += 1000
                read_for(terminal, 3)
                costs.append((processor_seconds(terminal) - before) * 1000 / 1000)
            report("then, for each new line (with 3 s of drawing)", costs, "ms CPU")
    if options.peers:
        command = [sys.executable, "-c", PEER, str(options.peers), str(options.steps)]
        taken = [float(subprocess.check_output(command)) for _ in range(3)]
        report("plotext: one chart of these points", taken, "s CPU")


def measure(short_root: Path, long_root: Path, rounds: int, steps: int) -> None:
    taken: dict[int, list[tuple[float, float]]] = {SHORT: [], steps: []}
    for number in range(rounds + 1):
        for root, length in ((short_root, SHORT), (long_root, steps)):
            with studio(root) as terminal:
                figures = open_first(terminal)
            if number:  # the first round fills the caches
                taken[length].append(figures)
    short = sorted(cpu for cpu, _ in taken[SHORT])[rounds // 2]
    for length, figures in taken.items():
        than = f"the run of {SHORT:,} steps"
        report(f"first chart of {length:,} steps", [cpu for cpu, _ in figures], "s CPU", short, than)
        report(f"first chart of {length:,} steps", [wall for _, wall in figures], "s")


def measure_loading(root: Path) -> None:
    """Keys while the steps and the log of the long run are read, and after that."""
    with studio(root) as terminal:
        _, _ = open_first(terminal)
        began, before = time.perf_counter(), processor_seconds(terminal)
        while_loading = latencies(terminal, 40)
        wait_until_read(terminal)
        report("all steps read after the first chart", [processor_seconds(terminal) - before], "s CPU")
        report("all steps read after the first chart", [time.perf_counter() - began], "s")
        after = latencies(terminal, 40)
    base = sorted(after)[len(after) // 2]
    report("a key while it loads", while_loading, "ms", base, "after it")
    report("a key after it", after, "ms")


def wait_until_read(terminal: Terminal) -> None:
    """Until the process rests: less than a tenth of a core over a second."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        before = processor_seconds(terminal)
        read_for(terminal, 1.0)
        if processor_seconds(terminal) - before < 0.1:
            return


if __name__ == "__main__":
    main()
