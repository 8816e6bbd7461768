"""Where everything of a run lies, and how a run is made and found."""

import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from finetui_core.errors import InputError, Problem
from finetui_core.files import fsync_folder, private_folder, write_atomically
from finetui_core.runs.foreign_kinds import kind_of

SCHEMA = 1
FOLDERS = (
    "attempts",
    "metrics",
    "system",
    "samples",
    "log",
    "control",
    "control/done",
    "checkpoints",
    "report",
)
ARCHIVE, TRASH = ".archive", ".trash"
"""The folders inside the folder of runs to which runs are put away."""
QUEUED, LABELS, RATE_RANGE, HOSTED = "queued.json", "labels.json", "rate_range.json", "hosted.json"
_MOST_CANDIDATES = 10
_STEP_NAME = re.compile(r"step-(\d+)$")


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The paths inside one run directory. Numbers of attempts count from 1, steps are optimizer steps."""

    root: Path

    @property
    def id(self) -> str:
        return self.root.name

    @property
    def identity(self) -> Path:
        return self.root / "run.json"

    @property
    def recipe(self) -> Path:
        return self.root / "recipe.toml"

    @property
    def resolved_recipe(self) -> Path:
        return self.root / "recipe.resolved.json"

    @property
    def events(self) -> Path:
        return self.root / "events.jsonl"

    @property
    def trouble(self) -> Path:
        """What the supervisor found amiss with the machine: alarms, beside those of the trainer."""
        return self.root / "trouble.jsonl"

    @property
    def heartbeat(self) -> Path:
        return self.root / "heartbeat.json"

    @property
    def lock(self) -> Path:
        return self.root / "run.lock"

    @property
    def attempts(self) -> Path:
        return self.root / "attempts"

    @property
    def samples(self) -> Path:
        return self.root / "samples"

    @property
    def evaluations(self) -> Path:
        """What each evaluation measured, and what the base expected of the texts that show forgetting."""
        return self.root / "evaluations"

    @property
    def replay(self) -> Path:
        """The text that the base wrote to be replayed, as token ids."""
        return self.root / "replay.safetensors"

    @property
    def control(self) -> Path:
        return self.root / "control"

    @property
    def control_done(self) -> Path:
        return self.root / "control" / "done"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def best(self) -> Path:
        return self.root / "best"

    @property
    def latest(self) -> Path:
        return self.root / "latest"

    @property
    def report(self) -> Path:
        return self.root / "report"

    @property
    def labels(self) -> Path:
        return self.root / LABELS

    @property
    def queued(self) -> Path:
        return self.root / QUEUED

    @property
    def job(self) -> Path:
        """The script of the run's job, where it was given to Slurm."""
        return self.root / "job.sbatch"

    @property
    def hosted(self) -> Path:
        """Only of a run that follows a job of a hosted platform: which job, and where."""
        return self.root / HOSTED

    @property
    def rate_range(self) -> Path:
        return self.root / RATE_RANGE

    @property
    def supervisor_log(self) -> Path:
        return self.root / "log" / "supervisor.txt"

    def attempt(self, number: int) -> Path:
        return self.attempts / f"{number:04d}.json"

    def node_attempt(self, number: int, node: int) -> Path:
        """The attempt as another host than the first takes part in it; `node` counts these from 1."""
        return self.attempts / f"{number:04d}.node-{node}.json"

    def node_end(self, number: int, node: int) -> Path:
        return self.attempts / f"{number:04d}.node-{node}.end.json"

    def node_lock(self, node: int) -> Path:
        return self.root / f"run.node-{node}.lock"

    def node_log(self, node: int) -> Path:
        """What the supervisor of another host says."""
        return self.root / "log" / f"node-{node}.txt"

    def metrics(self, number: int) -> Path:
        return self.root / "metrics" / f"{number:04d}.jsonl"

    def system(self, number: int, node: int = 0) -> Path:
        return self.root / "system" / f"{number:04d}{_of_node(node)}.jsonl"

    def log(self, number: int, node: int = 0) -> Path:
        return self.root / "log" / f"{number:04d}{_of_node(node)}.txt"

    def sample_file(self, step: int) -> Path:
        return self.samples / f"{step_name(step)}.jsonl"

    def evaluation(self, step: int) -> Path:
        return self.evaluations / f"{step_name(step)}.json"

    def base_of_text(self, name: str) -> Path:
        return self.evaluations / f"base_{name}.safetensors"

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / step_name(step)

    def attempt_numbers(self) -> list[int]:
        """The numbers of the attempts on disk, ascending."""
        try:
            files = list(self.attempts.iterdir())
        except OSError:
            return []
        return sorted(int(path.stem) for path in files if path.suffix == ".json" and path.stem.isdecimal())


def _of_node(node: int) -> str:
    return f".node-{node}" if node else ""


