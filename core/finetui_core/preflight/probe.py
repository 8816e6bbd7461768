"""The third stage: the run itself for three steps, in a process of its own that leaves nothing behind."""

import os
import select
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import msgspec

from finetui_core.errors import InputError, Problem, RunFailed
from finetui_core.files import private_folder, write_atomically
from finetui_core.hardware.oom import oom_kills
from finetui_core.preflight.figures import Memory, OutOfMemory, Phase, Probed
from finetui_core.recipe.load import recipe_json
from finetui_core.recipe.options import Recipe
from finetui_core.runs.command import trainer_environment
from finetui_core.runs.liveness import signal_name
from finetui_core.runs.ownership import require_safe_folder
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.process import start_ticks

PREFIX = ".probe-"
_LOOK_EVERY = 0.2  # seconds between two looks whether the answer is still wanted
_ENDING_SECONDS = 3.0


class Cancelled(Exception):
    """Nobody wants the answer any more."""


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the probe's process: the phase that begins, and at last what it found or what is wrong."""

    phase: Phase | None = None
    probed: Probed | None = None
    problems: tuple[tuple[str, str, str], ...] = ()


def probe(recipe: Recipe, *, folder: Path, cancelled: Callable[[], bool] = lambda: False) -> Probed:
    """Load the model, train three steps at the longest batch, evaluate and save, below the folder of runs `folder`.

    Out of memory is an answer. Raises InputError where the recipe or its rows would not do for a run, Cancelled soon
    after `cancelled` says so, and RunFailed where the process fails otherwise.
    """
    made = _make_folders(folder)
    try:
        paths = RunPaths(made[-1])
        write_atomically(paths.resolved_recipe, msgspec.json.encode(recipe_json(recipe)))
        return _run(paths, trainer_environment(recipe_json(recipe)), cancelled)
    finally:
        shutil.rmtree(made[-1], ignore_errors=True)
        for one in reversed(made[:-1]):
            with suppress(OSError):  # another run may have begun there
                one.rmdir()


def _make_folders(folder: Path) -> list[Path]:
    """A hidden folder beside the runs, after those that had to be made for it; what killed probes left is removed."""
    folder = folder.absolute()
    require_safe_folder(folder)
    for left in folder.glob(f"{PREFIX}*"):
        pid = left.name.removeprefix(PREFIX).partition("-")[0]
        if not (pid.isdecimal() and start_ticks(int(pid))):
            shutil.rmtree(left, ignore_errors=True)
    made = [one for one in reversed((folder, *folder.parents)) if not one.exists()]
    own = folder / f"{PREFIX}{os.getpid()}-{os.urandom(3).hex()}"
    try:
        private_folder(own)
    except OSError as error:
        what = f"no folder can be made there: {error.strerror}"
        raise InputError(Problem(what, str(folder), "name another one with --runs")) from error
    return [*made, own]


def _run(paths: RunPaths, environment: dict[str, str], cancelled: Callable[[], bool]) -> Probed:
    kills_before = oom_kills()
    last = Line()
    with TemporaryFile() as err:
        child = subprocess.Popen(
            [sys.executable, "-m", "finetui_core.train.probe", str(paths.root)],
            stdin=subprocess.PIPE,  # the child ends when this closes, however this process ends
            stdout=subprocess.PIPE,
            stderr=err,
            env=environment,
            process_group=0,
        )
        try:
            for line in _lines(child, cancelled):
                last = msgspec.structs.replace(line, phase=line.phase or last.phase)
            code = child.wait()
        finally:
            _end(child)
        err.seek(0)
        said = err.read().decode("utf-8", "replace").strip()
    if last.probed is not None:
        return last.probed
    if last.problems:
        raise InputError([Problem(*problem) for problem in last.problems])
    if code == -9 and oom_kills() > kills_before:
        return _killed(last.phase or "load")
    how = f"it was killed by {signal_name(-code)}" if code < 0 else f"exit code {code}"
    raise RunFailed(f"the probe failed: {said.splitlines()[-1] if said else how}")


def _lines(child: "subprocess.Popen[bytes]", cancelled: Callable[[], bool]) -> Any:
    assert child.stdout is not None
    descriptor, begun = child.stdout.fileno(), b""
    while True:
        if cancelled():
            raise Cancelled
        if not select.select([descriptor], [], [], _LOOK_EVERY)[0]:
            continue
        content = os.read(descriptor, 1 << 16)
        if not content:
            return
        *lines, begun = (begun + content).split(b"\n")
        for line in lines:
            yield msgspec.json.decode(line, type=Line)


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Closing its input lets the child remove what it wrote; a child that does not is killed."""
    assert child.stdin is not None and child.stdout is not None
    child.stdin.close()
    child.stdout.close()
    try:
        child.wait(_ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _killed(phase: Phase) -> Probed:
    """The kernel ended the process for want of memory: no more than the phase is known."""
    return Probed(
        memory=Memory("probe", {}, 0.0, "the process was killed"),
        device="",
        device_used=None,
        load_seconds=None,
        tokens=(),
        step_seconds=(),
        tokens_per_second=None,
        evaluation_seconds_per_row=None,
        save_seconds=None,
        save_bytes=None,
        save_failed="",
        out_of_memory=OutOfMemory(
            phase, None, "the kernel killed the process: the machine ran out of memory"
        ),
    )
