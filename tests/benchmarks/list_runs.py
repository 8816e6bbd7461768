"""How soon the list of runs is on the screen, with 1,000 runs against 10.

    python tests/benchmarks/list_runs.py [ROUNDS]

Starts `ftui` on each folder in turn, in a pseudo-terminal of 120x40, and takes the wall time until the first runs
are painted, and until all are listed: for folders that were never listed before, and as usual, with what the last
start knew of ended runs. Prints medians and ratios.
"""

import sys
import tempfile
import time
from pathlib import Path

from measuring import report

from run_folders import write_run
from terminal import run_on_terminal

FEW, MANY = 10, 1000


def seconds_until_listed(root: Path, number: int, cache: str) -> tuple[float, float]:
    """Wall seconds until a run is shown, and until the number of all runs is. `cache` "" is an empty one."""
    known = {"XDG_CACHE_HOME": cache} if cache else {}
    began = time.perf_counter()
    first = 0.0
    command = ["-m", "finetui", "--runs", str(root)]
    with run_on_terminal(command, rows=40, columns=120, **known) as terminal:
        while f"{number:,} runs" not in terminal.screen() or not first:
            if time.perf_counter() - began > 60:
                raise SystemExit(f"not listed:\n{terminal.screen()}")
            terminal.read(0.005)
            if not first and "demo" in terminal.screen():
                first = time.perf_counter() - began
        return first, time.perf_counter() - began


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    with tempfile.TemporaryDirectory() as folder:
        roots = {number: Path(folder) / str(number) for number in (FEW, MANY)}
        for number, root in roots.items():
            for place in range(number):
                write_run(root, f"demo {place}", steps=200)
        for title, cache in (("as usual", f"{folder}/cache"), ("never listed before", "")):
            measure(roots, rounds, title, cache)


def measure(roots: dict[int, Path], rounds: int, title: str, cache: str) -> None:
    taken: dict[int, list[tuple[float, float]]] = {FEW: [], MANY: []}
    for turn in range(rounds + 1):
        for number, root in roots.items():
            figures = seconds_until_listed(root, number, cache)
            if turn:  # the first round fills the caches
                taken[number].append(figures)
    bases = [sorted(figures[kind] for figures in taken[FEW])[rounds // 2] for kind in (0, 1)]
    for kind, what in enumerate(("first runs painted", "all runs listed")):
        for number, figures in taken.items():
            than = f"the list of {FEW}"
            name = f"{title}, {number:,} runs: {what}"
            report(name, [one[kind] for one in figures], "s", bases[kind], than)


if __name__ == "__main__":
    main()
