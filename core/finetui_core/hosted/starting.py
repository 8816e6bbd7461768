"""From a data set to a job at a provider: the file is sent once, the job made once, whatever happens to the line."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetui_core.data.chat_limits import ChatFile, write_chat_file
from finetui_core.hosted import calls
from finetui_core.hosted.client import Client
from finetui_core.hosted.faults import IN_DOUBT, ProviderFault
from finetui_core.hosted.persisting import Clock, persist
from finetui_core.hosted.shapes import File, Job
from finetui_core.runs.paths import slug

MARK = "ftui_start"
"""The key of a job's metadata by which a start finds its own job again."""
_LOOKED_AT = 20
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file as it is sent. `name` holds the hash, by which it is found again at the provider."""

    path: Path
    name: str
    size: int
    sha256: str
    rows: int


def prepare(source: str, folder: Path) -> Prepared:
    """Write a data set as the provider takes it into `folder`, for this user alone."""
    path = folder / f"{os.urandom(4).hex()}.jsonl"
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w+b") as file:
        found: ChatFile = write_chat_file(source, file)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    name = f"ftui-{digest[:16]}-{slug(Path(source).stem)}.jsonl"
    return Prepared(path, name, path.stat().st_size, digest, found.rows)


def send_file(
    client: Client, prepared: Prepared, tell: Tell, on_sent: Callable[[int], None], clock: Clock
) -> tuple[File, bool]:
    """The file at the provider, and whether it was there already. Raises ProviderFault.

    After each fault it is looked for before it is sent again: the answer may have been lost, not the file.
    """
    was_there = True

    def once() -> File:
        nonlocal was_there
        found = calls.find_file(client, prepared.name, prepared.size)
        if found is not None:
            return found
        was_there = False
        return calls.upload(client, prepared.path, prepared.name, on_sent)

    return persist(once, tell, clock), was_there


def create_job(client: Client, wanted: dict[str, Any], tell: Tell, clock: Clock) -> Job:
    """Make the job, once: where an answer is lost, the job is looked for before it is made again.

    Raises ProviderFault; where the job could neither be made nor looked for, its text says so.
    """
    mark = os.urandom(8).hex()
    wanted = {**wanted, "metadata": {**wanted.get("metadata", {}), MARK: mark}}
    doubtful = False

    def once() -> Job:
        nonlocal doubtful
        if doubtful:
            for job in calls.newest_jobs(client, _LOOKED_AT):
                if (job.metadata or {}).get(MARK) == mark:
                    return job
        try:
            return calls.create_job(client, wanted)
        except ProviderFault as fault:
            doubtful = doubtful or fault.kind in IN_DOUBT
            raise

    try:
        return persist(once, tell, clock)
    except ProviderFault as fault:
        if not doubtful:
            raise
        what = (
            f"{fault}; whether the job was made is not known: see ftui hosted list before you start it again"
        )
        raise ProviderFault(fault.kind, what) from fault


def job_settings(
    *,
    model: str,
    training_file: str,
    validation_file: str | None,
    epochs: int | None,
    batch_size: int | None,
    learning_rate_multiplier: float | None,
    seed: int | None,
    suffix: str | None,
) -> dict[str, Any]:
    """The request for a job; what is None is the provider's to choose."""
    chosen = {
        "n_epochs": epochs,
        "batch_size": batch_size,
        "learning_rate_multiplier": learning_rate_multiplier,
    }
    hyperparameters = {name: value for name, value in chosen.items() if value is not None}
    method: dict[str, Any] = {"type": "supervised"}
    if hyperparameters:
        method["supervised"] = {"hyperparameters": hyperparameters}
    others = {"validation_file": validation_file, "seed": seed, "suffix": suffix}
    given = {name: value for name, value in others.items() if value is not None}
    return {"model": model, "training_file": training_file, "method": method, **given}
