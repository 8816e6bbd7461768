"""Hostile models, templates, data sets, recipes and archives, each met by the real command in a process of its own.

    python tests/proofs/malicious.py
    python tests/proofs/malicious.py --only template --count 5

Prints a table: the fixture, how it was contained (the exit code and what was said), seconds, processor seconds and
MB, all above the same command on sound input of the same kind (of three times the median, and the highest memory,
measured right before). Memory is the largest sum of resident memory over the command and all its descendants, looked
at every 10 ms, or the highest peak of any one of them that the kernel counted, whichever is more. Exit code 1 when
one is not contained within 3 s and 1 GiB, runs its code, lets a secret out, leaves a traceback, or writes a control
character.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "tests")]

from malicious import (  # noqa: E402
    MEMORY,
    SECONDS,
    Fixture,
    Outcome,
    all_fixtures,
    copied,
    faults_of,
    in_a_fork,
    make_project,
    run_command,
)
from malicious_harmless import harmless  # noqa: E402

WAITING = 10.0
"""Seconds by the clock that are too many on a busy machine too: something was waited for."""


class Sound(NamedTuple):
    """What a command takes on sound input: seconds, processor seconds, bytes."""

    seconds: float
    processor: float
    memory: int


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, help="so many fixtures, drawn by the seed (all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="fixtures whose kind or name has this text")
    parser.add_argument(
        "--by-processor",
        action="store_true",
        help="hold processor seconds to the limit, and those by the clock to ten: for a busy machine",
    )
    options = parser.parse_args()
    fixtures = [one for one in all_fixtures() if options.only in f"{one.kind}: {one.name}"]
    if options.count:
        fixtures = random.Random(options.seed).sample(fixtures, min(options.count, len(fixtures)))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        failed, slowest, largest = _all(fixtures, Path(folder), options.by_processor)
    print(
        f"\n{len(fixtures)} fixtures, {len(fixtures) - failed} contained; at most {slowest:.1f} s and "
        f"{largest:.0f} MB above the same command on sound input; {time.monotonic() - began:.0f} s in all."
    )
    return 1 if failed else 0


def _all(fixtures: list[Fixture], folder: Path, by_processor: bool) -> tuple[int, float, float]:
    in_a_fork(lambda: make_project(folder / "made"))
    sound: dict[tuple[str, tuple[str, ...]], Sound] = {}
    failed, slowest, largest = 0, 0.0, 0.0
    print("| kind | fixture | contained | s | processor s | MB |\n|---|---|---|---|---|---|", flush=True)
    for fixture in fixtures:
        key = fixture.kind, fixture.command
        if key not in sound:
            sound[key] = _sound(fixture, folder)
        with copied(folder / "made", folder / "copy") as project:
            in_a_fork(partial(fixture.make, project))
            outcome = run_command(project, fixture.command)
            faults = faults_of(project, outcome, fixture)
        seconds = outcome.seconds - sound[key].seconds
        memory = outcome.memory - sound[key].memory
        processor = outcome.processor - sound[key].processor
        judged = processor if by_processor else seconds
        faults += [f"took {judged:.1f} s more"] if judged > SECONDS else []
        faults += [f"took {seconds:.1f} s more by the clock"] if seconds > WAITING else []
        faults += [f"took {memory / 1e6:.0f} MB more"] if memory > MEMORY else []
        failed += bool(faults)
        slowest, largest = max(slowest, judged), max(largest, memory / 1e6)
        how = f"**NO: {'; '.join(faults)}**" if faults else f"exit {outcome.code}"
        cells = (
            fixture.kind,
            fixture.name,
            f"{how}: {_first_line(outcome)}",
            f"{seconds:.1f}",
            f"{processor:.1f}",
            f"{memory / 1e6:.0f}",
        )
        print(f"| {' | '.join(cells)} |", flush=True)
    return failed, slowest, largest


def _sound(fixture: Fixture, folder: Path) -> Sound:
    """What the command takes on sound input of the same kind, of three times."""
    outcomes = []
    for _ in range(3):
        with copied(folder / "made", folder / "copy") as project:
            in_a_fork(partial(harmless(fixture), project))
            outcomes.append(run_command(project, fixture.command))
        assert outcomes[-1].code in (0, 1, 3), outcomes[-1].said
    return Sound(
        statistics.median(one.seconds for one in outcomes),
        statistics.median(one.processor for one in outcomes),
        max(one.memory for one in outcomes),
    )


def _first_line(outcome: Outcome) -> str:
    lines = [line.strip() for line in outcome.said.splitlines() if line.strip()]
    return (lines[0] if lines else "").replace("|", "\\|")[:110]


if __name__ == "__main__":
    sys.exit(main())
