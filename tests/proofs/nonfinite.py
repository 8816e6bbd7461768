"""That no number which is not finite is missed, blamed on the wrong rows, or saved: faults injected one by one.

    python tests/proofs/nonfinite.py --count 60

Each injection trains a tiny model in this process with one fault of one kind (`tests/nonfinite_faults.py`) at a drawn
step, under one of the policies, with LoRA or in full. It counts as held if the fault is told at its step, with the
rows that give it and where it lies, what was done is what the policy says, and no tensor in any file of the
checkpoints is NaN or infinite. A run that goes on must finish; cut off at a drawn moment, as by SIGKILL, and resumed,
it must give the same losses and the same weights bit for bit.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "tests")]

import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from finetui_core.cli.train import make_run  # noqa: E402
from finetui_core.preflight.gate import before_run  # noqa: E402
from finetui_core.recipe import load_recipe  # noqa: E402
from finetui_core.runs import exit_codes  # noqa: E402
from finetui_core.runs.checkpoints import newest_valid  # noqa: E402
from finetui_core.runs.paths import RunPaths  # noqa: E402
from finetui_core.runs.tail import read_records  # noqa: E402
from nonfinite_faults import PUT, WHERE, Fault, Met, fault_in_training  # noqa: E402
from training import KillAt, Killed, curve, events, train_here, write_project  # noqa: E402

POLICIES = ("stop", "skip", "rollback")
METHODS = ("lora", "full")
STEPS, SAVED_EVERY = 10, 2
OPTIONS = (
    f"train.max_steps={STEPS}",
    f"save.steps={SAVED_EVERY}",
    "eval.meters=false",
    "eval.samples=0",
    "eval.steps=5",
)


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault in one run, and when that run is cut off, if it is."""

    fault: Fault
    policy: str
    method: str
    kill: tuple[str, int] | None
    packing: bool = True

    @property
    def options(self) -> tuple[str, ...]:
        chosen = (f"train.on_nonfinite={self.policy}", f"train.method={self.method}")
        return (*chosen, f"data.packing={str(self.packing).lower()}")

    @property
    def where(self) -> str:
        return WHERE.get(self.fault.kind) or ("loss" if self.method == "lora" else "weights")

    @property
    def deed(self) -> str:
        """What the policy comes to: no skipping mends weights, and rollback needs a checkpoint."""
        if self.policy == "skip" and self.where == "weights":
            return "stop"
        if self.policy == "rollback" and self.fault.step <= SAVED_EVERY:
            return "stop" if self.where == "weights" else "skip"
        return self.policy


def injections(count: int, seed: int) -> list[Injection]:
    """Every kind under every policy with both methods in turn, the rest drawn."""
    draw = random.Random(seed)
    cells = [(kind, policy, method) for kind in PUT for policy in POLICIES for method in METHODS]
    draw.shuffle(cells)
    return [_injection(draw, *cells[number % len(cells)]) for number in range(count)]


def _injection(draw: random.Random, kind: str, policy: str, method: str) -> Injection:
    first = 2 if "moment" in kind else 1
    step = draw.randint(first, STEPS)
    if kind == "second moment":  # it is met when the next checkpoint is due
        step += step % SAVED_EVERY
    value = draw.choice([float("nan"), float("inf"), -float("inf")])
    kill = draw.choice([("metric", draw.randint(1, STEPS)), ("phase:saving", draw.randint(1, 4))])
    return Injection(
        Fault(kind, step, value, once=draw.random() < 0.5), policy, method, kill, packing=draw.random() < 0.7
    )


def broken_promises(one: Injection, recipe: Path) -> list[str]:
    """What the injection shows not to hold; nothing where all does."""
    paths = new_run(recipe, *one.options)
    with fault_in_training(one.fault) as met:
        code = train_here(paths)
    said = [*_told_wrongly(one, paths, met, code), *_saved_nonfinite(paths)]
    if one.deed == "stop" or one.kill is None:
        return said
    disturbed = new_run(recipe, *one.options)
    with fault_in_training(one.fault):
        try:
            code = train_here(disturbed, 1, lambda output: KillAt(output, *one.kill))
        except Killed:
            code = train_here(disturbed, 2)
    said += [f"resumed: {what}" for what in _saved_nonfinite(disturbed)]
    if code != exit_codes.DONE:
        said.append(f"resumed: exit code {code}")
    elif _numbers(disturbed) != _numbers(paths):
        said.append("resumed: other losses")
    elif _final_state(disturbed) != _final_state(paths):
        said.append("resumed: other weights or moments")
    return said


