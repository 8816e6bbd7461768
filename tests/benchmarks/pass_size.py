"""How many tokens a packed pass should hold on a processor: seconds of a step and peak memory, by the limit.

    python tests/benchmarks/pass_size.py [--threads 2] [--steps 5] [--method lora|full]

The model and the chats of step_parts.py (4,195 tokens in a step); each limit twice in turn, each time in a process of
its own, so that the peak of the resident memory is its own. The first step, which warms up, does not count.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time

import step_parts
import torch
from curves import fused

from finetui_core.train.forward import Layout

LIMITS = (1024, 2048, 8192)
ROUNDS = 2


def measure(limit: int, method: str, steps: int, threads: int) -> None:
    """Print the median seconds of a step, and this process's highest memory in MB."""
    torch.set_num_threads(threads)
    step_parts.LAYOUT = Layout(True, True, 8, limit)
    rows, model = step_parts.chats(), fused(method)
    seconds = []
    for _ in range(steps + 1):
        model.zero_grad()
        began = time.perf_counter()
        step_parts.step(model, rows)
        seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(statistics.median(seconds[1:]), peak)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--method", choices=("lora", "full"), default="lora")
    parser.add_argument("--limit", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.limit:
        measure(options.limit, options.method, options.steps, options.threads)
        return 0
    found: dict[int, list[tuple[float, float]]] = {limit: [] for limit in LIMITS}
    for _ in range(ROUNDS):
        for limit in LIMITS:
            command = [sys.executable, "-W", "ignore", *sys.argv, "--limit", str(limit)]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            found[limit].append((float(said[-2]), float(said[-1])))
    print("| at most | s a step, in turn | peak MB |")
    print("|---|---|---|")
    for limit, figures in found.items():
        seconds = " and ".join(f"{taken:.2f}" for taken, _ in figures)
        print(f"| {limit:,} tokens | {seconds} | {max(peak for _, peak in figures):,.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
