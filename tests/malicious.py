"""Hostile inputs made by script, the commands that meet them, and what counts as contained.

Each fixture changes a copy of a small sound project. Whatever it holds, the command ends by itself with its
documented exit code and no traceback; no code of the fixture has run (a canary file), nothing outside the project was
read into anything that is left (a secret beside it), and no control character reached the terminal.
"""

import ctypes
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

SECRET = "SECRET-9f2c1e7a"
CANARY = "canary"
SECONDS, MEMORY = 3.0, 1 << 30
"""What a fixture may take more than the same command on the sound project."""
TIMEOUT = 120.0  # seconds after which a command is killed
_SAMPLED_EVERY = 0.01  # seconds
_PR_SET_CHILD_SUBREAPER = 36

CHECK = ("data", "check", "--recipe", "recipe.toml", "--no-cache", "--workers", "1")
TRAIN = ("train", "recipe.toml", "--set", "train.max_steps=1", "--set", "eval.samples=0", "--runs", "runs")
STATUS = ("status", "runs/run")
RESUME = ("resume", "runs/run", "--runs", "runs")


@dataclass(frozen=True, slots=True)
class Fixture:
    """What is made in a copy of the project, the command that meets it, and how it must end.

    `says` is part of what the command tells where it refuses; "" where the input is harmless to it.
    """

    kind: str
    name: str
    make: Callable[[Path], object]
    command: tuple[str, ...]
    says: str = ""
    codes: tuple[int, ...] = (2,)


@dataclass(slots=True)
class Outcome:
    """How a command ended. `processor` seconds and `memory` in bytes are over all processes that it started."""

    code: int
    said: str
    seconds: float
    processor: float
    memory: int
    faults: list[str] = field(default_factory=list)


def data_check(name: str) -> tuple[str, ...]:
    return ("data", "check", name, "--no-cache", "--workers", "1")


def make_project(folder: Path) -> Path:
    """A small sound project, with a secret beside it and a home folder that has a key."""
    from training import RECIPE, write_rows

    project = folder / "project"
    shutil.copytree(Path(__file__).parents[1] / "sample_data" / "tiny-llama", project / "model")
    write_rows(project / "train.jsonl", 12)
    (project / "recipe.toml").write_text(RECIPE)
    (folder / "outside").mkdir()
    (folder / "outside" / "secret.txt").write_text(f"{SECRET}\n" * 3)
    (folder / "home" / ".ssh").mkdir(parents=True)
    (folder / "home" / ".ssh" / "id_ed25519").write_text(f"{SECRET}\n" * 3)
    return project


@contextmanager
def copied(made: Path, to: Path) -> Iterator[Path]:
    """A copy of all that `make_project` made in `made`, removed afterwards; the path of its project."""
    shutil.copytree(made, to, symlinks=True)
    try:
        yield to / "project"
    finally:
        shutil.rmtree(to, ignore_errors=True)


def environment(project: Path) -> dict[str, str]:
    """That of the commands: a home of their own, and no network."""
    home = project.parent / "home"
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("XDG_")},
        "HOME": str(home),
        "CANARY": str(project.parent / CANARY),
        "HF_HUB_OFFLINE": "1",
        "HF_MODULES_CACHE": str(home / "modules"),
        "OMP_NUM_THREADS": "1",
    }


def faults_of(project: Path, outcome: Outcome, fixture: Fixture) -> list[str]:
    """Why it was not contained; nothing where it was. Time and memory are for the caller to compare."""
    faults = []
    if outcome.code not in fixture.codes:
        faults.append(f"exit code {outcome.code}")
    if fixture.says not in outcome.said:
        faults.append(f"did not say {fixture.says!r}")
    texts = [outcome.said, *_left_behind(project)]
    faults += (
        ["a traceback"] if any("Traceback (most" in text or "ftui failed" in text for text in texts) else []
    )
    faults += ["its code ran"] if (project.parent / CANARY).exists() else []
    faults += ["a secret got out"] if any(SECRET in text for text in texts) else []
    odd = {character for character in outcome.said if ord(character) < 32 and character not in "\n\t\r"}
    faults += [f"control characters {sorted(odd)}"] if odd or "\x9b" in outcome.said else []
    return faults


