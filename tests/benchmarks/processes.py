"""How much faster two processes on two cores train than one on one core, with the same global batch.

    python tests/benchmarks/processes.py

Two processes with one thread and one core each hold the model twice. In turn, process 0 takes a step alone while the
other sleeps, both take the same step together, and both compute their shares of it without a message: the last is
what the machine allows, since two cores share its memory. Prints the medians, and the ratios of the turns.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "tests"), str(ROOT / "tests" / "benchmarks")]

from nonfinite_cost import write_model  # noqa: E402

from finetui_core.cli.train import make_run  # noqa: E402
from training import RECIPE  # noqa: E402

_QUIET = ("eval.meters=false", "eval.samples=0", "data.val_fraction=0", "data.overlength=truncate")


def write_chats(path: Path, count: int) -> None:
    """Chats whose lengths are log-normal, as those of people are."""
    chance = random.Random(1)
    words = ("parcel", "is", "late", "bread", "needs", "water", "and", "time")
    with path.open("w", encoding="utf-8") as file:
        for _ in range(count):
            length = int(chance.lognormvariate(3.2, 0.7)) + 2
            answer = " ".join(chance.choice(words) for _ in range(length))
            messages = [{"role": "user", "content": "Tell me."}, {"role": "assistant", "content": answer}]
            file.write(json.dumps({"messages": messages}) + "\n")


def measure(recipe: Path, method: str, turns: int) -> None:
    """Runs in each of the two processes; process 0 prints a row of the table."""
    import torch

    from finetui_core.recipe.options import Recipe
    from finetui_core.runs.paths import RunPaths
    from finetui_core.train.evaluation import ALONE, Processes
    from finetui_core.train.setup import build_session, start_processes
    from finetui_core.train.step import train_step

    rank = int(os.environ["RANK"])
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[rank]})

    def session_of(name: str, processes: Processes | None) -> Any:
        nonlocal accelerator, both
        paths = RunPaths(Path((recipe.parent / name).read_text()))
        resolved = Recipe.model_validate_json(paths.resolved_recipe.read_bytes())
        if both is None:
            accelerator, both = start_processes(resolved)
        return build_session(paths, resolved, accelerator, processes or both, None, lambda phase: None)[0]

    accelerator: Any = None
    both: Processes | None = None
    together = session_of(f"{method}-2", None)
    alone = session_of(f"{method}-1", ALONE)
    assert both is not None
    apart = replace(together, processes=replace(both, add=lambda tensor: tensor))
    seconds: dict[str, list[float]] = {"alone": [], "together": [], "apart": []}
    tokens = 0
    for step in range(1, turns + 3):
        for name, session in (("alone", alone), ("together", together), ("apart", apart)):
            both.add(torch.zeros(1))
            began = time.perf_counter()
            if rank == 0 or session is not alone:
                tokens = train_step(session, step).tokens
            both.add(torch.zeros(1))
            if step > 2:
                seconds[name].append(time.perf_counter() - began)
    if rank == 0:
        speed = [a / b for a, b in zip(seconds["alone"], seconds["together"], strict=True)]
        most = [a / b for a, b in zip(seconds["alone"], seconds["apart"], strict=True)]
        print(
            f"| {method} | {median(seconds['alone']):.3f} s | {median(seconds['together']):.3f} s | "
            f"{median(speed):.2f} ({min(speed):.2f} to {max(speed):.2f}) | {median(most):.2f} | "
            f"{tokens / median(seconds['together']):,.0f} |",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--rows", type=int, default=8, help="rows of each process in a step")
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--methods", nargs="+", default=["lora", "full"])
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        measure(options.inside, options.methods[0], options.turns)
        return 0
    import torch.distributed as dist

    print("| method | one process | two | times as fast | at most here | tokens/s of two |")
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        write_model(project / "model", options.width, options.layers)
        write_chats(project / "train.jsonl", 16 * options.rows)
        recipe = project / "recipe.toml"
        recipe.write_text(RECIPE.replace("max_length = 128", "max_length = 512"), encoding="utf-8")
        for method in options.methods:
            for count in (1, 2):
                sizes = (
                    f"train.per_device_train_batch_size={options.rows}",
                    f"train.gradient_accumulation_steps={3 - count}",
                    f"launch.nproc_per_node={count}",
                    f"train.method={method}",
                )
                paths = make_run(recipe, (*_QUIET, *sizes), None, project / "runs", ignore_preflight=True)
                (project / f"{method}-{count}").write_text(str(paths.root))
            store = dist.TCPStore(
                "127.0.0.1", 0, is_master=True, timeout=timedelta(seconds=60), wait_for_workers=False
            )
            shared = {
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(store.port),
                "WORLD_SIZE": "2",
                "TORCHELASTIC_USE_AGENT_STORE": "True",
                "GLOO_SOCKET_IFNAME": "lo",
                "OMP_NUM_THREADS": "1",
            }
            command = [sys.executable, __file__, "--inside", str(recipe), "--methods", method]
            command += ["--turns", str(options.turns)]
            both = [
                subprocess.Popen(command, env={**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank})
                for rank in ("0", "1")
            ]
            codes = [one.wait() for one in both]
            if any(codes):
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
