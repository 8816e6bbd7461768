"""Fuzzed strings through every screen in a pseudo-terminal: no raw control byte, crash or live action.

    python tests/proofs/fuzz_screens.py [--count 1000000] [--seed 1] [--screen NAME] [--jobs 2]

The real studio is started on a pseudo-terminal of 200 by 400 cells, once for each batch, and paged through by keys;
the plain commands print to one of 60 by 400. Every byte that comes is checked against what Textual itself writes, by
a strict grammar (tests/harmless.py): any OSC, DCS, C1, bell or other sequence fails, and so does a click on shown
markup that changes anything, and a studio that no longer answers or ends with an error. A string is seen once its
last word was in the terminal's stream. Prints a line of Markdown for each screen and one for all, and exits with 1
where something got through or fewer than nine of ten strings were seen.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT / folder) for folder in ("core", "tui", "tests")]

from fuzz_screens import SCREENS, Outcome, batches, walk_through  # noqa: E402

LEAST_SEEN = 0.9


def line(name: str, outcomes: Sequence[Outcome], seconds: float) -> str:
    fed, seen = sum(one.batch.count for one in outcomes), sum(one.seen for one in outcomes)
    faults = sum(bool(one.fault) for one in outcomes)
    return f"| {name} | {fed:,} | {seen:,} | {len(outcomes)} | {faults} | {seconds:.0f} s |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--count", type=int, default=1_000_000, help="strings that are fed, to all screens together"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--screen", choices=list(SCREENS), action="append", help="only this one; again for more"
    )
    parser.add_argument("--jobs", type=int, default=2, help="terminals at the same time")
    options = parser.parse_args()
    names = options.screen or list(SCREENS)
    began = time.monotonic()
    outcomes: list[Outcome] = []
    with ProcessPoolExecutor(options.jobs) as pool:
        work = [pool.submit(walk_through, batch) for batch in batches(options.count, options.seed, names)]
        for done in as_completed(work):
            one = done.result()
            outcomes.append(one)
            batch = f"{one.batch.screen}, seed {one.batch.seed}: {one.seen:,} of {one.batch.count:,} seen"
            print(f"{batch} in {one.seconds:.1f} s {one.fault}".rstrip(), file=sys.stderr, flush=True)
    print(
        "| screen | strings fed | seen on the terminal | starts | broken | time |\n|---|---|---|---|---|---|"
    )
    for name in names:
        own = [one for one in outcomes if one.batch.screen == name]
        print(line(name, own, sum(one.seconds for one in own)))
    print(line("all", outcomes, time.monotonic() - began))
    seen, fed = sum(one.seen for one in outcomes), sum(one.batch.count for one in outcomes)
    if any(one.fault for one in outcomes) or seen < LEAST_SEEN * fed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
