"""Proof that a run outlives its interfaces: `python tests/proofs/survival.py --count 500`.

As root the runs lie on a small file system of their own, in a private mount namespace, which can be full; otherwise
the files of the trainer are kept from growing. Prints a Markdown table, and exits with 1 where a run did not survive.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
sys.path[:0] = [str(TESTS), str(ROOT / "core"), str(ROOT / "tui")]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "core"), str(ROOT / "tui")])
for name, value in {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}.items():
    os.environ.setdefault(name, value)

from survival_trials import Place, Trial, fill_disk, limit_files, survive  # noqa: E402
from training import write_project  # noqa: E402

DISK_BYTES = 96 << 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", "--trials", type=int, default=500, help="how many attacks (500)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--steps", type=int, default=1500, help="of each run (1500)")
    parser.add_argument("--mounted", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if options.mounted is None and os.geteuid() == 0 and shutil.which("unshare"):
            command = ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv]
            return subprocess.run([*command, "--mounted", name], check=False).returncode
        folder = options.mounted or Path(name)
        fill = limit_files
        if options.mounted is not None:
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], check=True
            )
            fill = fill_disk(folder)
        write_project(folder)
        began = time.monotonic()
        trials = survive(Place(folder, options.steps, fill), options.count, options.seed)
        seconds = time.monotonic() - began
        if options.mounted is not None:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    disk = "a full file system" if options.mounted else "files that may not grow"
    report(trials, seconds, options.seed, disk)
    return 1 if any(trial.fault for trial in trials) else 0


def report(trials: list[Trial], seconds: float, seed: int, disk: str) -> None:
    """A row for each attack, and one for all."""
    print("| attack | trials | survived | on |\n|---|---|---|---|")
    for attack in dict.fromkeys(trial.attack for trial in trials):
        row = [trial for trial in trials if trial.attack == attack]
        on = ", ".join(f"{name} {number}" for name, number in Counter(one.attacked for one in row).items())
        print(f"| {attack} | {len(row)} | {sum(not one.fault for one in row)} | {on} |")
    survived = sum(not trial.fault for trial in trials)
    print(f"| all | {len(trials)} | {survived} | {seconds:.0f} s, seed {seed}, real trainer in all, {disk} |")
    for trial in trials:
        if trial.fault:
            print(f"did not survive: {trial.attacked}, {trial.attack}: {trial.fault}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
