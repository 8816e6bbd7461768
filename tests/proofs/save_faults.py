"""A real training in which every save meets another fault of the disk: each call of a save fails once, in each way.

    python tests/proofs/save_faults.py

Two trainings on the same rows, in this process. In the first each fault strikes once, and the save must be written
all the same; in the second it lasts until the save is over, and the run must go on, say so and save at the next step.
After each save the newest checkpoint that was valid before must be, or a newer one; at the end losses and weights
must be bitwise those of an undisturbed run. `--count` takes a sample of the faults, by `--seed`.
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

from faults import Fault, every_fault  # noqa: E402
from faulty_saves import Ledger, count_calls, saves_replaced, with_faults  # noqa: E402
from finetui_core.runs.checkpoints import published  # noqa: E402
from finetui_core.runs.paths import RunPaths  # noqa: E402
from training import curve, events, new_run, train_here, write_project  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, help="how many of the faults in each training (all)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return prove(Path(folder), options.count, options.seed)


def prove(folder: Path, count: int | None, seed: int) -> int:
    """Print a line for each training; 1 where a promise was broken."""
    recipe = write_project(folder, rows=10)
    calls = calls_of_a_save(recipe)
    print(
        "calls of one save:", ", ".join(f"{number} {call}" for call, number in calls.items()), file=sys.stderr
    )
    broken = []
    for lasting in (False, True):
        faults = list(every_fault(calls, lasting=lasting))
        chosen = Random(seed).sample(faults, min(count or len(faults), len(faults)))
        began = time.monotonic()
        ledger = train_with(recipe, chosen)
        seconds = time.monotonic() - began
        kind = "until the save is over" if lasting else "once"
        print(
            f"| saves with a fault ({kind}) | {ledger.struck} of {len(chosen)} struck | {ledger.written} written all "
            f"the same | {len(ledger.broken)} promises broken | {seconds:.0f} s |"
        )
        broken += ledger.broken
    print("\n".join(broken), file=sys.stderr)
    return 1 if broken else 0


def calls_of_a_save(recipe: Path) -> Counter[str]:
    """The most calls of each kind that a save makes while older checkpoints are deleted."""
    calls: list[Counter[str]] = []
    with saves_replaced(count_calls(calls)):
        assert train_here(run_of(recipe, 6)) == 0
    most: Counter[str] = Counter()
    for one in calls:
        most |= one
    return most


def run_of(recipe: Path, steps: int) -> RunPaths:
    """A run that saves after every step, and does nothing else between two."""
    return new_run(
        recipe,
        f"train.max_steps={steps}",
        "train.num_train_epochs=9999",
        "train.per_device_train_batch_size=2",
        "save.steps=1",
        "data.val_fraction=0",
        "eval.meters=false",
    )


def train_with(recipe: Path, faults: list[Fault]) -> Ledger:
    """Train twice, undisturbed and with the faults; what was broken."""
    steps, ledger = 2 * len(faults) + 5, Ledger()  # those between two faults go well, see with_faults
    undisturbed, disturbed = run_of(recipe, steps), run_of(recipe, steps)
    assert train_here(undisturbed) == 0
    with saves_replaced(with_faults(iter(faults), ledger)):
        code = train_here(disturbed)
    if code != 0 or events(disturbed, "finished")[0]["reason"] != "completed":
        ledger.broken.append(f"the run ended with exit code {code}")
    if ledger.faults != len(faults):
        ledger.broken.append(f"only {ledger.faults} of {len(faults)} faults were tried")
    if curve(disturbed) != curve(undisturbed):
        ledger.broken.append("the curves differ")
    if weights(disturbed) != weights(undisturbed):
        ledger.broken.append("the final weights differ")
    return ledger


def weights(paths: RunPaths) -> dict[str, bytes]:
    """Adapter and optimizer of the newest checkpoint."""
    return {path.name: path.read_bytes() for path in published(paths.checkpoints)[0].glob("*.safetensors")}


if __name__ == "__main__":
    sys.exit(main())