@cache
def _prediction(recipe: Path) -> Any:
    """What preflight says of the runs; it is the same for all of them, and takes longer than they do."""
    return before_run(load_recipe(recipe, OPTIONS), recipe.parent)


def new_run(recipe: Path, *options: str) -> RunPaths:
    chosen = (*OPTIONS, *options)
    return make_run(recipe, chosen, None, recipe.parent / "runs", prediction=_prediction(recipe))


def _told_wrongly(one: Injection, paths: RunPaths, met: Met, code: int) -> list[str]:
    findings = events(paths, "nonfinite")
    if not met.times:
        return ["the fault was never put in place"]
    if len(findings) != 1:
        return [f"told {len(findings)} times"]
    finding = findings[0]
    expected: dict[str, Any] = {"step": one.fault.step, "where": one.where, "policy": one.deed}
    said = [
        f"{key} is {finding[key]!r}, not {value!r}"
        for key, value in expected.items()
        if finding[key] != value
    ]
    if met.rows and tuple(finding["alone"]) != met.rows:
        said.append(f"rows {finding['alone']}, not {met.rows}")
    if met.tensor and met.tensor not in finding["tensors"]:
        said.append(f"{met.tensor} is not named")
    alarms = [alarm for alarm in events(paths, "alarm") if alarm["kind"] == "nonfinite"]
    if not alarms or alarms[-1]["severity"] != ("act" if one.deed == "stop" else "watch"):
        said.append("no alarm, or of the wrong severity")
    wanted = exit_codes.DIVERGED if one.deed == "stop" else exit_codes.DONE
    if code != wanted:
        said.append(f"exit code {code}, not {wanted}")
    lines = read_records(paths.metrics(1))
    marked = any(line["step"] == one.fault.step and line.get("skipped") for line in lines)
    if marked != (one.deed != "stop"):
        said.append("the step is not marked as skipped in the metrics, or wrongly is")
    newest, damaged = newest_valid(paths.checkpoints)
    last_good = one.fault.step - 1 if one.deed == "stop" and one.where != "weights" else None
    if last_good is not None and last_good > 0 and (newest is None or newest.step != last_good):
        said.append(f"the weights of step {last_good} are not kept")
    return said + [f"{skipped.path.name}: {skipped.reason}" for skipped in damaged]


def _saved_nonfinite(paths: RunPaths) -> list[str]:
    return [
        f"{file.parent.name}/{file.name}: {name} is not finite"
        for file in sorted(paths.checkpoints.rglob("*.safetensors"))
        for name, value in load_file(file).items()
        if not bool(torch.isfinite(value).all())
    ]


def _numbers(paths: RunPaths) -> list[tuple[Any, ...]]:
    """The curve without the steps that were left out: one run has measured what they gave, the other has not.

    A run that was cut off before its first checkpoint has evaluated the base twice.
    """
    skipped = {event["step"] for event in events(paths, "nonfinite")}
    points = dict.fromkeys(curve(paths))
    return [point for point in points if point[0] not in skipped or isinstance(point[-1], bool)]


def _final_state(paths: RunPaths) -> dict[str, bytes]:
    newest, _ = newest_valid(paths.checkpoints)
    assert newest is not None
    files = sorted(newest.path.glob("*.safetensors"))
    return {
        f"{file.name}/{name}": value.numpy().tobytes()
        for file in files
        for name, value in load_file(file).items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(
        1
    )  # the models are tiny: threads would wait for each other for longer than they work
    began, failed, resumed = time.perf_counter(), 0, 0
    kinds: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        recipe = write_project(Path(folder))
        for number, one in enumerate(injections(options.count, options.seed)):
            said = broken_promises(one, recipe)
            kinds[one.fault.kind] += 1
            resumed += one.deed != "stop"
            failed += bool(said)
            for what in said:
                print(f"injection {number}: {one}: {what}", file=sys.stderr)
    seconds = time.perf_counter() - began
    print(
        f"| NaN and infinity | {options.count} injections of {len(kinds)} kinds, seed {options.seed} | "
        f"{options.count - failed} held, {resumed} of them cut off and resumed bit for bit | {seconds:.0f} s |"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
