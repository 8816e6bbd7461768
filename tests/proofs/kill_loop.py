"""SIGKILL the trainer at random moments, half of them inside saves: every run must end as if nothing had happened.

    python tests/proofs/kill_loop.py --count 1000 --workers 2

Eight setups take turns: LoRA and full, packed and padded, accumulation, saves each step, at the end of an epoch and
at the best evaluation. A trial is a run of 60 steps with dropout; after each kill it starts again as `ftui resume`
does. Its numbers, weights, moments and counters must be bitwise those of a run that nobody disturbed. "Inside a save"
is judged by what the killed trainer left on disk. Ends with 1 when a run could not go on or differs, or when fewer
than 30 % of the kills were inside saves.
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "tests")]

from kill_lab import SAVING, SETUPS, Calm, Trial, calm_run, is_inside_save, trials  # noqa: E402

LEAST_INSIDE = 0.30


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1000, help="kills in all")
    parser.add_argument("--each", type=int, default=12, help="kills of one run, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="runs that are trained beside each other")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        calms = [calm_run(Path(folder), setup) for setup in SETUPS]
        done = list(_all_trials(calms, options.count, options.each, options.seed, options.workers))
    return report(done, time.monotonic() - began)


def _all_trials(calms: list[Calm], kills: int, each: int, seed: int, workers: int) -> Iterator[Trial]:
    if workers == 1:
        yield from _list_of_trials(calms, kills, each, seed)
        return
    shares = [kills // workers + (index < kills % workers) for index in range(workers)]
    turned = [
        calms[index * len(calms) // workers :] + calms[: index * len(calms) // workers]
        for index in range(workers)
    ]
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        jobs = [
            pool.submit(_list_of_trials, turned[index], shares[index], each, seed + 1_000_000 * index)
            for index in range(workers)
        ]
        yield from chain.from_iterable(job.result() for job in jobs)


def _list_of_trials(calms: list[Calm], kills: int, each: int, seed: int) -> list[Trial]:
    return list(_told(trials(calms, kills, each, seed)))


def _told(done: Iterator[Trial]) -> Iterator[Trial]:
    for one in done:
        inside = sum(map(is_inside_save, one.kills))
        print(
            f"{one.setup}: {len(one.kills)} kills, {inside} inside saves; {one.faults or 'identical'}",
            file=sys.stderr,
        )
        yield one


def report(done: Sequence[Trial], seconds: float) -> int:
    """Print the figures as Markdown; 1 when the promise is broken."""
    kills = [kill for one in done for kill in one.kills]
    inside = sum(map(is_inside_save, kills))
    good = sum(not one.faults for one in done)
    restarts, resumed = sum(one.restarts for one in done), sum(one.resumed for one in done)
    swept = sum(one.swept for one in done)
    print(
        "| date | kills | inside a save | automatic resumes | identical runs | remains swept | seconds | a minute |"
    )
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| {date.today()} | {len(kills)} | {inside} ({inside / max(1, len(kills)):.0%}) | {resumed} of {restarts} | "
        f"{good} of {len(done)} | {swept} | {seconds:.0f} | {60 * len(kills) / seconds:.0f} |"
    )
    places = Counter(kill.found for kill in kills)
    inside_first = [*SAVING, *sorted(set(places) - set(SAVING))]
    print("found at: " + ", ".join(f"{name} {places[name]}" for name in inside_first))
    for one in done:
        for fault in one.faults:
            print(f"{one.setup}: {fault}")
    return int(good < len(done) or inside < LEAST_INSIDE * len(kills))


if __name__ == "__main__":
    sys.exit(main())
