"""Runs that are killed at random moments, aimed and judged by what lies on disk, and compared with a calm one.

A trial is one run: the trainer is started, killed with SIGKILL from outside, started again as `ftui resume` would,
and so on, until it has had its kills and may end. Then every number and the final state must be bitwise those of a
run of the same recipe that nobody disturbed.
"""

import itertools
import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from safetensors.numpy import load_file

from finetui_core.files import write_atomically
from finetui_core.runs.checkpoints import MANIFEST, STAGING, Checkpoint, newest_valid
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.process import host_name, process_identity
from finetui_core.runs.records import Attempt, End, decode_line
from forks import start, trainer
from training import curve, events, new_run, write_project

STEPS = 60
DEADLINE = 600.0  # seconds that an attempt may take
POLL = 0.001
SAVING = ("writing", "sealing", "renaming", "pointing", "pruning")
"""What a trainer can be killed at inside a save, in the order of a save."""


@dataclass(frozen=True)
class Setup:
    """A kind of run: its model's architecture, and what differs from the common recipe."""

    name: str
    architecture: str
    options: tuple[str, ...]


COMMON = (
    f"train.max_steps={STEPS}",
    "save.steps=2",
    "eval.steps=12",
    "eval.samples=0",
    "eval.meters=false",
)
SETUPS = (
    Setup("LoRA, packed, a save every step", "llama", ("save.steps=1",)),
    Setup("full, padded", "llama", ("train.method=full", "data.packing=false", "save.steps=3")),
    Setup(
        "LoRA, padded, accumulation 4",
        "llama",
        (
            "data.packing=false",
            "train.per_device_train_batch_size=2",
            "train.gradient_accumulation_steps=4",
        ),
    ),
    Setup("LoRA, evaluation every 3 steps, best kept", "llama", ("eval.steps=3", "save.total_limit=1")),
    Setup("full, packed, dropout in the model", "gpt2", ("train.method=full", "save.steps=3")),
    Setup("LoRA, saves at the end of each epoch", "llama", ("save.steps=0", "eval.steps=0")),
    Setup("LoRA, packed, accumulation 4, meters", "llama", ("train.gradient_accumulation_steps=4",)),
    Setup("LoRA, padded, dropout in the model", "gpt2", ("data.packing=false",)),
)


@dataclass(frozen=True)
class Kill:
    """One SIGKILL: what it was aimed at, and where it met the trainer, as the files tell that were left."""

    attempt: int
    aim: str
    found: str


@dataclass(frozen=True)
class Trial:
    """A run with its kills. `faults` are what broke the promise, in words; `swept` are remains of saves."""

    setup: str
    kills: tuple[Kill, ...]
    restarts: int
    resumed: int
    swept: int
    faults: tuple[str, ...]


@dataclass(frozen=True)
class Calm:
    """A project, and the undisturbed run of a setup in it."""

    setup: Setup
    recipe: Path
    paths: RunPaths
    save_seconds: float
    start_seconds: float


