"""Representative work of ftui in watched processes: train, stop, resume, compare, check data, show every screen."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from auditing import TESTS, Seen, environment, faults, seen_in
from training import RECIPE, write_project

FTUI = (sys.executable, "-m", "finetui_core.cli.main")


def watched(
    command: Sequence[str], folder: Path, by: Mapping[str, str], *, codes: tuple[int, ...] = (0,)
) -> str:
    """Run a command to its end; returns what it printed. Raises AssertionError at another exit code."""
    done = subprocess.run(
        command, cwd=folder, env=dict(by), capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode in codes, f"{command} ended with {done.returncode}: {done.stderr}"
    return done.stdout + done.stderr


def listing(folder: Path, by: Mapping[str, str]) -> Iterator[str]:
    """What takes no time."""
    for command in (["runs"], ["recipe", "check", str(folder / "recipe.toml")], ["settings"]):
        watched([*FTUI, *command], folder, by, codes=(0, 2))
        yield command[0]


def viewing(folder: Path, by: Mapping[str, str]) -> Iterator[str]:
    """What needs no training library in its own process."""
    recipe, data, runs = folder / "recipe.toml", folder / "train.jsonl", folder / "runs"
    for command in (
        ["data", "check", str(data), "--recipe", str(recipe)],
        ["preflight", str(recipe)],
        ["runs"],
    ):
        watched([*FTUI, *command], folder, by, codes=(0, 3))
        yield " ".join(word for word in command[:2] if "/" not in word)
    watched([sys.executable, str(TESTS / "studio_screens.py"), str(runs), str(recipe), str(data)], folder, by)
    yield "every screen"


def one_run(folder: Path, by: Mapping[str, str]) -> Iterator[str]:
    """A run from its start to its end."""
    watched([*FTUI, "train", "recipe.toml", "--name", "whole", "--set", "train.max_steps=3"], folder, by)
    yield "train"


def training(folder: Path, by: Mapping[str, str]) -> Iterator[str]:
    """A run that is trained, stopped, resumed and compared."""
    watched([*FTUI, "train", "recipe.toml", "--name", "whole", "--set", "train.max_steps=3"], folder, by)
    yield "train"
    watched(
        [*FTUI, "train", "recipe.toml", "--name", "halves", "--detach", "--set", "train.num_train_epochs=20"],
        folder,
        by,
    )
    watched([*FTUI, "ctl", "halves", "stop"], folder, by, codes=(0, 1, 2))
    _wait_until_ended(folder, by)
    yield "stop"
    watched([*FTUI, "resume", "halves"], folder, by, codes=(0, 2))
    yield "resume"
    watched([*FTUI, "compare", "whole", "--arms", "zero_shot,tuned"], folder, by, codes=(0, 1, 3))
    yield "compare"


def _wait_until_ended(folder: Path, by: Mapping[str, str]) -> None:
    deadline = time.monotonic() + 120
    while (
        "running" in watched([*FTUI, "status", "halves"], folder, by, codes=(0, 1))
        and time.monotonic() < deadline
    ):
        time.sleep(0.5)


def audited(folder: Path, *parts: str) -> tuple[list[str], list[Seen], list[Seen]]:
    """Do parts (the names in `every`) below `folder`: what was done, what was seen, and the faults."""
    log, home, project = folder / "audit.jsonl", folder / "home", folder / "project"
    if parts == ("listing",):  # needs no model
        project.mkdir()
        (project / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    else:
        write_project(project)
    by = environment(log, home)
    every = {"run": one_run, "training": training, "viewing": viewing, "listing": listing}
    done = [name for part in parts for name in every[part](project, by)]
    seen = seen_in(log)
    return done, seen, faults(seen, [home, project, log])
