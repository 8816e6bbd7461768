"""What a checkpoint costs: milliseconds a megabyte, and the share of a run's time at the default interval.

    python tests/proofs/save_cost.py --megabytes 40 400

Real trainings of all weights of a random model; a save is measured from the weights in memory to the last checkpoint
deleted: hash, write, flush, rename, pointers, prune. "Bare" is what writing and flushing as many bytes takes on the
same disk without any of that, the median of five.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "tests")]

from finetui_core.recipe.options import SaveOptions  # noqa: E402
from large_models import train_large  # noqa: E402
from training import events  # noqa: E402

MOST = 2.5  # milliseconds a megabyte
MOST_OF_TIME = 0.01


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, nargs="+", default=[40, 400])
    parser.add_argument("--count", type=int, default=24, help="saves of each size")
    parser.add_argument("--folder", type=Path, help="where to write (the folder for temporary files)")
    options = parser.parse_args()
    failed = 0
    for megabytes in options.megabytes:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            failed += measure(Path(folder), megabytes, options.count)
    return 1 if failed else 0


def measure(folder: Path, megabytes: int, count: int) -> int:
    """Print the cost of saves of one size; 1 where it is more than promised."""
    saves = events(train_large(folder, megabytes, count), "checkpoint")
    size = saves[-1]["bytes"] / 1e6
    each = [1000 * save["seconds"] / size for save in saves]
    share = median(save["seconds"] for save in saves) / (60 * SaveOptions().minutes)
    bare = median(write_bare(folder / f"bare{number}", saves[-1]["bytes"]) for number in range(5))
    print(
        f"| {len(saves)} saves of {size:.0f} MB | median {median(each):.2f}, most {max(each):.2f} ms/MB "
        f"(bare {1000 * bare / size:.2f}) | {share:.2%} of the time at {SaveOptions().minutes:g} minutes |"
    )
    return int(median(each) > MOST or share > MOST_OF_TIME)


def write_bare(path: Path, size: int) -> float:
    """Seconds to write and flush so many bytes."""
    block = os.urandom(4 << 20)
    began = time.perf_counter()
    with path.open("wb") as stream:
        for start in range(0, size, len(block)):
            stream.write(block[: size - start])
        stream.flush()
        os.fsync(stream.fileno())
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
