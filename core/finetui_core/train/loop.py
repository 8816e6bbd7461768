"""The loop: step, evaluate, save, listen; readable from top to bottom."""

import time
from dataclasses import replace
from typing import Any

import torch

from finetui_core.train.budget import SHARE
from finetui_core.train.checkpoint import Progress, trainable
from finetui_core.train.control import StopSignal
from finetui_core.train.evaluating import evaluate
from finetui_core.train.measuring import conclude, open_meters
from finetui_core.train.nonfinite import Finding, examine, nonfinite_state, spoilt_state
from finetui_core.train.on_nonfinite import CALM, is_over, settle
from finetui_core.train.output import Output
from finetui_core.train.peers import LostPeer
from finetui_core.train.requests import answer_requests, end_was_asked
from finetui_core.train.saves import Saves, save_at_end
from finetui_core.train.saving import save_checkpoint
from finetui_core.train.setup import Session
from finetui_core.train.step import StepResult, train_step
from finetui_core.train.tally import Tally
from finetui_core.train.time_left import TimeLeft

_SAVE_SECONDS, _SAVED_PER_SECOND = 0.05, 3e8
"""Before a save is seen: its least seconds, and bytes that are hashed and flushed in one."""


def fit(
    session: Session, progress: Progress, output: Output, stop: StopSignal, tally: Tally
) -> tuple[str, int]:
    """Train until the last step, or until something ends the run; return what ended it, and the last step.

    What ended it is "completed", "early_stopping", "stopped", "aborted", "diverged" or, where the last checkpoint
    could not be written, "unsaved". `tally` counts the steps.
    """
    schedule, saving = session.schedule, session.recipe.save
    saves = Saves(saving.minutes, progress.step or None)
    spoilt: list[str] = []
    left = time_left(session)
    meters = open_meters(session, progress.step)

    def phase(name: str) -> None:
        output.beat(step=progress.step, phase=name, total_steps=schedule.total_steps)
        output.event("phase", phase=name, step=progress.step)

    def save(reason: str) -> bool:
        nonlocal spoilt
        if saves.step == progress.step:
            return True
        phase("saving")
        began = time.perf_counter()
        written = save_checkpoint(session, progress, output, reason)
        seconds = time.perf_counter() - began
        spoilt = (
            [] if written else nonfinite_state(session.model, session.optimizer, session.processes.holders)
        )
        if not spoilt:
            saves.ended(progress.step, seconds, written=written, output=output)
        left.saved(seconds)
        phase("training")
        return written

    def end(reason: str, saved_as: str) -> tuple[str, int]:
        """End with a checkpoint; while the disk refuses it, the run waits for a better one."""

        def try_to_save() -> bool:
            written = save(saved_as)
            if not written and not spoilt:
                phase("saving")
            return written or bool(spoilt)

        def gives_up() -> bool:
            return session.processes.is_sharded or end_was_asked(session.paths, output, stop)

        written = save_at_end(try_to_save, saves, gives_up)
        return ("diverged" if spoilt else reason if written else "unsaved"), progress.step

    def timed_evaluation() -> tuple[Progress, bool]:
        began, metered = time.perf_counter(), meters.budget.spent
        result = evaluate(session, meters, progress, output)
        seconds = time.perf_counter() - began - (meters.budget.spent - metered)
        left.evaluated(seconds, best=result[1] if progress.step else None)
        left.metered(**meters.foreseen())
        return result

    def answer(finding: Finding) -> bool:
        """Do what the recipe says about it; True where that ends the run."""
        nonlocal progress, meters, spoilt
        deed, progress = settle(session, progress, finding, output)
        spoilt = []
        if deed == "rollback":
            meters, saves.step = open_meters(session, progress.step), progress.step
        if deed == "stop" and finding.where != "weights" and progress.step:
            save("diverged")
        return deed == "stop"

    if progress.step == 0 and session.recipe.eval.on_start:
        phase("evaluating")
        timed_evaluation()
    phase("training")
    while progress.step < schedule.total_steps or spoilt:
        if spoilt:
            if answer(spoilt_state(session, progress.step, spoilt)):
                return "diverged", progress.step
            continue
        step = progress.step + 1
        is_left_out = step in progress.skipped
        try:
            ended = answer_requests(session, meters, progress, output, stop, phase, save)
            if ended is not None:
                return ended, progress.step
            result = None if is_left_out else train_step(session, step)
        except LostPeer:
            if not session.processes.is_sharded:
                save("lost_peer")  # weights change only once all processes have added up the step
            raise
        if result is None:
            output.metric(left_out_record(session, step, left.after(step)))
            progress = replace(progress, step=step)
        else:
            tally.step(result.tokens, result.seconds)
            left.stepped(step, result.seconds)
            record = metric_record(session, step, result, left.after(step))
            ends = bool(result.where) and answer(examine(session, step, result))
            output.metric({**record, "skipped": True} if step in progress.skipped else record)
            if ends:
                return "diverged", progress.step
            if result.where and progress.step < step:
                continue
            progress = replace(progress, step=step)
            if session.processes.index == 0 and result.is_finite:
                meters.stepped(step, result)
                conclude(session, meters, output)
        output.beat(step=step, phase="training", total_steps=schedule.total_steps)
        if is_over(progress):
            message = f"all has been finite for {CALM} steps"
            output.event("alarm_over", kind="nonfinite", step=step, message=message)

        is_last = step == schedule.total_steps
        improved = False
        if evaluates(session) and (is_last or _is_due(step, session.recipe.eval.steps, session)):
            phase("evaluating")
            progress, improved = timed_evaluation()
            phase("training")
        if (improved and saving.keep_best) or _is_due(step, saving.steps, session):
            save("best" if improved else "schedule")
        elif session.processes.agreed(saves.is_due()) and not is_last:
            save("again" if saves.failures else "time")
        patience = session.recipe.eval.early_stopping_patience
        if patience and progress.evaluations_without_improvement >= patience:
            return end("early_stopping", "early_stopping")
        if is_last:
            save("last")
    return end("completed", "last")


