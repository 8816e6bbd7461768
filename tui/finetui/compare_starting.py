"""Planning, starting and stopping a comparison: always a process of its own, which goes on without the screens."""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from finetui import launching
from finetui.compare_folder import is_comparing
from finetui.compare_list import BEFORE_RUNS, compare_folder
from finetui.data_child import follow
from finetui_core.errors import InputError, Problem, RunFailed
from finetui_core.evaluate.figures import ArmName, Plan, Working
from finetui_core.files import open_private, private_folder
from finetui_core.recipe.load import load_recipe
from finetui_core.runs.command import child_environment
from finetui_core.runs.paths import is_run
from finetui_core.runs.pidfd import hold, send

_LOOK_EVERY = 0.2  # seconds between two looks whether the screens have ended
_MOST_TOLD = 20_000  # bytes of the end of a log


class Where(msgspec.Struct, frozen=True):
    """The folder that the command says it will write into."""

    folder: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """What the command would do for `subject`, a run or a recipe; `fault` says why it would do nothing."""

    subject: Path
    documents: str
    plan: Plan | None
    folder: Path | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A planned comparison with the arms that were chosen."""

    planned: Planned
    arms: tuple[ArmName, ...]


def subject_path(text: str) -> Path:
    """The run or the recipe that was typed. Raises InputError where it is neither, or has faults."""
    missing, hint = "no run and no recipe is named", "type the folder of a run or the path of a recipe"
    path = launching.typed_path(text, missing, f"{hint}; tab completes it")
    if path.is_dir():
        if not is_run(path):
            raise InputError(Problem(f"{path.name} is no run", hint=hint))
    else:
        load_recipe(path)
    return path


def documents_path(text: str) -> str:
    """The folder of documents that was typed, "" for none. Raises InputError where it is no folder."""
    if not text.strip():
        return ""
    path = launching.typed_path(text)
    if not path.is_dir():
        raise InputError(Problem(f"{path.name} is no folder", hint="leave the line empty for none"))
    return str(path)


def plan(subject: Path, root: Path, documents: str, cancelled: Callable[[], bool]) -> Planned:
    """Ask the command what it would do; takes seconds. Never raises."""
    lines: list[bytes] = []
    command = [*launching.PROGRAM, *_arguments(subject, root, documents), "--plan", "--json"]
    ended = follow(command, lines.append, cancelled)
    answer = b"\n".join(lines)
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = msgspec.json.decode(answer, type=Plan)
        where = msgspec.json.decode(answer, type=Where).folder
        folder = Path(where) if where else None
        if folder is None and is_run(subject):
            folder = compare_folder(subject)
        return Planned(subject, documents, found, folder)
    said = ended.said or f"it ended with exit code {ended.code} and no plan"
    return Planned(subject, documents, None, None, said)


def _arguments(subject: Path, root: Path, documents: str) -> list[str]:
    given = ["--documents", documents] if documents else []
    return ["compare", str(subject), "--runs", str(root), *given]


def begin(wanted: Wanted, root: Path) -> "tuple[subprocess.Popen[bytes], Path]":
    """Start the comparison in a session of its own, and say where its log is. Raises RunFailed."""
    planned = wanted.planned
    folder = planned.folder or root / BEFORE_RUNS
    log = folder / "log.txt"
    arguments = _arguments(planned.subject, root, planned.documents)
    command = [*launching.PROGRAM, *arguments, "--arms", ",".join(wanted.arms)]
    try:
        private_folder(folder)
        file = open_private(log, os.O_WRONLY | os.O_APPEND)
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=child_environment(),
                start_new_session=True,
            )
        finally:
            os.close(file)
    except OSError as error:
        raise RunFailed(f"the comparison cannot be started: {error.strerror}") from error
    return child, log


def wait(child: "subprocess.Popen[bytes]", cancelled: Callable[[], bool]) -> int | None:
    """The exit code, or None once `cancelled` says that nobody waits any more; the process goes on then."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            return child.wait(_LOOK_EVERY)
        if cancelled():
            return None


def end_of(log: Path) -> str:
    """The last lines of a log; "" where it cannot be read."""
    with suppress(OSError):
        content = log.read_bytes()[-_MOST_TOLD:]
        return content.decode("utf-8", "replace").strip()
    return ""


def stop(working: Working) -> None:
    """Ask the process to keep what it has and end. Raises RunFailed where it is no longer there."""
    try:
        with hold(working.pid, lambda pid: is_comparing(working)) as process:
            if process is None or not send(process, signal.SIGTERM):
                raise RunFailed("its process is not on this machine, or is gone")
    except OSError as error:
        raise RunFailed(f"its process cannot be stopped: {error.strerror}") from error


def arms_of(names: Sequence[ArmName], left_out: frozenset[ArmName]) -> tuple[ArmName, ...]:
    """The arms that are in, in the order of the plan; the first always is, for the others are measured by it."""
    return tuple(name for place, name in enumerate(names) if not place or name not in left_out)