def calm_run(folder: Path, setup: Setup) -> Calm:
    """Train the setup without a kill. Raises RuntimeError when that fails."""
    project = folder / setup.architecture
    recipe = (
        project / "recipe.toml"
        if project.exists()
        else write_project(project, architecture=setup.architecture)
    )
    paths = new_run(recipe, *COMMON, *setup.options)
    child = _start(paths, 1)
    child.join(DEADLINE)
    _record_end(paths, 1, child.exitcode)
    if child.exitcode != 0:
        raise RuntimeError(f"the calm run failed: {paths.log(1).read_text()[-2000:]}")
    saves = sorted(event["seconds"] for event in events(paths, "checkpoint"))
    start_seconds = events(paths, "ready")[0]["t"] - events(paths, "phase")[0]["t"]
    return Calm(setup, recipe, paths, saves[len(saves) // 2], start_seconds)


def _start(paths: RunPaths, attempt: int, resumed_from: str | None = None) -> Any:
    """Start an attempt and record it, as the supervisor does."""
    child = start(trainer, paths.log(attempt), paths.root, attempt)
    ticks, boot = process_identity(child.pid)
    mine = process_identity(os.getpid())[0]
    record = Attempt(
        attempt, child.pid, ticks, boot, host_name(), os.getpid(), mine, time.time(), resumed_from
    )
    write_atomically(paths.attempt(attempt), msgspec.json.encode(record), durable=False)
    return child


def _record_end(paths: RunPaths, attempt: int, code: int) -> None:
    record = msgspec.json.decode(paths.attempt(attempt).read_bytes(), type=Attempt)
    end = End(time.time(), signal=-code) if code < 0 else End(time.time(), exit_code=code)
    record = msgspec.structs.replace(record, end=end)
    write_atomically(paths.attempt(attempt), msgspec.json.encode(record), durable=False)


@dataclass(frozen=True)
class Watched:
    """What can be seen of an attempt from outside while it runs.

    `target` is how many steps it may do, `events_from` where its events begin, `remains` and `newest` what killed
    saves and whole ones had left when it began.
    """

    paths: RunPaths
    attempt: int
    target: int
    events_from: int
    remains: frozenset[str]
    newest: str

    def said(self) -> bytes:
        """The events of this attempt, as lines."""
        if not self.paths.events.exists():
            return b""
        with self.paths.events.open("rb") as stream:
            stream.seek(self.events_from)
            return stream.read()

    def steps(self) -> int:
        try:
            return self.paths.metrics(self.attempt).read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0

    def is_due(self) -> bool:
        return self.steps() >= self.target

    def trains(self) -> bool:
        return last_phase(self.said()) == "training"

    def evaluates(self) -> bool:
        return last_phase(self.said()) == "evaluating"

    def saves(self) -> bool:
        return self.is_due() and bool(self.staged())

    def seals(self) -> bool:
        """The manifest is being written, or is there."""
        try:
            return self.is_due() and any(
                MANIFEST in path.name for one in self.staged() for path in one.iterdir()
            )
        except FileNotFoundError:
            return True  # just renamed

    def publishes(self) -> bool:
        """A newer checkpoint than at the start has its name."""
        return self.is_due() and newest_name(self.paths) > self.newest

    def staged(self) -> list[Path]:
        """The hidden folder of a checkpoint that this attempt writes."""
        found = self.paths.checkpoints.glob(f"{STAGING}step-*")
        return [path for path in found if path.name not in self.remains]


def watch(paths: RunPaths, attempt: int, target: int) -> Watched:
    """Call it before the attempt is started."""
    events_from = paths.events.stat().st_size if paths.events.exists() else 0
    left = frozenset(path.name for path in remains(paths))
    return Watched(paths, attempt, target, events_from, left, newest_name(paths))


def newest_name(paths: RunPaths) -> str:
    """The name of the newest checkpoint, unverified; empty where there is none."""
    return max((path.name for path in paths.checkpoints.glob("step-*")), default="")


def last_phase(said: bytes) -> str:
    phases = re.findall(rb'"type":"phase".*?"phase":"(\w+)"', said)
    return phases[-1].decode() if phases else ""


@dataclass(frozen=True)
class Aim:
    """When to shoot: once `sees` holds, a random time later of at most `within` (seconds, from the calm run).

    `share` is how many of a dozen shots are aimed so.
    """

    name: str
    share: int
    sees: Callable[[Watched], bool]
    within: Callable[[Calm], float]


AIMS = (
    Aim("writing", 3, Watched.saves, lambda calm: 0.7 * calm.save_seconds),
    Aim("sealing", 2, Watched.seals, lambda calm: 0.2 * calm.save_seconds),
    Aim("pointing", 2, Watched.publishes, lambda calm: 0.3 * calm.save_seconds),
    Aim("start", 1, lambda watched: True, lambda calm: calm.start_seconds),
    Aim("first step", 1, Watched.trains, lambda calm: 0.01),
    Aim("evaluation", 1, Watched.evaluates, lambda calm: 0.02),
    Aim("step", 2, Watched.is_due, lambda calm: 0.02),
)


def aims_by(chance: random.Random) -> Iterator[Aim]:
    """Aims without an end, each dozen with the shares of `AIMS` in another order."""
    dozen = [aim for aim in AIMS for _ in range(aim.share)]
    while True:
        yield from chance.sample(dozen, len(dozen))


def trial(calm: Calm, kills: int, chance: random.Random, aims: Iterator[Aim]) -> Trial:
    """Kill a run of `calm`'s recipe `kills` times, or as often as it can be before it ends, and compare."""
    paths = new_run(calm.recipe, *COMMON, *calm.setup.options)
    met: list[Kill] = []
    faults: list[str] = []
    restarts = resumed = swept = 0
    for attempt in itertools.count(1):
        restarts += attempt > 1
        swept += len(remains(paths))
        from_here, torn = newest_valid(paths.checkpoints)
        faults += [f"after kill {len(met)}: {one.path.name} is torn: {one.reason}" for one in torn]
        watched = watch(paths, attempt, target=chance.randint(0, 6))
        aim = next(aims) if len(met) < kills else None
        child = _start(paths, attempt, f"checkpoints/{from_here.path.name}" if from_here else None)
        if aim is not None:
            kill_when(child, partial(aim.sees, watched), chance.random() * aim.within(calm))
        child.join(DEADLINE)
        _record_end(paths, attempt, child.exitcode)
        said = events_in(watched.said())
        faults += _wrong_start(said, attempt, from_here)
        if child.exitcode not in (0, -signal.SIGKILL):
            log = paths.log(attempt).read_text()[-500:]
            faults.append(f"attempt {attempt} ended with {child.exitcode}: {log}")
            break
        resumed += attempt > 1
        if child.exitcode == -signal.SIGKILL and aim is not None:
            met.append(Kill(attempt, aim.name, found(watched, said)))
        if child.exitcode == 0 or any(event["type"] == "finished" for event in said):
            break
    faults += differences(paths, calm.paths)
    return Trial(calm.setup.name, tuple(met), restarts, resumed, swept, tuple(faults))


def _wrong_start(said: list[dict[str, Any]], attempt: int, chosen: Checkpoint | None) -> list[str]:
    """A fault where an attempt did not go on from the newest valid checkpoint that was there."""
    if not any(event["type"] == "ready" for event in said):
        return []
    steps = [event["step"] for event in said if event["type"] == "resumed"]
    wanted = [chosen.step] if chosen else []
    return [] if steps == wanted else [f"attempt {attempt} went on from {steps}, not from {wanted}"]


def remains(paths: RunPaths) -> list[Path]:
    """What killed saves left behind."""
    return list(paths.checkpoints.glob(f"{STAGING}*"))


def events_in(said: bytes) -> list[dict[str, Any]]:
    return [record for line in said.splitlines() if (record := decode_line(line)) is not None]


def kill_when(child: Any, in_sight: Callable[[], bool], pause: float) -> None:
    """Kill a process `pause` seconds after the aim is in sight, unless it ends before."""
    deadline = time.monotonic() + DEADLINE
    while not in_sight():
        if not child.is_alive():
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"what was waited for did not come in {DEADLINE:.0f} s")
        time.sleep(POLL)
    child.join(pause)
    child.kill()


def found(watched: Watched, said: list[dict[str, Any]]) -> str:
    """Where a kill met the trainer, from what it left: one of SAVING, or what it did between saves."""
    phase = next((event["phase"] for event in reversed(said) if event["type"] == "phase"), "")
    if phase in ("", "loading", "preparing"):
        return "start"
    if phase == "evaluating":
        return "evaluation"
    stage = _stage_of_save(watched, told=said[-1]["type"] == "checkpoint") if phase == "saving" else None
    return stage or ("step" if watched.steps() else "first step")


def _stage_of_save(watched: Watched, *, told: bool) -> str | None:
    """How far a save had come; None where it was over. `told` is whether its event is there."""
    paths = watched.paths
    for folder in watched.staged():
        return "sealing" if any(MANIFEST in path.name for path in folder.iterdir()) else "writing"
    names = {path.name for path in remains(paths)} - watched.remains
    if any("superseded" in name for name in names):
        return "renaming"
    newest, latest = newest_name(paths), paths.latest.read_text().strip() if paths.latest.exists() else ""
    if newest == watched.newest and not told:
        return "writing"  # its folder was not there yet
    if newest != latest:
        return "pointing"
    return None if told and not names else "pruning"


def differences(paths: RunPaths, calm: RunPaths) -> Iterator[str]:
    """What of the run is not bitwise as in the calm one: its numbers, or its last checkpoint."""
    if curve(paths) != curve(calm):
        yield "the curve differs from the undisturbed one"
    for name in (
        "adapter_model.safetensors",
        "model.safetensors",
        "optimizer.safetensors",
        "trainer_state.json",
    ):
        ours, theirs = (bits(run.checkpoints / newest_name(calm) / name) for run in (paths, calm))
        if ours != theirs:
            yield f"{name} of the last checkpoint differs"
    if remains(paths):
        yield f"the run has ended and {remains(paths)[0].name} is still there"


def bits(path: Path) -> dict[str, bytes]:
    """What a file of a checkpoint holds, of tensors every bit; nothing where there is none."""
    if not path.exists():
        return {}
    if path.suffix != ".safetensors":
        return {path.name: path.read_bytes()}
    return {name: tensor.tobytes() for name, tensor in load_file(path).items()}


def is_inside_save(kill: Kill) -> bool:
    return kill.found in SAVING


def trials(calms: Sequence[Calm], kills: int, each: int, seed: int) -> Iterator[Trial]:
    """Trials of at most `each` kills, the setups in rotation, until there were `kills` in all.

    Gives up after three trials in a row without a kill.
    """
    chance = random.Random(seed)
    aims = aims_by(chance)
    left, empty = kills, 0
    for number in itertools.count():
        one = trial(calms[number % len(calms)], min(each, left), chance, aims)
        yield one
        left -= len(one.kills)
        empty = 0 if one.kills else empty + 1
        if left <= 0 or empty == 3:
            return
