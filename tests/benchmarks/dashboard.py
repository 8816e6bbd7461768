"""What the dashboard of a live run costs: bytes sent to the terminal, and processor time.

    python tests/benchmarks/dashboard.py [--seconds 10] [--windows 3] [--peers FOLDER]

Six charts of a run with 5,000 steps, to which a step is added each second, in a pseudo-terminal of 160x50; then
the same run waiting and ended, and the list. Beside it, in the same run, six charts of textual-plotext over the
same points (where FOLDER holds it: `uv pip install --target FOLDER textual-plotext`). Prints medians over
windows of time.
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path

import msgspec
from measuring import processor_seconds, read_for, read_until_chart, report, studio

from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import Attempt, read_small
from run_folders import ENDED, add_lines, add_steps, beat, write_run
from terminal import Terminal, run_on_terminal

STEPS = 5000
PEER = """
import sys; sys.path.append(sys.argv[1])
from textual.app import App
from textual.containers import Grid
from textual_plotext import PlotextPlot
class Peer(App):
    CSS = "Grid { grid-size: 3 2; }"
    step = 5000
    def compose(self):
        with Grid():
            for _ in range(6):
                yield PlotextPlot()
    def on_mount(self):
        self.add_step(); self.set_interval(1, self.add_step)
    def add_step(self):
        self.step += 1
        steps = list(range(1, self.step))
        for plot in self.query(PlotextPlot):
            plot.plt.clear_data()
            plot.plt.plot(steps, [1 + 1000 / (step + 500) for step in steps], marker="braille")
            plot.refresh()
Peer().run()
"""


class Trainer(threading.Thread):
    """Adds a step, a heartbeat and a sample of the machine each second."""

    def __init__(self, paths: RunPaths) -> None:
        super().__init__(daemon=True)
        self._paths = paths
        self._over = threading.Event()

    def run(self) -> None:
        step = STEPS
        while not self._over.wait(1.0):
            step += 1
            add_steps(self._paths, step, step)
            beat(self._paths, step)
            machine = {"cpu": step % 100 / 100, "memory_used": step, "memory_total": 2 * step, "gpus": []}
            add_lines(self._paths.system(1), {"t": time.time(), **machine})

    def stop(self) -> None:
        self._over.set()
        self.join()


def measure(title: str, terminal: Terminal, windows: int, seconds: float) -> None:
    """Bytes a second and share of one core over some windows of time."""
    sent, shares = [], []
    for _ in range(windows):
        bytes_before, time_before = len(terminal.output), processor_seconds(terminal)
        began = time.monotonic()
        read_for(terminal, seconds)
        took = time.monotonic() - began
        sent.append((len(terminal.output) - bytes_before) / 1024 / took)
        shares.append(100 * (processor_seconds(terminal) - time_before) / took)
    report(f"{title}: sent", sent, "KiB/s")
    report(f"{title}: processor", shares, "% core")


def end(paths: RunPaths) -> None:
    attempt = read_small(paths.attempt(1), Attempt)
    assert attempt is not None
    paths.attempt(1).write_bytes(msgspec.json.encode(msgspec.structs.replace(attempt, end=ENDED)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--peers", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = write_run(Path(folder), steps=STEPS, end=None)
        with studio(Path(folder)) as terminal:
            terminal.wait_for("demo")
            terminal.settle()
            terminal.press("enter")
            read_until_chart(terminal)
            terminal.settle(1.5)
            trainer = Trainer(paths)
            trainer.start()
            read_for(terminal, 3)
            measure("six charts, a step each second", terminal, options.windows, options.seconds)
            trainer.stop()
            read_for(terminal, 3)
            measure("a live run that waits", terminal, options.windows, options.seconds)
            end(paths)
            read_for(terminal, 6)
            measure("a run that has ended", terminal, options.windows, options.seconds)
            terminal.press("1")
            read_for(terminal, 6)
            measure("the list of runs", terminal, options.windows, options.seconds)
    if options.peers:
        with run_on_terminal(["-c", PEER, str(options.peers)], rows=50, columns=160) as terminal:
            read_until_chart(terminal)
            read_for(terminal, 3)
            measure("textual-plotext, a step each second", terminal, options.windows, options.seconds)


if __name__ == "__main__":
    main()