def _left_behind(project: Path) -> Iterator[str]:
    """The text of whatever runs left."""
    for path in (project / "runs").rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 10_000_000:
            yield path.read_text(errors="replace")


def run_command(project: Path, command: tuple[str, ...]) -> Outcome:
    """Run it as a user does, in a process of its own, and measure the whole tree of processes.

    Memory is the largest sum of resident memory over all living descendants, looked at every 10 ms, or the highest
    peak that the kernel counted of any one of them (VmHWM), whichever is more.
    """
    _adopt_orphans()
    before = {one.pid for one in psutil.Process().children(recursive=True)}
    began = time.monotonic()
    out = project.parent / "said.txt"
    with out.open("wb") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "finetui_core.cli.main", *command],
            cwd=project,
            env=environment(project),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        ended = threading.Event()
        peak = [0]
        sampler = threading.Thread(target=_sample, args=(peak, ended, before), daemon=True)
        sampler.start()
        code, usage = _wait(child.pid)
        seconds = time.monotonic() - began
        ended.set()
        sampler.join()
        usages = [usage, *_end_others(before)]
    return Outcome(
        code,
        out.read_text(errors="replace"),
        seconds,
        sum(one.ru_utime + one.ru_stime for one in usages),
        peak[0],
    )


def in_a_fork(work: Callable[[], object]) -> None:
    """Do something that imports large libraries in a process of its own, so that this one stays small."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def _wait(pid: int) -> tuple[int, resource.struct_rusage]:
    """Exit code and use of a child, with that of all that it waited for; it is killed after TIMEOUT."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), usage
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            deadline = float("inf")
        time.sleep(_SAMPLED_EVERY)


def _sample(peak: list[int], ended: threading.Event, before: set[int]) -> None:
    while not ended.wait(_SAMPLED_EVERY):
        sizes = [_sizes(process.pid) for process in _others(before)]
        peak[0] = max(peak[0], sum(now for now, _ in sizes), *(most for _, most in sizes), 0)


def _sizes(pid: int) -> tuple[int, int]:
    """Bytes that a process holds, and the most that it held since its program began; 0 of one that has ended.

    Its ru_maxrss would not do: that begins with what the process held that started it.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0, 0
    found = {
        line.split(":")[0]: int(line.split()[1]) << 10
        for line in lines
        if line.startswith(("VmRSS", "VmHWM"))
    }
    return found.get("VmRSS", 0), found.get("VmHWM", 0)


def _adopt_orphans() -> None:
    """What a command leaves running becomes a child of this process, so that it is seen and ended."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _others(before: set[int]) -> list[psutil.Process]:
    """The processes below this one that were not there `before`."""
    return [one for one in psutil.Process().children(recursive=True) if one.pid not in before]


def _end_others(before: set[int]) -> list[resource.struct_rusage]:
    """End what the command left, and the use of each."""
    usages = []
    for _ in range(100):
        others = _others(before)
        if not others:
            break
        for other in others:
            with suppress(psutil.Error):
                other.kill()
            with suppress(ChildProcessError):
                done, _, usage = os.wait4(other.pid, os.WNOHANG)
                if done:
                    usages.append(usage)
        time.sleep(_SAMPLED_EVERY)
    return usages


def all_fixtures() -> list[Fixture]:
    from malicious_data import DATA
    from malicious_models import MODELS
    from malicious_others import IMPORTS, RECIPES, RUNS, TEMPLATES

    return [*MODELS, *TEMPLATES, *DATA, *RECIPES, *IMPORTS, *RUNS]


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def option(project: Path, table: str, line: str) -> None:
    """Add a line to a table of the project's recipe."""
    recipe = project / "recipe.toml"
    recipe.write_text(recipe.read_text().replace(f"[{table}]", f"[{table}]\n{line}", 1))


def hollow(path: Path, size: int, start: bytes = b"") -> None:
    """A file of so many bytes that takes no room: all after `start` is a hole."""
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)
