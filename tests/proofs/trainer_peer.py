"""transformers' Trainer and ftui through the same faults: kills, a disk that fills up, damaged files, NaN.

    python tests/proofs/trainer_peer.py --what kills --count 60
    python tests/proofs/trainer_peer.py --what disk --count 10
    python tests/proofs/trainer_peer.py --what damage
    python tests/proofs/trainer_peer.py --what nan --count 10

Both train the same tiny Llama on the same rows with the same adapters (peft) for 60 steps, saving at each step. The
Trainer's settings are those in tests/peer_lab.py, otherwise its defaults; it is resumed with `resume_from_checkpoint`
as its documentation says. `disk` needs root, for a file system of its own. Prints a Markdown row for each of the two,
and ends with 1 when ftui breaks its promise.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "tests")]

import numpy as np  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

from finetui_core import __version__  # noqa: E402
from finetui_core.cli.train import make_run  # noqa: E402
from finetui_core.runs.checkpoints import newest_valid, published, step_name  # noqa: E402
from finetui_core.runs.paths import RunPaths  # noqa: E402
from forks import start, trainer  # noqa: E402
from kill_lab import (  # noqa: E402
    COMMON,
    DEADLINE,
    STEPS,
    Calm,
    Setup,
    Watched,
    calm_run,
    differences,
    is_inside_save,
    trials,
    watch,
)
from peer_damage import ADAPTER, OUR_KINDS, PEER_KINDS  # noqa: E402
from peer_lab import (  # noqa: E402
    PeerWatched,
    checkpoints,
    is_as,
    last_line,
    logged,
    numbers_of,
    peer_trial,
    poison,
    start_peer,
)
from training import events  # noqa: E402

OPTIONS = ("data.packing=false", "save.steps=1", f"eval.steps={STEPS}", "save.keep_best=false")
SETUP = Setup("LoRA, padded, a save every step", "llama", OPTIONS)
DISK = 64 << 20  # bytes of the file system that fills up
KILLS_EACH = 6
ENDS_WITHIN = 30.0  # seconds from the last step to the end of a trainer that waits for nothing


@dataclass(frozen=True)
class Figures:
    """What one of the two did: the cells of its row, notes for below the table, and whether all went well."""

    cells: tuple[str, ...]
    notes: tuple[str, ...]
    good: bool


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--what", choices=tuple(PROOFS), required=True)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.what == "disk" and "OWN_MOUNTS" not in os.environ:
        own = {**os.environ, "OWN_MOUNTS": "1"}
        return subprocess.run(
            ["unshare", "--mount", sys.executable, *sys.argv], env=own, check=False
        ).returncode
    heads, theirs, ours = PROOFS[options.what]
    with tempfile.TemporaryDirectory() as folder:
        calm = calm_run(Path(folder), SETUP)
        peer_calm = calm.recipe.parent / "calm"
        finish(
            start_peer(calm.recipe.parent, peer_calm, {}, Path(folder) / "calm.txt"),
            Path(folder) / "calm.txt",
        )
        rows = []
        for name, proof, undisturbed in (("Trainer", theirs, peer_calm), ("ftui", ours, calm)):
            began = time.monotonic()
            rows.append(
                (
                    name,
                    proof(calm.recipe.parent, undisturbed, options.count, options.seed),
                    time.monotonic() - began,
                )
            )
    return report(heads, rows)


def report(heads: Sequence[str], rows: Sequence[tuple[str, Figures, float]]) -> int:
    versions = {"Trainer": f"transformers {version('transformers')}", "ftui": f"ftui {__version__}"}
    head = ("date", "what", *heads, "seconds")
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for name, figures, seconds in rows:
        what = f"{versions[name]}, torch {version('torch')}, peft {version('peft')}"
        print(f"| {' | '.join((str(date.today()), what, *figures.cells, f'{seconds:.0f}'))} |")
    for name, figures, _ in rows:
        for note in figures.notes:
            print(f"{name}: {note}")
    return int(not rows[-1][1].good)


def finish(child: Any, log: Path) -> None:
    child.join(DEADLINE)
    if child.exitcode != 0:
        raise SystemExit(f"the undisturbed run failed: {last_line(log)}")


def share(part: int, whole: int) -> str:
    return f"{part} of {whole}" + (f" ({part / whole:.0%})" if whole else "")


# Kills


def kills_of_trainer(project: Path, calm: Path, count: int, seed: int) -> Figures:
    chance, done = random.Random(seed), []
    while (left := count - sum(len(one.kills) for one in done)) > 0:
        done.append(peer_trial(project, calm, f"killed-{len(done)}", min(left, KILLS_EACH), chance))
    kills = [kill for one in done for kill in one.kills]
    restarted = [kill for kill in kills if kill.resumed is not None]
    inside = [kill for kill in restarted if kill.inside_save]
    whole = [one for one in done if one.identical is not None]
    notes = sorted({kill.said for kill in kills if kill.said})
    cells = (
        str(len(kills)),
        share(sum(kill.inside_save for kill in kills), len(kills)),
        share(sum(bool(kill.resumed) for kill in restarted), len(restarted)),
        share(sum(bool(kill.resumed) for kill in inside), len(inside)),
        f"{len(whole)} of {len(done)}",
        f"{sum(bool(one.identical) for one in whole)} of {len(whole)}",
    )
    return Figures(cells, tuple(notes), True)


def kills_of_ours(project: Path, calm: Calm, count: int, seed: int) -> Figures:
    done = list(trials([calm], count, KILLS_EACH, seed))
    kills = [kill for one in done for kill in one.kills]
    inside = sum(map(is_inside_save, kills))
    restarts, resumed = sum(one.restarts for one in done), sum(one.resumed for one in done)
    good = sum(not one.faults for one in done)
    stuck = [one for one in done if one.resumed < one.restarts]
    stuck_inside = sum(is_inside_save(one.kills[-1]) for one in stuck)
    cells = (
        str(len(kills)),
        share(inside, len(kills)),
        share(resumed, restarts),
        share(inside - stuck_inside, inside),
        f"{len(done) - len(stuck)} of {len(done)}",
        f"{good} of {len(done) - len(stuck)}",
    )
    return Figures(cells, tuple(fault for one in done for fault in one.faults), good == len(done))


# A disk that fills up


@contextmanager
def small_disk(at: Path) -> Iterator[Path]:
    """A file system of DISK bytes, seen by this process and its children alone."""
    at.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "small", at], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", at], check=True)


def fill(disk: Path, left: int) -> Path:
    """Write a file that leaves `left` bytes free; removing it is how space is freed."""
    room = os.statvfs(disk)
    ballast = disk / "ballast"
    with ballast.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, max(1, room.f_bavail * room.f_bsize - left))
    return ballast


def fill_while_training(child: Any, in_sight: Callable[[], bool], disk: Path, left: int) -> Path:
    """Fill the disk once the aim is in sight, with the trainer stopped meanwhile, so that exactly `left` remain."""
    deadline = time.monotonic() + DEADLINE
    while not in_sight():
        if not child.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the trainer did not come so far that its disk could be filled")
        time.sleep(0.001)
    os.kill(child.pid, signal.SIGSTOP)
    try:
        return fill(disk, left)
    finally:
        os.kill(child.pid, signal.SIGCONT)


def disk_cells(done: Sequence[tuple[bool, bool | None, bool]]) -> tuple[str, ...]:
    """Of (survived, went on once there was space, identical in the end) the cells of a row."""
    died = [one for one in done if not one[0]]
    return (
        share(len(done) - len(died), len(done)),
        share(sum(bool(one[1]) for one in died), len(died)),
        share(sum(one[2] for one in done), len(done)),
    )


def sizes(folder: Path, count: int) -> list[int]:
    """Bytes that are left on the disk, from none to nearly one checkpoint."""
    whole = sum(file.stat().st_size for file in folder.iterdir())
    return [whole * number // count for number in range(count)]


def disk_of_trainer(project: Path, calm: Path, count: int, seed: int) -> Figures:
    done, said = [], set()
    for number, left in enumerate(sizes(checkpoints(calm)[0], count)):
        log = project / f"disk-{number}.txt"
        with small_disk(project / f"disk-{number}") as out:
            child = start_peer(project, out, {}, log)
            watched = PeerWatched(project, out, 0, 0, 5)
            ballast = fill_while_training(child, watched.is_due, out, left)
            child.join(DEADLINE)
            survived, resumed = child.exitcode == 0, None
            said |= set() if survived else {last_line(log)}
            ballast.unlink()
            if not survived:
                again = start_peer(project, out, {}, log)
                again.join(DEADLINE)
                resumed = again.exitcode == 0
                said |= set() if resumed else {f"again: {last_line(log)}"}
            identical = bool(survived or resumed) and is_as(out, calm)
        done.append((survived, resumed, identical))
    return Figures(disk_cells(done), tuple(sorted(said)), True)


def waits_for_space(child: Any, watched: Watched) -> bool:
    """Whether the trainer, with all steps done, lives on until its last checkpoint can be written."""
    deadline = time.monotonic() + DEADLINE
    while child.is_alive() and watched.steps() < STEPS and time.monotonic() < deadline:
        time.sleep(0.01)
    child.join(ENDS_WITHIN)
    return bool(child.is_alive())


def disk_of_ours(project: Path, calm: Calm, count: int, seed: int) -> Figures:
    done, notes = [], []
    for number, left in enumerate(sizes(calm.paths.checkpoint(STEPS), count)):
        with small_disk(project / f"our-disk-{number}") as disk:
            paths = make_run(calm.recipe, (*COMMON, *OPTIONS), None, disk / "runs")
            watched = watch(paths, 1, target=5)
            child = start(trainer, paths.log(1), paths.root, 1)
            ballast = fill_while_training(child, watched.is_due, disk, left)
            if waits_for_space(child, watched):
                ballast.unlink()
                notes.append(f"{left} bytes left: the last save waited until there was space")
            child.join(DEADLINE)
            survived, resumed = child.exitcode == 0, None
            whole = newest_valid(paths.checkpoints)[0]
            ballast.unlink(missing_ok=True)
            if not survived:
                again = start(trainer, paths.log(2), paths.root, 2)
                again.join(DEADLINE)
                resumed = again.exitcode == 0
            different = list(differences(paths, calm.paths)) if survived or resumed else ["it did not end"]
            if whole is None or whole.step != STEPS or different:
                last = whole.step if whole else None
                notes.append(f"{left} bytes left: last whole checkpoint {last}; {different or 'identical'}")
        done.append((survived, resumed, not different))
    return Figures(disk_cells(done), tuple(notes), all(one[0] and one[2] for one in done))


# Damaged files


def damage_cells(outcomes: dict[str, str]) -> tuple[str, ...]:
    count = list(outcomes.values()).count
    return tuple(
        share(count(one), len(outcomes)) for one in ("noticed", "other numbers, not a word", "harmless")
    )


def damage_notes(outcomes: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"{kind}: {outcome}" for kind, outcome in outcomes.items())


def damage_of_trainer(project: Path, calm: Path, count: int, seed: int) -> Figures:
    settings = {"save_steps": 20}
    honest, log = project / "every-20", project / "damage.txt"
    finish(start_peer(project, honest, settings, log), log)
    outcomes = {}
    for kind, damage in PEER_KINDS.items():
        out = project / f"damaged-{len(outcomes)}"
        shutil.copytree(honest, out)
        shutil.copyfile(numbers_of(honest), numbers_of(out))
        shutil.rmtree(out / f"checkpoint-{STEPS}")
        damage(out / "checkpoint-40", out / "checkpoint-20")
        child = start_peer(project, out, settings, log)
        child.join(DEADLINE)
        same = child.exitcode == 0 and is_as(out, honest)
        outcomes[kind] = "harmless" if same else "noticed" if child.exitcode else "other numbers, not a word"
    return Figures(damage_cells(outcomes), damage_notes(outcomes), True)


def damage_of_ours(project: Path, calm: Calm, count: int, seed: int) -> Figures:
    honest = calm_run(project.parent, Setup("every 20", "llama", (*OPTIONS, "save.steps=20"))).paths
    outcomes, good = {}, True
    for kind, damage in OUR_KINDS.items():
        paths = RunPaths(honest.root.with_name(f"{honest.id}-{len(outcomes)}"))
        shutil.copytree(honest.root, paths.root)
        shutil.rmtree(paths.checkpoint(STEPS))
        damage(paths.checkpoint(40), paths.checkpoint(20))
        child = start(trainer, paths.log(2), paths.root, 2)
        child.join(DEADLINE)
        named = [one["path"] for one in events(paths, "checkpoint_skipped")]
        same = child.exitcode == 0 and not list(differences(paths, honest))
        noticed = named == [f"checkpoints/{step_name(40)}"]
        outcomes[kind] = "noticed" if noticed else "harmless" if same else "other numbers, not a word"
        good = good and noticed and same
    return Figures(damage_cells(outcomes), damage_notes(outcomes), good)


# NaN


def poisoned_steps(count: int, seed: int) -> list[int]:
    return sorted(random.Random(seed).sample(range(5, STEPS - 4), count))


def not_finite(files: Sequence[Path]) -> tuple[int, int]:
    """(tensors with a NaN or an infinity, all tensors) of safetensors files."""
    tensors = [tensor for file in files for tensor in load_file(file).values()]
    return sum(not np.isfinite(tensor).all() for tensor in tensors), len(tensors)


def nan_cells(shown: int, count: int, bad: int, tensors: int, codes: set[int]) -> tuple[str, ...]:
    return (share(shown, count), share(bad, tensors), ", ".join(map(str, sorted(codes))))


def is_nan(number: float | None) -> bool:
    return number is None or not np.isfinite(number)


def nan_of_trainer(project: Path, calm: Path, count: int, seed: int) -> Figures:
    shown = bad = tensors = 0
    steps = losses = norms = 0
    codes = set()
    for step in poisoned_steps(count, seed):
        out = project / f"poisoned-{step}"
        child = start_peer(project, out, {}, project / "nan.txt", step)
        child.join(DEADLINE)
        codes.add(child.exitcode)
        after = [numbers for number, numbers in logged(out).items() if number >= step]
        shown += is_nan(after[0][0])
        steps += len(after)
        losses += sum(is_nan(loss) for loss, _ in after)
        norms += sum(is_nan(norm) for _, norm in after)
        here = not_finite([folder / ADAPTER for folder in checkpoints(out)])
        bad, tensors = bad + here[0], tensors + here[1]
    note = f"of {steps} steps from the poisoned one on, {losses} show it in the loss and {norms} in grad_norm"
    return Figures(nan_cells(shown, count, bad, tensors, codes), (note,), True)


def poisoned_trainer(root: Path, attempt: int, step: int) -> int:
    poison(step)
    return trainer(root, attempt)


def nan_of_ours(project: Path, calm: Calm, count: int, seed: int) -> Figures:
    shown = bad = tensors = 0
    codes, notes = set(), []
    for step in poisoned_steps(count, seed):
        paths = make_run(calm.recipe, (*COMMON, *OPTIONS), None, project / "runs")
        child = start(poisoned_trainer, paths.log(1), paths.root, 1, step)
        child.join(DEADLINE)
        codes.add(child.exitcode)
        told = [one["step"] for one in events(paths, "alarm") if one["kind"] == "nonfinite"]
        shown += told == [step]
        if told != [step]:
            notes.append(f"poisoned at step {step}, told at {told}")
        files = [file for folder in published(paths.checkpoints) for file in folder.glob("*.safetensors")]
        here = not_finite(files)
        bad, tensors = bad + here[0], tensors + here[1]
    return Figures(nan_cells(shown, count, bad, tensors, codes), tuple(notes), shown == count and not bad)


PROOFS = {
    "kills": (
        (
            "kills",
            "inside a save",
            "went on by itself",
            "of those inside a save",
            "runs that ended",
            "bitwise as undisturbed",
        ),
        kills_of_trainer,
        kills_of_ours,
    ),
    "disk": (
        ("survived", "of the others, went on once there was space", "bitwise as undisturbed"),
        disk_of_trainer,
        disk_of_ours,
    ),
    "damage": (
        ("damage noticed", "other numbers, not a word", "harmless"),
        damage_of_trainer,
        damage_of_ours,
    ),
    "nan": (
        ("NaN shown in its step", "tensors saved that are not finite", "exit code"),
        nan_of_trainer,
        nan_of_ours,
    ),
}

if __name__ == "__main__":
    sys.exit(main())
