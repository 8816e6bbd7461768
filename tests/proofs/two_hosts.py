"""Deaths of a process, of a host and of the network under torchrun: a clean stop with its cause, and exact resume.

    python tests/proofs/two_hosts.py --count 1 --seed 7 --restarts both

Two hosts are two network namespaces with a cable between them, which needs root. Each trial ends with the losses, the
final weights and the optimizer's state compared bitwise with those of a run that nobody disturbed. Prints a table in
Markdown and ends with 1 where a promise is broken: an end within 60 s, its cause, nothing left running, equal bits,
and no socket that listens elsewhere than on 127.0.0.1 or on the address that the recipe names.
"""

import argparse
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "tests")]

from finetui_core.runs.paths import RunPaths  # noqa: E402
from network_hosts import Host, can_part_networks, two_hosts  # noqa: E402
from shared_runs import (  # noqa: E402
    Death,
    Place,
    begun,
    disturb,
    finished,
    kill,
    kill_torchrun,
    listening,
    new_shared_run,
    outcome,
    random_step,
    start,
    stop_all,
)
from training import write_project  # noqa: E402

WITHIN = 60.0
"""Seconds in which the whole training must have ended."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A disturbance, and what the record must say of it; `back` is what a person then does, before a new start."""

    name: str
    hosts: int
    act: Callable[[tuple[Host, ...]], Callable[[dict[int, int]], None]]
    cause: str
    back: Callable[[tuple[Host, ...]], None] = lambda hosts: None
    writer_lost: bool = False
    comes_back: bool = False


