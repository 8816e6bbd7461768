"""Writing a checkpoint while training: published whole, and a disk that refuses it never ends the run."""

import errno
import time
from contextlib import suppress
from pathlib import Path

from finetui_core.files import write_atomically
from finetui_core.runs.checkpoints import Checkpoint, free_oldest, newest_valid, prune, publish
from finetui_core.runs.paths import RunPaths, step_name
from finetui_core.runs.records import content_of
from finetui_core.train.checkpoint import Progress, saved_tensors, state_files
from finetui_core.train.nonfinite import nonfinite_state
from finetui_core.train.nonfinite_words import refusal
from finetui_core.train.output import Output
from finetui_core.train.room import checkpoint_bytes, free_bytes
from finetui_core.train.setup import Session
from finetui_core.train.shards import gather_along, gathering
from finetui_core.train.tensor_file import Fetch
from finetui_core.wording import size

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def save_checkpoint(session: Session, progress: Progress, output: Output, reason: str) -> bool:
    """Publish a checkpoint of the weights as they are and delete what it supersedes.

    Weights or moments that are not finite are never written; every process sees them. Any other failure is tried
    again at once, without the oldest checkpoint where there is no room; one that stays becomes an alarm. Returns
    whether it was written. What fails after that, such as the files that point to it, is mended by the next save.
    """
    processes = session.processes
    if spoilt := nonfinite_state(session.model, session.optimizer, processes.holders):
        output.event("checkpoint_failed", step=progress.step, error=refusal(spoilt)["message"])
        output.event("alarm", step=progress.step, **refusal(spoilt))
        return False
    began = time.perf_counter()
    if processes.is_sharded:
        checkpoint, written = _gathered(session, progress, output)
    elif processes.index == 0:
        checkpoint = _published(session, progress, output)
        written = checkpoint is not None
    else:
        checkpoint, written = None, True
    if checkpoint is None:
        return written
    output.event(
        "checkpoint",
        step=progress.step,
        path=str(checkpoint.path.relative_to(session.paths.root)),
        bytes=checkpoint.bytes,
        seconds=round(time.perf_counter() - began, 3),
        reason=reason,
        best=progress.best_step == progress.step,
    )
    with suppress(OSError):
        point_to(session.paths, progress)
    with suppress(OSError):
        prune(
            session.paths.checkpoints,
            checkpoint,
            session.recipe.save.total_limit,
            kept_for_best(session, progress),
        )
    return True


def _gathered(session: Session, progress: Progress, output: Output) -> tuple[Checkpoint | None, bool]:
    """Process 0 writes what all processes hold parts of; every process learns whether it was written."""
    processes, tensors = session.processes, saved_tensors(session.model, session.optimizer)
    checkpoint = None
    if processes.index == 0:
        with gathering(tensors, processes.add) as fetch:
            checkpoint = _published(session, progress, output, fetch)
    else:
        gather_along(tensors, processes.add)
    return checkpoint, processes.agreed(checkpoint is not None)


def _published(
    session: Session,
    progress: Progress,
    output: Output,
    fetch: Fetch = lambda name, tensor: tensor,
) -> Checkpoint | None:
    output.sync()
    protected, tries = kept_for_best(session, progress), 0
    while True:
        tries += 1
        files = state_files(
            session.configuration, session.model, session.optimizer, session.scaler, progress, fetch
        )
        try:
            return publish(session.paths.checkpoints, progress.step, files, session.facts)
        except (OSError, MemoryError) as error:
            freed = None
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                with suppress(OSError):
                    freed = free_oldest(session.paths.checkpoints, protected)
            if freed is not None:
                output.event("checkpoint_removed", path=f"checkpoints/{freed.name}", reason=_why(error))
            elif tries > 1:
                _say_failed(session, progress, output, _why(error))
                return None


def _why(error: OSError | MemoryError) -> str:
    return str(error) or type(error).__name__


def _say_failed(session: Session, progress: Progress, output: Output, why: str) -> None:
    output.event("checkpoint_failed", step=progress.step, error=why)
    folder = session.paths.checkpoints
    try:
        room = f"{size(free_bytes(folder))} are free there, and one takes about {size(checkpoint_bytes(session))}"
    except OSError:
        room = "it cannot be asked how much is free there"
    output.event(
        "alarm",
        kind="checkpoint",
        severity="act",
        step=progress.step,
        message=f"the checkpoint of step {progress.step} could not be written: {why} ({newest_in_words(folder)})",
        go_back_to=None,
        remedy=f"The run goes on and tries again. See to the disk of {folder}: {room}.",
    )


def newest_in_words(folder: Path) -> str:
    """Which checkpoint there is to go on from."""
    newest, _ = newest_valid(folder)
    return (
        "there is no sound checkpoint yet"
        if newest is None
        else f"the newest sound one is of step {newest.step}"
    )


def kept_for_best(session: Session, progress: Progress) -> frozenset[str]:
    """The names of checkpoints that must stay: the best one, and the best of those that could be written."""
    if not session.recipe.save.keep_best or progress.best_step is None:
        return frozenset()
    names = {step_name(progress.best_step)}
    with suppress(OSError, ValueError):
        names.add(content_of(session.paths.best).decode().strip())
    return frozenset(names)


def point_to(paths: RunPaths, progress: Progress) -> None:
    """Name the newest checkpoint, and the best one where it could be written. Raises OSError."""
    write_atomically(paths.latest, f"{step_name(progress.step)}\n".encode())
    if progress.best_step is not None and paths.checkpoint(progress.best_step).is_dir():
        write_atomically(paths.best, f"{step_name(progress.best_step)}\n".encode())
