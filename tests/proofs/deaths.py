"""Trainers that die in all the known ways, under the real supervisor: causes, notice, what is left, who is signalled.

    python tests/proofs/deaths.py --trials 500

Each trial is a real supervisor with a real process that dies so. It counts: the share of right causes (the goal is
95 % of each way), the seconds until a reader notices (2 s), the processes that are left (none; every trainer has
three children: in its group, in a session of their own, and as a daemon without its environment), and the signals
that meet strangers where pids are used again by force (none). Where the machine makes no memory control group, the
kernel's count of kills is made up; where it makes no pid namespace, pid reuse is left out, and both are said.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "tests")]

import pid_reuse  # noqa: E402
from dying_trainers import WAYS, Outcome, die, kernel_kills_are_real  # noqa: E402

NOTICED_WITHIN, RIGHT = 2.0, 0.95


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--trials", type=int, default=2 * len(WAYS), help="deaths in all, of each way about as many"
    )
    parser.add_argument("--reuses", type=int, default=200, help="pids that are used again by force")
    parser.add_argument("--at-once", type=int, default=2, help="trials that run side by side")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--light", action="store_true", help="leave out the ways that take seconds each")
    options = parser.parse_args()
    began = time.monotonic()
    ways = [name for name, way in WAYS.items() if not (options.light and way.heavy)]
    names = [ways[number % len(ways)] for number in range(options.trials)]
    random.Random(options.seed).shuffle(names)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.at_once) as pool:
        outcomes = list(pool.map(lambda name: die(Path(folder), WAYS[name]), names))
    reuse = pid_reuse.force(options.reuses)
    return report(names, outcomes, reuse, time.monotonic() - began)


def report(names: list[str], outcomes: list[Outcome], reuse: dict[str, int] | None, seconds: float) -> int:
    """Print the figures; 1 where a promise is broken."""
    told: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, outcome in zip(names, outcomes, strict=True):
        told[name][outcome.cause] += 1
    shares = {name: causes[WAYS[name].cause] / causes.total() for name, causes in told.items()}
    for name, share in sorted(shares.items()):
        wrong = {cause: times for cause, times in told[name].items() if cause != WAYS[name].cause}
        print(
            f"- {name}: {told[name].total()} trials, {share:.0%} told as {WAYS[name].cause} {wrong or ''}".rstrip()
        )
    noticed = sorted(one.seconds for one in outcomes if one.seconds is not None)
    left = sum(len(one.left) for one in outcomes)
    right = sum(causes[WAYS[name].cause] for name, causes in told.items())
    signalled = reuse["signalled"] if reuse else 0
    strangers = (
        f"{signalled} of {reuse['reused']} strangers signalled under forced pid reuse"
        if reuse
        else "no pid namespace here, so no forced pid reuse"
    )
    if not kernel_kills_are_real():
        print("- no memory control group here: the kernel's count of kills was made up")
    late = noticed[-1] if noticed else 0.0
    median = noticed[len(noticed) // 2] if noticed else 0.0
    print(
        f"| deaths | {len(outcomes)} trials of {len(shares)} ways | cause right {right / len(outcomes):.1%} "
        f"| noticed after {median:.2f} s (median), {late:.2f} s (latest) | {left} processes left | {strangers} "
        f"| {seconds:.0f} s |"
    )
    kept = min(shares.values()) >= RIGHT and late <= NOTICED_WITHIN and not left and not signalled
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
