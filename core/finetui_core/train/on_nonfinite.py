"""What a run does about numbers that are not finite (`train.on_nonfinite`): stop, skip the batch, or go back.

What was decided is an event on disk before it is done, so that a run that is killed and resumed repeats it.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from finetui_core.runs.checkpoints import Checkpoint, newest_valid
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.tail import read_records
from finetui_core.train.checkpoint import Progress, read_progress, read_state
from finetui_core.train.model import load_model
from finetui_core.train.nonfinite import Finding
from finetui_core.train.nonfinite_words import alarm_of, left_out_again
from finetui_core.train.output import Output
from finetui_core.train.setup import Session
from finetui_core.train.shards import put

Deed = Literal["stop", "skip", "rollback"]

MOST_IN_A_ROW = 10
"""Steps that may be skipped one after the other: more of them are no accident of a few rows."""
MOST_SHARE = 0.1
"""Of the steps done that may be skipped, once there are more than MOST_IN_A_ROW."""
MOST_ROLLBACKS = 3
CALM = 100
"""Steps after which the alarm is over."""


def settle(session: Session, progress: Progress, finding: Finding, output: Output) -> tuple[Deed, Progress]:
    """Do what the recipe says about a finding, tell it, and return what was done and where the run now stands.

    Every process of the run comes to the same. Weights that the update has not touched are as they were; those of a
    checkpoint are put back bit for bit.
    """
    deed, why, checkpoint = _decide(session, progress, finding, output)
    output.event(
        "nonfinite",
        step=finding.step,
        where=finding.where,
        policy=deed,
        loss=finding.loss,
        grad_norm=finding.grad_norm,
        rows=finding.rows,
        alone=finding.alone,
        tensors=finding.tensors,
    )
    left_out = tuple(sorted({*progress.skipped, finding.step}))
    if deed == "skip":
        progress = replace(progress, step=finding.step, skipped=left_out)
    if checkpoint is not None:
        progress = replace(_go_back(session, checkpoint), skipped=left_out, rollbacks=progress.rollbacks + 1)
        output.event(
            "rolled_back",
            step=checkpoint.step,
            from_step=finding.step,
            checkpoint=f"checkpoints/{checkpoint.path.name}",
        )
    output.event("alarm", **alarm_of(session, finding, deed, why, progress.step))
    return deed, progress


def _decide(
    session: Session, progress: Progress, finding: Finding, output: Output
) -> tuple[Deed, str, Checkpoint | None]:
    """What is done, why it is not what the recipe says where it is not, and the checkpoint to go back to."""
    wanted = session.recipe.train.on_nonfinite
    why = ""
    if wanted == "rollback":
        if progress.rollbacks >= MOST_ROLLBACKS:
            return "stop", f"the run went back {MOST_ROLLBACKS} times before", None
        checkpoint, passed_over = newest_valid(session.paths.checkpoints)
        for one in passed_over:
            output.event("checkpoint_skipped", path=f"checkpoints/{one.path.name}", reason=one.reason)
        if checkpoint is not None:
            return "rollback", "", checkpoint
        why = "there is no checkpoint to go back to"
    if wanted == "stop" or finding.where == "weights":
        return "stop", why or ("skipping mends no weights" if wanted == "skip" else ""), None
    if too_often := too_many(progress, finding.step):
        return "stop", too_often, None
    return "skip", why, None


def too_many(progress: Progress, step: int) -> str:
    """Why the update of this step may not be left out as well; "" where it may."""
    before = set(progress.skipped)
    if all(step - back in before for back in range(1, MOST_IN_A_ROW + 1)):
        return f"the {MOST_IN_A_ROW} steps before were left out as well"
    if len(before) >= max(MOST_IN_A_ROW, MOST_SHARE * step):
        return f"{len(before):,} of {step:,} steps were left out before"
    return ""


def _go_back(session: Session, checkpoint: Checkpoint) -> Progress:
    """Put weights, moments and loss scaling back to what they were at a checkpoint."""
    if session.recipe.train.method == "full":
        _put_back_weights(session, checkpoint.path)
    session.optimizer.state.clear()
    read_state(checkpoint.path, session.model, session.optimizer, session.scaler)
    return read_progress(checkpoint.path)


@torch.no_grad()
def _put_back_weights(session: Session, folder: Path) -> None:
    """Read the weights as a resumed run does, into memory of the processor, and copy them in place."""
    saved: Any = load_model(session.recipe, torch.device("cpu"), torch.float32, folder)
    for mine, theirs in zip(session.model.parameters(), saved.parameters(), strict=True):
        put(mine, theirs)
    for mine, theirs in zip(session.model.buffers(), saved.buffers(), strict=True):
        mine.copy_(theirs)


def recall(paths: RunPaths, progress: Progress, output: Output) -> Progress:
    """Add what earlier attempts decided beyond the checkpoint that this one goes on from, and say so."""
    decided = [
        event
        for event in read_records(paths.events)
        if event.get("type") == "nonfinite"
        and event.get("policy") in ("skip", "rollback")
        and type(event.get("step")) is int
    ]
    beyond = {event["step"] for event in decided if event["step"] > progress.step}
    rollbacks = sum(event["policy"] == "rollback" for event in decided)
    progress = replace(
        progress,
        skipped=tuple(sorted({*progress.skipped, *beyond})),
        rollbacks=max(progress.rollbacks, rollbacks),
    )
    to_come = [step for step in progress.skipped if step > progress.step]
    if to_come:
        output.event("alarm", **left_out_again(to_come, progress.step))
    return progress


def is_over(progress: Progress) -> bool:
    """Whether this is the step with which the alarm ends: all have been finite for long enough."""
    return bool(progress.skipped) and progress.step == progress.skipped[-1] + CALM
