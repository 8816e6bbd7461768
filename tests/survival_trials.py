"""Attacks on the interfaces of a run: whatever happens to them, the run goes on and ends as if nothing had.

The trainer is the real one, with a tiny model, started by the real `ftui train` or studio through the real
supervisor. A run is begun by an interface that is attacked, then its viewers are attacked one after the other until
it ends; its losses and weights must be bitwise those of a calm run.
"""

import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from safetensors.numpy import load_file

from finetui_core.cli.train import make_run
from finetui_core.recipe.overrides import apply_overrides
from finetui_core.runs.paths import RunPaths, run_ids
from finetui_core.runs.process import start_ticks
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import Attempt, decode_line, read_small
from terminal import Terminal, run_on_terminal
from tmux import Tmux
from training import curve, train_here

WITHIN = 120.0  # seconds for anything that must come
LONGEST = 3600.0  # seconds for a whole run
ROWS, COLUMNS = 30, 100
CLEAR = "\x15"  # ctrl+u, which takes the proposed path away
FULL_SECONDS = 0.3  # of work by the trainer while the disk is full
BEFORE_THE_END = 2 / 3  # of its steps: a disk that is full when the last checkpoint is due is another subject


@dataclass(frozen=True, slots=True)
class Trial:
    """One attack: what was attacked and how; `fault` is why the run did not survive it, or ""."""

    attacked: str
    attack: str
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the trials happen: a project whose runs are all of `steps` steps, and what fills its disk."""

    folder: Path
    steps: int
    fill: Callable[[int], "Iterator[None]"]

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def overrides(self) -> list[str]:
        return [f"train.max_steps={self.steps}", "save.steps=50", "eval.steps=50"]

    @property
    def options(self) -> list[str]:
        sets = [part for override in self.overrides for part in ("--set", override)]
        return ["--runs", str(self.runs), *sets]


def calm_run(place: Place) -> RunPaths:
    """The run that nobody disturbs, in this process."""
    paths = make_run(place.folder / "recipe.toml", place.overrides, "calm", place.runs)
    assert train_here(paths) == 0
    return paths


def named(place: Place, name: str) -> RunPaths:
    (found,) = [one for one in run_ids(place.runs) if one.split("-")[1] == name]
    return RunPaths(place.runs / found)


def eventually(condition: Callable[[], object], what: str, within: float | None = None) -> None:
    within = WITHIN if within is None else within
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within:.0f} s")
        time.sleep(0.01)


def attempt_of(paths: RunPaths) -> Attempt | None:
    numbers = paths.attempt_numbers()
    return read_small(paths.attempt(numbers[-1]), Attempt) if numbers else None


def last_step(paths: RunPaths) -> int:
    """The newest step in the metrics of the first attempt, from the end of the file."""
    try:
        with paths.metrics(1).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return 0
    found = decode_line(lines[-1]) if lines else None
    return int(found["step"]) if found else 0


def has_ended(paths: RunPaths) -> bool:
    attempt = attempt_of(paths)
    return attempt is not None and attempt.end is not None


def advances(paths: RunPaths, pid: int) -> str:
    """Wait until two more steps are recorded, or the run has ended; the fault where neither comes."""
    before = last_step(paths)
    try:
        eventually(lambda: last_step(paths) >= before + 2 or has_ended(paths), "two more steps")
    except AssertionError as error:
        return str(error)
    attempt = attempt_of(paths)
    if attempt is None or attempt.pid != pid or paths.attempt_numbers() != [1]:
        return "another trainer has taken its place"
    if attempt.end is not None and attempt.end.exit_code != 0:
        return f"it ended: {attempt.end.reason}"
    return ""


def hang_up(terminal: Terminal, chance: random.Random) -> None:
    """The terminal is closed, as by a lost connection: its session gets SIGHUP."""
    os.close(terminal.descriptor)
    terminal.descriptor = os.open(os.devnull, os.O_RDWR)
    eventually(terminal.ended, "the interface ends after a hang-up")


def kill(terminal: Terminal, chance: random.Random) -> None:
    os.kill(terminal.pid, signal.SIGKILL)
    eventually(terminal.ended, "the interface ends after SIGKILL")


def stop(terminal: Terminal, chance: random.Random) -> None:
    """Stopped, and nobody reads what it has written; then killed as it is."""
    os.kill(terminal.pid, signal.SIGSTOP)
    time.sleep(0.3 + 0.7 * chance.random())  # the attack itself lasts that long
    kill(terminal, chance)


def leave_unread(terminal: Terminal, chance: random.Random) -> None:
    """It lives and writes, but nobody reads, as over a connection that hangs; then it is killed."""
    for rows in range(20, 40):
        terminal.resize(rows, 100 + rows)
        os.kill(terminal.pid, signal.SIGWINCH)
    time.sleep(0.3 + 0.7 * chance.random())
    kill(terminal, chance)


ATTACKS = {"hang-up": hang_up, "SIGKILL": kill, "SIGSTOP, unread": stop, "output unread": leave_unread}
TMUX = "tmux kill-server"
DISK = "disk full"


def viewers(paths: RunPaths) -> dict[str, list[str]]:
    """What shows a run, as arguments of Python."""
    root = str(paths.root.parent)
    return {
        "watch": ["-m", "finetui", "watch", paths.id, "--runs", root],
        "watch --plain": ["-m", "finetui", "watch", paths.id, "--runs", root, "--plain", "--every", "0"],
        "studio": ["-m", "finetui", "--runs", root],
        "studio at the run": ["-m", "finetui", str(paths.root)],
    }


def attack_viewer(paths: RunPaths, viewer: str, attack: str, chance: random.Random) -> Trial:
    """Open a viewer, attack it at some moment from its first sign of life on, and see that the run advances."""
    attempt = attempt_of(paths)
    assert attempt is not None
    with run_on_terminal(viewers(paths)[viewer], rows=ROWS, columns=COLUMNS) as terminal:
        eventually(lambda: terminal.read(0.05) or terminal.ended(), f"{viewer} shows something")
        wait_reading(terminal, chance.random() * 0.5)
        if not terminal.ended():  # the run, and with it its viewer, may have
            ATTACKS[attack](terminal, chance)
    return Trial(viewer, attack, advances(paths, attempt.pid))


def wait_reading(terminal: Terminal, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not terminal.ended():
        terminal.read(0.02)


@contextmanager
def in_tmux(arguments: list[str]) -> Iterator[Tmux]:
    """A server of tmux of its own with Python in its window."""
    tmux = Tmux(f"survival-{os.getpid()}-{time.monotonic_ns()}")
    given = {"PYTHONPATH": os.environ.get("PYTHONPATH", ""), "HF_HUB_OFFLINE": "1"}
    tmux.start("w", COLUMNS, ROWS, given)
    try:
        tmux.type("w", " ".join([sys.executable, *arguments]))
        yield tmux
    finally:
        tmux.kill()


def attack_tmux(paths: RunPaths, viewer: str, chance: random.Random) -> Trial:
    attempt = attempt_of(paths)
    assert attempt is not None
    with in_tmux(viewers(paths)[viewer]) as tmux:
        time.sleep(0.2 + chance.random())  # at any moment of the viewer's start and life
    try:
        eventually(lambda: not any(within(tmux)), "the viewer ends with its terminal")
    except AssertionError as error:
        return Trial(viewer, TMUX, str(error))
    return Trial(viewer, TMUX, advances(paths, attempt.pid))


def within(tmux: Tmux) -> Iterator[psutil.Process]:
    """What lives and was started in a window of the server."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if f"/{tmux.socket}," in process.environ().get("TMUX", ""):
                yield process


