"""A run as a job of Slurm: its options, its script, and handing it over.

The script holds nothing that a shell could take for a command but what stands here: options are checked letter by
letter (see `slurm_options`), and paths are quoted. https://slurm.schedmd.com/sbatch.html
"""

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import finetui_core
from finetui_core.errors import InputError, Problem, RunFailed
from finetui_core.files import write_atomically
from finetui_core.recipe.options import LaunchOptions
from finetui_core.recipe.wording import printable
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.queue import encoded
from finetui_core.runs.records import Queued
from finetui_core.text import visible

_SAVE_BEFORE = 120
"""Seconds before the time limit at which the run is told to save and end."""
_SUBMIT_WITHIN = 60.0


def job_script(root: Path, launch: LaunchOptions, options: Mapping[str, str]) -> str:
    """The script of a job that trains the run in `root`, or continues it where it has begun.

    Raises InputError for a folder whose name sbatch would take for something else.
    """
    log = str(root / "log" / "slurm.txt")
    if re.search(r"[\x00-\x1f\x7f\"'\\]", log):
        what = "the folder's name holds quotes, backslashes or control characters, which sbatch does not take"
        raise InputError(Problem(what, printable(str(root)), "name another folder with --runs"))
    lines = {
        "job-name": f"ftui-{root.name}",
        "nodes": str(launch.nnodes),
        "ntasks-per-node": "1",
        **({} if {"gres", "gpus-per-node"} & set(options) else {"gpus-per-node": str(launch.nproc_per_node)}),
        **options,
        "signal": f"B:USR1@{_SAVE_BEFORE}",
        "output": '"' + log.replace("%", "%%") + '"',
        "open-mode": "append",
    }
    python, source = shlex.quote(sys.executable), Path(finetui_core.__file__).parents[1]
    path = f"export PYTHONPATH={shlex.quote(str(source))}${{PYTHONPATH:+:$PYTHONPATH}}\n"
    return (
        "#!/bin/bash\n"
        f"# Trains the run, or continues it. By hand: sbatch {root.name}/job.sbatch\n"
        + "".join(f"#SBATCH --{key}={value}\n" for key, value in lines.items())
        + "#SBATCH --requeue\n"
        + ("" if source.name in ("site-packages", "dist-packages") else path)
        + "export PYTHONSAFEPATH=1\n"
        f"exec {python} -m finetui_core.runs.slurm_job {shlex.quote(str(root))}\n"
    )


def submit(paths: RunPaths) -> str:
    """Hand the run's job over to Slurm and return the job's number, which the run's folder then has as well.

    Raises InputError where there is no sbatch, with the file to submit elsewhere, and RunFailed with what sbatch says
    where it refuses the job.
    """
    write_queued(paths, "")
    try:
        done = _ask("sbatch", "--parsable", str(paths.job))
    except FileNotFoundError as error:
        what = "sbatch is not installed here, so the job is written but not submitted"
        hint = f"on a host of the cluster type: sbatch {shlex.quote(str(paths.job))}"
        raise InputError(Problem(what, str(paths.job), hint)) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise RunFailed(f"sbatch could not be asked: {error}") from error
    number = done.stdout.strip().partition(";")[0]
    if done.returncode or not re.fullmatch(r"[0-9]{1,18}", number):
        said = visible((done.stderr or done.stdout).strip()) or f"exit code {done.returncode}"
        raise RunFailed(f"Slurm refuses the job: {said}")
    if not paths.attempt_numbers():
        write_queued(paths, number)
    return number


def cancel(paths: RunPaths, queued: Queued) -> bool:
    """Have Slurm forget a job that has not begun; False where that cannot be asked for here."""
    if not queued.job:
        return False
    try:
        done = _ask("scancel", queued.job)
    except (OSError, subprocess.SubprocessError):
        return False
    if done.returncode:
        return False
    call_off(paths, queued)
    return True


def call_off(paths: RunPaths, queued: Queued) -> None:
    """Note that the run's job waits no more; it can be resumed elsewhere."""
    write_atomically(paths.queued, encoded(Queued(None, queued.attempt, time.time())))


def requeue(paths: RunPaths, job: str) -> bool:
    """Put the job that this process belongs to back into Slurm's queue, which ends it; False where that fails."""
    write_queued(paths, job)
    try:
        if _ask("scontrol", "requeue", job).returncode == 0:
            return True
    except (OSError, subprocess.SubprocessError):
        pass
    paths.queued.unlink(missing_ok=True)
    return False


def write_queued(paths: RunPaths, job: str) -> None:
    """Note that the run's next attempt waits in Slurm as this job, or with "" to be submitted by hand."""
    attempt = max(paths.attempt_numbers(), default=0) + 1
    write_atomically(paths.queued, encoded(Queued(None, attempt, time.time(), job=job)))


def _ask(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=_SUBMIT_WITHIN,
        check=False,
        stdin=subprocess.DEVNULL,
    )
