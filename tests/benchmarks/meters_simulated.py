"""How often the overfitting alarm is wrong, and how late it is, on simulated runs of 25 evaluations.

    python tests/benchmarks/meters_simulated.py [--runs 2000] [--page docs/meters.md]

Rows' losses are lognormal, and all move together by 0.8 % from evaluation to evaluation. False alarms: on runs at
rest from the start, where patience of three stops nearly all. Delay: from the last evaluation before the rise.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "tests")]

from measuring import put_table  # noqa: E402

from simulated_meters import Noise, delays, false_alarms, history, patience, resting  # noqa: E402

ROWS = (50, 100, 300)
NOISES = {
    "0.8 % together": Noise(),
    "and 5 % each row": Noise(row=0.05),
    "and each row's own walk, 1 %": Noise(walk=0.01),
    "0.3 % together": Noise(wobble=0.003),
    "1.6 % together": Noise(wobble=0.016),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--page", help="put the table between its marks in this page")
    options = parser.parse_args()
    lines = [
        "| chance | rows | false alarms | at +0.05 a time: missed, delay | at +0.02 |",
        "|---|---|---|---|---|",
    ]
    for name, noise in NOISES.items():
        for rows in ROWS:
            wrong = false_alarms(options.runs, rows, seed=options.seed, noise=noise)
            told = [
                delays(options.runs // 4, rows, slope, seed=options.seed, noise=noise)
                for slope in (0.05, 0.02)
            ]
            lines.append(f"| {name} | {rows} | {wrong:.2%} | {' | '.join(map(_late, told))} |")
            print(lines[-1], flush=True)
    rng = np.random.default_rng(options.seed)
    stopped = np.mean([patience(history(rng, resting(), 100)) for _ in range(options.runs)])
    lines += ["", f"Patience of three stops {stopped:.1%} of the same runs at rest (100 rows)."]
    print("\n".join(lines))
    if options.page:
        put_table(options.page, "simulated", "\n".join(lines))


def _late(found: list[float]) -> str:
    missed = sum(one == float("inf") for one in found)
    early = sum(one <= 0 for one in found)
    return f"{missed} of {len(found)}, {np.median(found):.0f} evaluations" + (
        f", {early} too early" if early else ""
    )


if __name__ == "__main__":
    main()
