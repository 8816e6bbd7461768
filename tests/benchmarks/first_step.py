"""From the command to the first finished optimizer step, and where the time goes.

    python tests/benchmarks/first_step.py [ROUNDS] [ROWS] [TABLE.KEY=VALUE ...]

Each round trains one step on the project of `chat_model` twice: with an empty cache of rows and with the one that the
first run left. It starts `ftui train` with these settings, reads the times that the run's own records hold, and ends
the run after its first step. Prints medians in seconds from the command; "processor" are the seconds that all of the
run's processes have had by then, which other work on the machine disturbs less. Give it two quiet cores.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil
from chat_model import write_project

FTUI = "import sys; from finetui.__main__ import main; sys.exit(main(sys.argv[1:]))"
MARKS = {
    "trainer started": ("phase", "loading", 0),
    "libraries imported, rows wanted": ("phase", "preparing", 0),
    "rows there, model wanted": ("phase", "loading", 1),
    "ready": ("ready", None, 0),
    "base evaluated": ("phase", "training", 0),
}
"""Name → the type, the phase and the place among such of the event that marks it."""


def times_of(recipe: Path, settings: Sequence[str], cache: Path, runs: Path) -> dict[str, float]:
    """Seconds from the command to each mark of one run."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "FTUI_RUNS": str(runs)}
    command = ["train", str(recipe), *(part for one in settings for part in ("--set", one))]
    began = time.time()
    ftui = subprocess.Popen(
        [sys.executable, "-c", FTUI, *command], env=environment, stderr=subprocess.DEVNULL
    )
    family = psutil.Process(ftui.pid)
    while not (steps := [one for path in runs.glob("*/metrics/*.jsonl") for one in _records(path)]):
        assert ftui.poll() is None, "the run ended before its first step"
        time.sleep(0.05)
    processes = [family, *family.children(recursive=True)]
    processor = sum(sum(one.cpu_times()[:4]) for one in processes)
    for one in processes:
        one.kill()
    psutil.wait_procs(processes)
    (run,) = (path.parent for path in runs.glob("*/events.jsonl"))
    events = list(_records(run / "events.jsonl"))
    marks = {}
    for name, (type, phase, place) in MARKS.items():
        found = [one for one in events if one["type"] == type and phase in (None, one.get("phase"))]
        marks[name] = found[place]["t"] - began
    marks["first step finished"] = steps[0]["t"] - began
    marks["(the step itself)"] = steps[0]["step_seconds"]
    marks["(processor)"] = processor
    shutil.rmtree(run)
    return marks


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        yield from map(json.loads, file)


def main() -> None:
    settings = [one for one in sys.argv[1:] if "=" in one]
    numbers = [int(one) for one in sys.argv[1:] if "=" not in one]
    rounds, rows = (numbers + [3, 1500][len(numbers) :])[:2]
    found: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = write_project(folder / "project", rows)
        for number in range(rounds):
            for state, taken in found.items():
                taken.append(times_of(recipe, settings, folder / f"cache{number}", folder / "runs"))
                print(f"{state}: {taken[-1]['first step finished']:.2f} s, load {os.getloadavg()[0]:.1f}")
    print(f"{'median seconds from the command':<40}{'empty cache':>12}{'rows kept':>12}")
    for mark in found["cold"][0]:
        cold, warm = (statistics.median(one[mark] for one in found[state]) for state in ("cold", "warm"))
        print(f"{mark:<40}{cold:>12.2f}{warm:>12.2f}")


if __name__ == "__main__":
    main()
