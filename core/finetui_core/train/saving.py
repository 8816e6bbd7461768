"""Writing a checkpoint while training: published whole, and a disk that refuses it never ends the run."""

import time

from finetui_core.files import write_atomically
from finetui_core.runs.checkpoints import prune, publish
from finetui_core.runs.paths import step_name
from finetui_core.train.checkpoint import Progress, write_state
from finetui_core.train.nonfinite import nonfinite_state
from finetui_core.train.nonfinite_words import refusal
from finetui_core.train.output import Output
from finetui_core.train.setup import Session


def save_checkpoint(session: Session, progress: Progress, output: Output, reason: str) -> bool:
    """Publish a checkpoint of the weights as they are and delete what it supersedes.

    A disk that refuses it never ends the run: the failure becomes an alarm. Weights or moments that are not finite
    are never written; every process sees them. Returns whether it was written.
    """
    if spoilt := nonfinite_state(session.model, session.optimizer):
        output.event("checkpoint_failed", step=progress.step, error=refusal(spoilt)["message"])
        output.event("alarm", step=progress.step, **refusal(spoilt))
        return False
    if session.processes.index != 0:
        return True
    paths, limit = session.paths, session.recipe.save.total_limit
    began = time.perf_counter()
    is_best = progress.best_step == progress.step
    output.sync()
    try:
        checkpoint = publish(
            paths.checkpoints,
            progress.step,
            lambda folder: write_state(
                folder, session.model, session.tokenizer, session.optimizer, session.scaler, progress
            ),
            session.facts,
        )
        write_atomically(paths.latest, f"{checkpoint.path.name}\n".encode())
        if is_best:
            write_atomically(paths.best, f"{checkpoint.path.name}\n".encode())
        keep_best = session.recipe.save.keep_best and progress.best_step is not None
        prune(paths.checkpoints, limit, frozenset({step_name(progress.best_step or 0)} if keep_best else ()))
    except OSError as error:
        message = f"the checkpoint of step {progress.step} could not be written: {error}"
        output.event("checkpoint_failed", step=progress.step, error=str(error))
        output.event("alarm", kind="checkpoint", step=progress.step, message=message)
        return False
    output.event(
        "checkpoint",
        step=progress.step,
        path=str(checkpoint.path.relative_to(paths.root)),
        bytes=checkpoint.bytes,
        seconds=round(time.perf_counter() - began, 3),
        reason=reason,
        best=is_best,
    )
    return True
