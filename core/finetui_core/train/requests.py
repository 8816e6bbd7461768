"""Doing between two steps what people and the system asked for."""

import time
from collections.abc import Callable

from finetui_core.runs.mailbox import finish, pending
from finetui_core.runs.paths import RunPaths
from finetui_core.train.checkpoint import Progress
from finetui_core.train.control import Request, StopSignal, next_request
from finetui_core.train.evaluating import evaluate, keep_samples
from finetui_core.train.measuring import Meters, answers
from finetui_core.train.output import Output
from finetui_core.train.setup import Session

PAUSE_POLL_SECONDS = 0.2


def answer_requests(
    session: Session,
    meters: Meters,
    progress: Progress,
    output: Output,
    stop: StopSignal,
    phase: Callable[[str], None],
    save: Callable[[str], bool],
) -> str | None:
    """Do what was asked for since the last step; return how the run ends if it was asked to.

    Whoever asks for the end does not wait for a disk: it is "unsaved" where the checkpoint could not be written.
    """
    paused, saved = False, True
    while True:
        request = next_request(session.paths, stop, session.processes)
        if request is None:
            if not paused:
                return None
            time.sleep(PAUSE_POLL_SECONDS)
            continue
        _acknowledge(output, request)
        if request.name == "pause":
            paused = True
            phase("paused")
        elif request.name == "resume":
            paused = False
            phase("training")
        elif request.name in ("checkpoint", "stop"):
            saved = save("asked" if request.name == "checkpoint" else "stop")
        elif request.name == "evaluate":
            phase("evaluating")
            evaluate(session, meters, progress, output, asked=True)
        elif request.name == "sample":
            phase("evaluating")
            writes = session.processes.index == 0 and not session.processes.is_sharded
            if writes and session.val_rows and session.recipe.eval.samples:
                keep_samples(session, progress.step, answers(session), output)
        if request.name in ("evaluate", "sample", "checkpoint"):
            phase("paused" if paused else "training")
        _done(session.paths, output, request)
        if request.name == "abort":
            return "aborted"
        if request.name == "stop":
            return "stopped" if saved else "unsaved"


def end_was_asked(paths: RunPaths, output: Output, stop: StopSignal) -> bool:
    """Whether somebody wants the end of a run that only waits to write its last checkpoint; answers who does."""
    asked = [command for command in pending(paths) if command.command in ("stop", "abort")]
    for command in asked:
        request = Request(command.command, command)
        _acknowledge(output, request)
        _done(paths, output, request)
    return bool(stop.received or asked)


def _acknowledge(output: Output, request: Request) -> None:
    if request.command is not None:
        output.event("control", id=request.command.id, command=request.name, status="acknowledged", note="")


def _done(paths: RunPaths, output: Output, request: Request) -> None:
    if request.command is not None:
        finish(paths, request.command)
        output.event("control", id=request.command.id, command=request.name, status="done", note="")