def evaluates(session: Session) -> bool:
    """Whether there is anything to measure between steps."""
    return bool(session.val_rows) or session.probe is not None or session.recipe.eval.meters


def _is_due(step: int, every: int, session: Session) -> bool:
    return step % every == 0 if every else session.schedule.ends_epoch(step)


def time_left(session: Session) -> TimeLeft:
    """The model of the time that this run still takes."""
    layout, recipe = session.layout, session.recipe
    trained = sum(value.numel() for value in trainable(session.model).values())
    return TimeLeft(
        schedule=session.schedule,
        lengths=session.data.train.lengths,
        rows_per_pass=None if layout.packed else layout.rows_per_pass,
        evaluations_every=recipe.eval.steps if evaluates(session) else None,
        saves_every=recipe.save.steps,
        saves_at_best=recipe.save.keep_best,
        meter_share=SHARE,
        saves_seconds=60 * recipe.save.minutes,
        save_guess=_SAVE_SECONDS + 12 * trained / _SAVED_PER_SECOND,
    )


def metric_record(
    session: Session, step: int, result: StepResult, left: float | None = None
) -> dict[str, Any]:
    """What is recorded of a step; `left` are the seconds that the run still takes, where they are foretold."""
    record = {
        "step": step,
        "epoch": round(session.schedule.epoch_after(step), 6),
        "loss": result.loss,
        "learning_rate": result.learning_rate,
        "grad_norm": result.grad_norm,
        "tokens": result.tokens,
        "supervised_tokens": result.supervised_tokens,
        "tokens_per_second": round(result.tokens / result.seconds, 1),
        "step_seconds": round(result.seconds, 6),
        "remaining_seconds": None if left is None else round(left, 3),
    }
    if session.device.type == "cuda":
        record["gpu_memory_peak"] = torch.cuda.max_memory_allocated(session.device)
    return record


def left_out_record(session: Session, step: int, left: float | None) -> dict[str, Any]:
    """What is recorded of a step whose batch is left out because of what an earlier try of it gave."""
    return {
        "step": step,
        "epoch": round(session.schedule.epoch_after(step), 6),
        "skipped": True,
        "remaining_seconds": None if left is None else round(left, 3),
    }