def step_name(step: int) -> str:
    """The name of everything that belongs to one step, `step-000123`; names sort as steps do."""
    return f"step-{step:06d}"


def step_of(checkpoint: str) -> int | None:
    """The step in the path of a checkpoint, `.../step-000123` -> 123, or None where it names none."""
    found = _STEP_NAME.search(checkpoint.rstrip("/"))
    return int(found[1]) if found else None


def runs_root() -> Path:
    """The folder of all runs: $FTUI_RUNS, or `runs` in the current folder."""
    return Path(os.environ.get("FTUI_RUNS") or "runs").absolute()


def create_run(
    root: Path,
    name: str,
    recipe_toml: str,
    resolved: Mapping[str, Any],
    identity: Mapping[str, Any],
    files: Mapping[str, bytes] = MappingProxyType({}),
) -> RunPaths:
    """Make the directory of a new run under `root`, whole or not at all, and return its paths.

    `resolved` becomes recipe.resolved.json. `identity` adds to run.json what only the caller knows:
    versions, argv, data_sha256, model and method. `files` are further ones, by name, such as queued.json.
    Raises OSError.
    """
    created = time.time()
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(created))
    run_id = f"{stamp}-{slug(name)}-{secrets.token_hex(3)}"
    private_folder(root)
    unfinished = RunPaths(root / f".{run_id}")
    facts = {
        **identity,
        "schema": SCHEMA,
        "id": run_id,
        "name": name,
        "created": created,
        "recipe_sha256": hashlib.sha256(recipe_toml.encode()).hexdigest(),
    }
    try:
        for folder in ("", *FOLDERS):
            (unfinished.root / folder).mkdir(mode=0o700)
        write_atomically(unfinished.recipe, recipe_toml.encode())
        write_atomically(unfinished.resolved_recipe, _readable_json(resolved))
        write_atomically(unfinished.identity, _readable_json(facts))
        for file, content in files.items():
            write_atomically(unfinished.root / file, content)
        finished = unfinished.root.rename(root / run_id)
    except BaseException:
        shutil.rmtree(unfinished.root, ignore_errors=True)
        raise
    fsync_folder(root)
    return RunPaths(finished)


def run_ids(root: Path) -> list[str]:
    """The names of all run folders under `root`, oldest first."""
    try:
        with os.scandir(root) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        what = f"the folder of runs cannot be read: {error.strerror}"
        raise InputError(Problem(what, str(root), "name another one with --runs")) from error
    return sorted(names)


def find_run(root: Path, wanted: str) -> RunPaths:
    """Find a run by path, by id, by "latest", or by a prefix, suffix or part of its id that only it has.

    It may be a folder of another trainer. Raises InputError, which lists the candidates, when none or several
    fit.
    """
    path = Path(wanted).expanduser()
    if wanted and is_run(path):
        return RunPaths(path.absolute())
    ids = [run_id for run_id in run_ids(root) if is_run(root / run_id)]
    if not ids:
        raise InputError(Problem("there are no runs yet", str(root), "start one with: ftui train RECIPE"))
    if wanted == "latest":
        return RunPaths(root / _latest(root, ids))
    fitting = _fitting(ids, wanted)
    if len(fitting) == 1:
        return RunPaths(root / fitting[0])
    if fitting:
        what = f"{len(fitting)} runs fit {wanted!r}: {_listed(fitting)}"
        raise InputError(Problem(what, str(root), "give more of the id"))
    raise InputError(Problem(f"no run fits {wanted!r}", str(root), f"the newest are: {_listed(ids)}"))


def is_run(path: Path) -> bool:
    """Whether the folder holds a run, ours or another trainer's."""
    try:
        return (path / "run.json").is_file() or kind_of(path) is not None
    except (OSError, ValueError):  # a name that no file can have
        return False


def _latest(root: Path, ids: list[str]) -> str:
    """The newest of our runs by its id; where there are only others, the one that was written last."""
    ours = [run_id for run_id in ids if (root / run_id / "run.json").is_file()]
    return ours[-1] if ours else max(ids, key=lambda name: (root / name).stat().st_mtime)


def _fitting(ids: list[str], wanted: str) -> list[str]:
    if not wanted:
        return []
    if wanted in ids:
        return [wanted]
    for fits in (str.startswith, str.endswith, str.__contains__):
        fitting = [run_id for run_id in ids if fits(run_id, wanted)]
        if fitting:
            return fitting
    return []


def _listed(ids: list[str]) -> str:
    newest = ids[: -_MOST_CANDIDATES - 1 : -1]
    more = f" and {len(ids) - len(newest)} more" if len(ids) > len(newest) else ""
    return ", ".join(newest) + more


def slug(name: str) -> str:
    """`name` as part of a file name: small letters, digits and hyphens, at most 40 of them."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].rstrip("-") or "run"


def _readable_json(value: Mapping[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
