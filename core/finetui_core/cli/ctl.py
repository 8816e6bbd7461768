"""`ftui ctl RUN COMMAND`: tell a run what to do, and wait until it has been done."""

import argparse
import time
from pathlib import Path

from finetui_core.cli.follow import look
from finetui_core.cli.say import data_json, talk
from finetui_core.errors import InputError, Problem, RunFailed
from finetui_core.runs.liveness import SUPERVISOR_GONE
from finetui_core.runs.mailbox import COMMANDS, send
from finetui_core.runs.orphans import end_orphan
from finetui_core.runs.paths import RunPaths, find_run, runs_root
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import Queued, read_small
from finetui_core.runs.restarts import Rules
from finetui_core.runs.slurm import call_off, cancel
from finetui_core.runs.watching import patience

ENDING = ("stop", "abort")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="the run's id, a part of it that only it has, a path, or: latest")
    parser.add_argument(
        "action",
        choices=COMMANDS,
        metavar="ACTION",
        help="checkpoint: write one now; pause, resume; evaluate; sample; stop: checkpoint, then end; "
        "abort: end without a checkpoint",
    )
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")
    parser.add_argument("--no-wait", action="store_true", help="return at once, with the request on its way")
    parser.add_argument("--json", action="store_true", help="print what became of it as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    paths = find_run(options.runs or runs_root(), options.run)
    view = RunView(paths)
    view.refresh()
    queued = read_small(paths.queued, Queued)
    if view.state.state == "queued" and queued is not None and queued.job is not None:
        return _in_slurm(paths, queued, options.action)
    if not view.state.live:
        raise InputError(
            Problem(
                f"{paths.id} is not running ({view.state.state}: {view.state.reason})",
                hint="See: ftui queue"
                if view.state.state == "queued"
                else f"Continue it with: ftui resume {paths.id}",
            )
        )
    asked = send(paths, options.action)
    status = "asked" if options.no_wait else _wait(view, asked, options.action)
    if options.json:
        data_json({"id": asked, "run": paths.id, "command": options.action, "status": status})
    elif options.no_wait:
        talk(f"{options.action}: {status}")
    return 0


def _in_slurm(paths: RunPaths, queued: Queued, action: str) -> int:
    """End a run before its job has begun. Raises InputError for all else, and where Slurm cannot be asked here."""
    waits = f"{paths.id} waits in Slurm" + (f" as job {queued.job}" if queued.job else "")
    if action not in ENDING:
        raise InputError(
            Problem(f"{waits}, so that there is nothing to {action} yet", hint="See: squeue --me")
        )
    if queued.job and not cancel(paths, queued):
        hint = f"On a host of the cluster type: scancel {queued.job}"
        raise InputError(Problem(f"{waits}, and Slurm could not be asked here to cancel it", hint=hint))
    if not queued.job:
        call_off(paths, queued)
    talk(
        f"{action}: {waits.replace('waits', 'waited')} and does so no more; begin it with: ftui resume {paths.id}"
    )
    return 0


def _wait(view: RunView, asked: str, action: str) -> str:
    """Follow one request to its end; for those that end the run, to the end of the run."""
    status, began = "asked", time.monotonic()
    for news in look(view):
        for event in news.events:
            if event.get("type") == "control" and event.get("id") == asked and event["status"] != status:
                status = event["status"]
                talk(f"{action}: {status}")
        if action in ENDING and _is_overdue(view, action, time.monotonic() - began):
            talk(f"{action}: no answer, and its supervisor is gone, so it is ended by force")
            if not end_orphan(view.attempts[-1]):
                raise RunFailed(f"{action}: the trainer cannot be ended: pid {view.attempts[-1].pid}")
        if status == "refused" or (status == "done" and action not in ENDING):
            return status
    if view.state.state == "silent":
        left = "the request stays in its mailbox, and is done if the run still goes on there"
        raise RunFailed(f"{action}: no answer ({view.state.reason}); {left}")
    if status != "done":
        raise RunFailed(f"the run ended before it did this ({view.state.state}: {view.state.reason})")
    return status


def _is_overdue(view: RunView, action: str, waited: float) -> bool:
    """Whether nobody answers: where the supervisor lives, it sees to that itself."""
    if not view.state.live or not view.state.reason.endswith(SUPERVISOR_GONE):
        return False
    return waited > patience(view.paths, view.attempts[-1], action, Rules())