def attack_disk(place: Place, paths: RunPaths) -> Trial:
    """The disk of the run is full while the trainer works on; then there is room again."""
    attempt = attempt_of(paths)
    assert attempt is not None
    try:
        with contextmanager(place.fill)(attempt.pid):
            process = psutil.Process(attempt.pid)
            until = sum(process.cpu_times()[:2]) + FULL_SECONDS
            eventually(lambda: sum(process.cpu_times()[:2]) >= until, "the trainer works on a full disk")
    except (psutil.Error, AssertionError) as error:
        return Trial("run directory", DISK, f"it did not outlive it: {error}")
    return Trial("run directory", DISK, advances(paths, attempt.pid))


def limit_files(pid: int) -> Iterator[None]:
    """No file of the process may grow: each write fails, with "file too large" in the place of "no space"."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def fill_disk(folder: Path) -> Callable[[int], Iterator[None]]:
    """Fill the file system of `folder` to its last byte, for a while."""

    def fill(pid: int) -> Iterator[None]:
        ballast = folder / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file:
                try:
                    os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(folder).free)
                    file.seek(0, os.SEEK_END)
                    while file.write(b"\0"):
                        pass
                except OSError:
                    pass
            yield
        finally:
            ballast.unlink(missing_ok=True)

    return fill


@contextmanager
def stopped_viewer(paths: RunPaths) -> Iterator[Trial]:
    """A viewer that is stopped for the whole life of the run, and whose output nobody reads."""
    with run_on_terminal(viewers(paths)["watch --plain"], rows=ROWS, columns=COLUMNS) as terminal:
        eventually(lambda: terminal.read(0.05) or terminal.ended(), "watch --plain shows something")
        if not terminal.ended():
            os.kill(terminal.pid, signal.SIGSTOP)
        yield Trial("watch --plain", "SIGSTOP to the end")


def start_by_train(place: Place, name: str, attack: str, chance: random.Random) -> tuple[RunPaths, Trial]:
    """`ftui train` that stays with its run, attacked at some moment between the launch and its first steps."""
    arguments = ["-m", "finetui", "train", str(place.folder / "recipe.toml"), "--name", name, *place.options]
    if attack == TMUX:
        with in_tmux(arguments):
            paths = _launched(place, name)
            time.sleep(chance.random() * 3)
        return paths, Trial("train", TMUX)
    with run_on_terminal(arguments, rows=ROWS, columns=COLUMNS) as terminal:
        paths = _launched(place, name, terminal)
        wait_reading(terminal, chance.random() * 3)
        ATTACKS[attack](terminal, chance)
    return paths, Trial("train", attack)


def _launched(place: Place, name: str, terminal: Terminal | None = None) -> RunPaths:
    """The run, once its trainer has been started; the terminal is read meanwhile."""

    def launched() -> bool:
        if terminal is not None:
            terminal.read(0.02)
        found = [one for one in _ids(place) if one.split("-")[1] == name]
        attempt = attempt_of(RunPaths(place.runs / found[0])) if found else None
        return attempt is not None and attempt.pid > 0

    eventually(launched, f"{name} is launched")
    return named(place, name)


def _ids(place: Place) -> list[str]:
    return run_ids(place.runs) if place.runs.exists() else []


def start_by_studio(place: Place, name: str, attack: str, chance: random.Random) -> tuple[RunPaths, Trial]:
    """The studio is attacked while the command that it started for a run is still at work."""
    recipe = place.folder / f"{name}.toml"
    recipe.write_text(apply_overrides((place.folder / "recipe.toml").read_text(), place.overrides))
    with run_on_terminal(
        ["-m", "finetui", "--runs", str(place.runs)], rows=ROWS, columns=COLUMNS
    ) as terminal:
        terminal.settle()
        terminal.press("s")
        terminal.wait_for("Recipe of the new run")
        terminal.press(CLEAR)
        terminal.settle()
        terminal.press(str(recipe))
        terminal.wait_for(recipe.name)
        terminal.press("enter")
        eventually(
            lambda: terminal.read(0.02) is not None and _starts_a_run(terminal), "the studio starts a run"
        )
        wait_reading(terminal, chance.random())
        ATTACKS[attack](terminal, chance)
    return _launched(place, name), Trial("studio that starts a run", attack)


def _starts_a_run(terminal: Terminal) -> bool:
    for child in psutil.Process(terminal.pid).children(recursive=True):
        try:
            if "train" in child.cmdline():
                return True
        except psutil.Error:
            continue
    return False


STARTS = [
    (start_by_train, "hang-up"),
    (start_by_studio, "SIGKILL"),
    (start_by_train, TMUX),
    (start_by_studio, "hang-up"),
    *((start_by_train, attack) for attack in ("SIGKILL", "SIGSTOP, unread", "output unread")),
]


def attack_one(place: Place, paths: RunPaths, kind: int, chance: random.Random) -> Trial:
    """One attack on a run that trains; kinds take turns, so that each has its share."""
    kinds = ["hang-up", TMUX, DISK, "SIGSTOP, unread", "SIGKILL", "output unread"]
    attack = kinds[kind % len(kinds)]
    if attack == DISK and 0 < last_step(paths) < BEFORE_THE_END * place.steps:
        return attack_disk(place, paths)
    viewer = chance.choice(list(viewers(paths)))
    if attack == TMUX:
        return attack_tmux(paths, viewer, chance)
    return attack_viewer(paths, viewer, attack if attack in ATTACKS else "SIGKILL", chance)


def fault_of(paths: RunPaths, calm: RunPaths, step: int) -> str:
    """Why a run that has ended is not as the calm one; "" where it is, to the last bit."""
    view = RunView(paths)
    view.refresh()
    if view.state.state != "finished":
        return f"it is {view.state.state}: {view.state.reason}"
    if curve(paths) != curve(calm):
        return "its losses are not those of the calm run"
    ours, theirs = (load_file(run.checkpoint(step) / "adapter_model.safetensors") for run in (paths, calm))
    same = ours.keys() == theirs.keys() and all(
        ours[name].tobytes() == theirs[name].tobytes() for name in ours
    )
    return "" if same else "its weights are not those of the calm run"


def survive(place: Place, count: int, seed: int) -> list[Trial]:
    """`count` trials, as many runs as they need; a fault of a run at its end is that of all its trials."""
    calm = calm_run(place)
    try:
        return _survive(place, calm, count, random.Random(seed))
    finally:
        _end_leftovers(place)


def _survive(place: Place, calm: RunPaths, count: int, chance: random.Random) -> list[Trial]:
    trials: list[Trial] = []
    number = 0
    while len(trials) < count:
        begin, attack = STARTS[number % len(STARTS)]
        paths, trial = begin(place, f"r{number}", attack, chance)
        with stopped_viewer(paths) as stopped:
            own = [trial, stopped]
            while not has_ended(paths) and len(trials) + len(own) < count:
                own.append(attack_one(place, paths, len(trials) + len(own), chance))
            eventually(lambda paths=paths: has_ended(paths), "the run ends", LONGEST)  # type: ignore[misc]
        fault = fault_of(paths, calm, place.steps)
        trials += [trial if trial.fault else Trial(trial.attacked, trial.attack, fault) for trial in own]
        shutil.rmtree(paths.root)
        number += 1
    return trials


def _end_leftovers(place: Place) -> None:
    """A run that still trains when a trial has failed must not train on for ever."""
    for name in _ids(place):
        attempt = attempt_of(RunPaths(place.runs / name))
        if attempt is not None and attempt.end is None:
            for pid, ticks in (
                (attempt.supervisor_pid, attempt.supervisor_start_ticks),
                (attempt.pid, attempt.start_ticks),
            ):
                if start_ticks(pid) == ticks:
                    os.kill(pid, signal.SIGKILL)
