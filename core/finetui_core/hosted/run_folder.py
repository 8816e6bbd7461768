"""The run directory of a hosted job: an ordinary one, whose trainer is a process that follows the job."""

import sys
from pathlib import Path
from typing import Any

import msgspec
import tomlkit

from finetui_core import __version__
from finetui_core.hosted.record import HostedJob, read_record
from finetui_core.hosted.shapes import Job
from finetui_core.runs.paths import HOSTED, RunPaths, create_run, run_ids
from finetui_core.secrets import redacted_arguments

METHOD = "hosted"


def make_hosted_run(
    root: Path, name: str, record: HostedJob, job: Job, train: str, val: str | None
) -> RunPaths:
    """The directory of a new run for a job. `train` and `val` are the data sets here, "" where they are not known.

    Its recipe holds what is known of the job, and nothing that a trainer here would add. Raises OSError.
    """
    epochs = job.settings.n_epochs
    known: dict[str, dict[str, Any]] = {
        "model": {"name": record.model},
        "data": {"train": train, **({"val": val} if val else {})},
        "train": {"num_train_epochs": epochs} if isinstance(epochs, int | float) else {},
    }
    known = {table: options for table, options in known.items() if any(options.values())}
    text = f"# The job {record.job} at {record.base_url}. It is no recipe to train from: see ftui hosted import.\n"
    facts = {
        "versions": {"finetui": __version__, "python": sys.version.split()[0]},
        "argv": redacted_arguments(sys.argv),
        "model": record.model,
        "method": METHOD,
        "data_sha256": record.file_sha256 or None,
    }
    files = {HOSTED: msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"}
    return create_run(root, name, text + "\n" + tomlkit.dumps(known), known, facts, files)


def run_of_job(root: Path, job_id: str, base_url: str) -> RunPaths | None:
    """The newest run here that follows a job."""
    for run_id in reversed(run_ids(root)):
        paths = RunPaths(root / run_id)
        record = read_record(paths)
        if record is not None and (record.job, record.base_url) == (job_id, base_url):
            return paths
    return None
