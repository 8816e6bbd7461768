"""What the meters of a run take of its time: the quick start on the sample data, whole or in part.

    python tests/benchmarks/meters_cost.py [--epochs 3] [--pairs 1] [--set table.key=value ...]

Runs with and without meters come in turns, since a machine that does something else slows both. The goal is at most
2 %. Printed are the share that the trainer counted itself, by meter, and the difference of the whole durations, which
other work on the machine makes uncertain.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "tests")]

from finetui_core.cli.train import make_run  # noqa: E402
from finetui_core.runs.paths import RunPaths  # noqa: E402
from finetui_core.runs.reader import RunView  # noqa: E402
from finetui_core.train import loop  # noqa: E402
from finetui_core.train.measuring import Meters  # noqa: E402
from training import train_here  # noqa: E402

RECIPE = ROOT / "sample_data/recipes/quickstart.toml"
KEYS = ("step", "eval_loss", "task_score", "probe_rise", "own_text_rise", "overlap_train", "overlap_val")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE")
    options = parser.parse_args()
    overrides = (f"train.num_train_epochs={options.epochs}", *options.set)
    with_meters, without, shares = [], [], []
    for _ in range(options.pairs):
        seconds, meters, paths = run(*overrides)
        with_meters.append(seconds)
        steps = meters.budget.trained
        shares.append(meters.budget.spent / steps)
        print(f"\n{seconds:.1f} s in the loop, {steps:.1f} s of them in {len(meters.steps)} steps")
        print(f"meters: {meters.budget.spent:.2f} s, {shares[-1]:.2%} of the steps; the last of each took")
        print(", ".join(f"{name} {cost:.2f} s" for name, cost in meters.budget.costs.items()))
        show(paths)
        without.append(run(*overrides, bare=True)[0])
    print(f"\nwith {median(with_meters):.1f} s, without {median(without):.1f} s: ", end="")
    print(f"{median(with_meters) / median(without) - 1:+.1%}; counted {max(shares):.2%} at most, goal 2 %")


def run(*overrides: str, bare: bool = False) -> tuple[float, Meters, RunPaths]:
    """The seconds of the loop, its meters and the run; `bare` measures the validation rows alone."""
    recipe = without_probe() if bare else RECIPE
    overrides += ("eval.meters=false",) if bare else ()
    kept: list[Any] = []
    real_fit, real_open = loop.fit, loop.open_meters
    began = [0.0, 0.0]

    def fit(*arguments: Any) -> Any:
        began[0] = time.perf_counter()
        result = real_fit(*arguments)
        began[1] = time.perf_counter()
        return result

    def opened(*arguments: Any) -> Meters:
        kept.append(real_open(*arguments))
        return kept[-1]

    loop.fit, loop.open_meters = fit, opened
    try:
        paths = make_run(
            recipe, overrides, None, Path(tempfile.mkdtemp(prefix="meters-")), ignore_preflight=True
        )
        if train_here(paths) != 0:
            raise SystemExit("a run failed")
    finally:
        loop.fit, loop.open_meters = real_fit, real_open
    return began[1] - began[0], kept[0], paths


def without_probe() -> Path:
    lines = RECIPE.read_text().splitlines()
    folder = ROOT / "sample_data/recipes"
    text = "\n".join(line for line in lines if not line.startswith("forgetting_probe"))
    copy = Path(tempfile.mkdtemp(prefix="meters-")) / "bare.toml"
    copy.write_text(text.replace('"../', f'"{folder.parent}/'))
    return copy


def show(paths: RunPaths) -> None:
    view = RunView(paths)
    view.refresh()
    for event in view.evaluations:
        print(json.dumps({key: round(event[key], 4) for key in KEYS if key in event}))
    for event in view.events:
        if event["type"] in ("alarm", "alarm_over", "meter_off"):
            print(event["type"], event["step"], event.get("message") or event.get("reason"))


if __name__ == "__main__":
    main()