SCENARIOS = (
    Scenario("one host: rank 1 killed", 1, lambda hosts: kill(1), r"rank 1 \(pid \d+\) on \S+ was killed by SIGKILL"),
    Scenario(
        "one host: rank 1 stopped", 1, lambda hosts: kill(1, signal.SIGSTOP),
        r"rank 1 \(pid \d+\) on \S+ has given no sign of life .* stopped",
    ),
    Scenario("one host: rank 0 killed", 1, lambda hosts: kill(0), r"rank 0 \(pid \d+\) on \S+ was killed by SIGKILL"),
    Scenario(
        "one host: torchrun killed", 1, lambda hosts: kill_torchrun, r"killed by SIGKILL",
    ),
    Scenario(
        "two hosts: rank 1 killed", 2, lambda hosts: kill(1),
        r"rank 1 \(pid \d+\) on host-b was killed by SIGKILL",
    ),
    Scenario(
        "two hosts: host 2 killed", 2, lambda hosts: lambda pids: hosts[1].kill(),
        r"rank 1 \(pid \d+\) on host-b has died or cannot be reached", comes_back=True,
    ),
    Scenario(
        "two hosts: network cut", 2, lambda hosts: lambda pids: hosts[1].cut(),
        r"rank 1 \(pid \d+\) on host-b has given no sign of life", back=lambda hosts: hosts[1].mend(),
    ),
    Scenario(
        "two hosts: host 1 killed", 2, lambda hosts: lambda pids: hosts[0].kill(),
        r"rank 0 \(pid \d+\) on host-a has died or cannot be reached", writer_lost=True,
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial. `attempts` counts the starts of the trainer, `faults` says which promises were broken."""

    scenario: str
    restarts: bool
    death: Death
    attempts: int
    faults: tuple[str, ...]


def undisturbed(recipe: Path, place: Place, runs: list[RunPaths]) -> tuple[object, str, str]:
    """What a run comes to that nobody disturbs."""
    paths = new_shared_run(recipe, place, "launch.max_restarts=0")
    runs.append(paths)
    start(paths, place)
    finished(paths)
    return outcome(paths)


def trial(
    recipe: Path,
    place: Place,
    scenario: Scenario,
    step: int,
    expected: tuple[object, str, str],
    runs: list[RunPaths],
    *,
    restarts: bool,
) -> Trial:
    """Disturb one run, let it come back (by itself with `restarts`), and judge it."""
    paths = new_shared_run(recipe, place, f"launch.max_restarts={3 if restarts else 0}")
    runs.append(paths)
    start(paths, place)
    open_at: set[str] = set()

    def act(pids: dict[int, int]) -> None:
        open_at.update(listening(pids))
        scenario.act(place.hosts)(pids)

    death = disturb(paths, 1, step, act, writer_lost=scenario.writer_lost)
    scenario.back(place.hosts)
    if not restarts or scenario.writer_lost:
        start(paths, place, joining=not restarts)
    elif scenario.comes_back:
        place.ftui(1, recipe.parent, "join", str(paths.root), "--detach").wait()
    begun(paths, 2, 1)
    view = finished(paths)
    faults = []
    if death.seconds > WITHIN:
        faults.append(f"ended after {death.seconds:.0f} s")
    if not re.search(scenario.cause, death.reason):
        faults.append(f"cause: {death.reason}")
    if strange := open_at - {"127.0.0.1", *(host.address for host in place.hosts)}:
        faults.append(f"listens on {', '.join(sorted(strange))}")
    if death.left:
        faults.append(f"{death.left} processes left")
    names = ("losses", "weights", "optimizer")
    found = outcome(paths)
    faults += [
        f"{name} differ" for name, ours, theirs in zip(names, found, expected, strict=True) if ours != theirs
    ]
    return Trial(scenario.name, restarts, death, len(view.attempts), tuple(faults))


def prove(count: int, seed: int, modes: tuple[bool, ...], folder: Path, only: str = "") -> list[Trial]:
    """All scenarios, each `count` times in each mode; those on two hosts only where networks can be parted."""
    recipe, chance = write_project(folder / "project"), random.Random(seed)
    trials: list[Trial] = []
    chosen = [one for one in SCENARIOS if only in one.name]
    runs: list[RunPaths] = []
    try:
        for hosts in (1, 2):
            mine = [one for one in chosen if one.hosts == hosts]
            if hosts == 2 and mine and not can_part_networks():
                print("two hosts: left out, since this user can make no network namespaces", flush=True)
                continue
            if not mine:
                continue
            with _place(hosts) as place:
                expected = undisturbed(recipe, place, runs)
            for scenario in mine:
                for restarts in modes:
                    for _ in range(count):
                        step, began = random_step(chance), time.monotonic()
                        with _place(hosts) as place:
                            one = trial(recipe, place, scenario, step, expected, runs, restarts=restarts)
                        trials.append(one)
                        print(in_a_row(one), f"<!-- {time.monotonic() - began:.0f} s -->", flush=True)
    finally:
        stop_all(runs)
    return trials


@contextmanager
def _place(hosts: int) -> Iterator[Place]:
    """Where to train; what is left of it afterwards is ended."""
    if hosts == 1:
        yield Place()
        return
    with two_hosts() as both:
        yield Place(both)


HEAD = (
    "| what happened | restarts | clean stop after | at step, kept | starts | recorded cause | broken |\n"
    "|---|---|---|---|---|---|---|"
)


def in_a_row(one: Trial) -> str:
    death, mode = one.death, "by itself" if one.restarts else "by hand"
    return (
        f"| {one.scenario} | {mode} | {death.seconds:.1f} s | {death.step}, {death.kept} | {one.attempts} "
        f"| {death.reason} | {'; '.join(one.faults) or 'nothing'} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1, help="trials of each scenario in each mode")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--restarts", choices=("off", "on", "both"), default="both")
    parser.add_argument("--only", default="", help="scenarios whose name has this in it")
    parser.add_argument(
        "--folder", type=Path, help="where the runs are kept (a folder that is removed if left out)"
    )
    options = parser.parse_args()
    modes = {"off": (False,), "on": (True,), "both": (False, True)}[options.restarts]
    began = time.monotonic()
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory(prefix="ftui-two-hosts-") as folder:
        trials = prove(options.count, options.seed, modes, options.folder or Path(folder), options.only)
    broken = [one for one in trials if one.faults]
    slowest = max((one.death.seconds for one in trials), default=0)
    print(
        f"\n{len(trials)} trials, {len(broken)} broken; slowest clean stop {slowest:.1f} s of {WITHIN:g} s; "
        f"{len(trials) - len(broken)} resumed bit for bit. Seed {options.seed}, {time.monotonic() - began:.0f} s."
    )
    return 1 if broken or not trials else 0


if __name__ == "__main__":
    sys.exit(main())
