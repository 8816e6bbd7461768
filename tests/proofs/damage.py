"""Random damage to real checkpoints: all of it is noticed, and the checkpoint before is taken.

    python tests/proofs/damage.py --count 10000

The checkpoints are of a real LoRA training with its optimizer. Damage that changes nothing is drawn again. The time
to fall back is measured on checkpoints of a real model of `--megabytes`, with the last byte of the newest flipped.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "tests")]

from damage import KINDS, try_damage  # noqa: E402
from finetui_core.runs.checkpoints import newest_valid, published  # noqa: E402
from large_models import train_large  # noqa: E402
from training import new_run, train_here, write_project  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--megabytes", type=int, default=120, help="size of the checkpoints to be timed; 0 for none"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        failed = prove(Path(folder), options.count, options.seed)
        if options.megabytes:
            failed += fallback(Path(folder) / "large", options.megabytes)
    return 1 if failed else 0


def prove(folder: Path, count: int, seed: int) -> int:
    """Print how much of the damage was noticed; the number of those that were not."""
    older, newer = two_checkpoints(folder)
    began, random = time.monotonic(), Random(seed)
    tried: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    runs = folder / "copies"
    runs.mkdir()
    while tried.total() < count:
        kind = KINDS[tried.total() % len(KINDS)]
        found = try_damage(random, kind, older, newer, runs)
        if found is not None:
            tried[kind.__name__] += 1
            missed[kind.__name__] += found != (True, True)
    seconds = time.monotonic() - began
    noticed = tried.total() - missed.total()
    print(
        f"| damaged checkpoints | {noticed} of {tried.total()} noticed | {len(tried)} kinds | {seconds:.0f} s |"
    )
    for kind, number in missed.items():
        if number:
            print(f"not noticed: {kind}, {number} of {tried[kind]}", file=sys.stderr)
    return missed.total()


def two_checkpoints(folder: Path) -> tuple[Path, Path]:
    """The checkpoints of the last two steps of a real training, the older one first."""
    paths = new_run(write_project(folder), "train.max_steps=4", "save.steps=2")
    assert train_here(paths) == 0
    newer, older = published(paths.checkpoints)
    return older, newer


def fallback(folder: Path, megabytes: int) -> int:
    """Print the seconds from a damaged checkpoint to the one before it; 1 where they are over 2 s per 100 MB."""
    paths = train_large(folder, megabytes, steps=2)
    newest = published(paths.checkpoints)[0]
    path = newest / "optimizer.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    began = time.monotonic()
    taken, skipped = newest_valid(paths.checkpoints)
    seconds = time.monotonic() - began
    size = (taken.bytes if taken else 0) / 1e6
    each = seconds / max(size, 1) * 100
    print(
        f"| fallback from a damaged checkpoint | {size:.0f} MB | {seconds:.2f} s | {each:.2f} s per 100 MB |"
    )
    return int(each > 2 or len(skipped) != 1)


if __name__ == "__main__":
    sys.exit(main())
