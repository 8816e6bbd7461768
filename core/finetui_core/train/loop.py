"""The loop: step, evaluate, save, listen; readable from top to bottom."""

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch

from finetui_core.files import write_atomically
from finetui_core.runs.checkpoints import prune, publish
from finetui_core.runs.mailbox import finish
from finetui_core.runs.paths import step_name
from finetui_core.runs.records import encode_line
from finetui_core.train.checkpoint import Progress, trainable, write_state
from finetui_core.train.control import Request, StopSignal, next_request
from finetui_core.train.evaluation import perplexity
from finetui_core.train.generate import Sample
from finetui_core.train.measuring import Meters, answers, conclude, fields_of, measure, note, open_meters
from finetui_core.train.output import Output
from finetui_core.train.row_losses import mean_and_row_losses
from finetui_core.train.setup import Session
from finetui_core.train.step import StepResult, train_step
from finetui_core.train.tally import Tally
from finetui_core.train.time_left import TimeLeft

PAUSE_POLL_SECONDS = 0.2
_SAVE_SECONDS, _SAVED_PER_SECOND = 0.05, 3e8
"""Before a save is seen: its least seconds, and bytes that are hashed and flushed in one."""


def fit(
    session: Session, progress: Progress, output: Output, stop: StopSignal, tally: Tally
) -> tuple[str, int]:
    """Train until the last step, or until something ends the run; return what ended it, and the last step.

    What ended it is "completed", "early_stopping", "stopped", "aborted" or "diverged". `tally` counts the steps.
    """
    schedule, saving = session.schedule, session.recipe.save
    saved_at = progress.step if progress.step else None
    left = time_left(session)
    meters = open_meters(session, progress.step)

    def phase(name: str) -> None:
        output.beat(step=progress.step, phase=name, total_steps=schedule.total_steps)
        output.event("phase", phase=name, step=progress.step)

    def save(reason: str) -> None:
        nonlocal saved_at
        if saved_at == progress.step:
            return
        phase("saving")
        began = time.perf_counter()
        if save_checkpoint(session, progress, output, reason):
            saved_at = progress.step
        left.saved(time.perf_counter() - began)
        phase("training")

    def timed_evaluation() -> tuple[Progress, bool]:
        began, metered = time.perf_counter(), meters.budget.spent
        result = evaluate(session, meters, progress, output)
        seconds = time.perf_counter() - began - (meters.budget.spent - metered)
        left.evaluated(seconds, best=result[1] if progress.step else None)
        return result

    if progress.step == 0:
        phase("evaluating")
        timed_evaluation()
    phase("training")
    while progress.step < schedule.total_steps:
        ended = answer_requests(session, meters, progress, output, stop, phase, save)
        if ended is not None:
            return ended, progress.step
        step = progress.step + 1
        result = train_step(session, step)
        tally.step(result.tokens, result.seconds)
        left.stepped(step, result.seconds)
        output.metric(metric_record(session, step, result, left.after(step)))
        if not result.is_finite and not session.scaler.is_enabled():
            output.event("alarm", kind="nonfinite", step=step, message=_nonfinite_message(step, result))
            return "diverged", progress.step
        progress = replace(progress, step=step)
        output.beat(step=step, phase="training", total_steps=schedule.total_steps)
        if session.processes.index == 0:
            meters.stepped(step, result)
            conclude(session, meters, output)

        is_last = step == schedule.total_steps
        improved = False
        if evaluates(session) and (is_last or _is_due(step, session.recipe.eval.steps, session)):
            phase("evaluating")
            progress, improved = timed_evaluation()
            phase("training")
        if (improved and saving.keep_best) or _is_due(step, saving.steps, session):
            save("best" if improved else "schedule")
        patience = session.recipe.eval.early_stopping_patience
        if patience and progress.evaluations_without_improvement >= patience:
            save("early_stopping")
            return "early_stopping", progress.step
    save("last")
    return "completed", progress.step


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


def _nonfinite_message(step: int, result: StepResult) -> str:
    return (
        f"the loss is {result.loss} and the gradient norm {result.grad_norm} at step {step}; "
        "the weights were left as they were before it. Try a lower train.learning_rate."
    )


def evaluate(
    session: Session, meters: Meters, progress: Progress, output: Output, *, asked: bool = False
) -> tuple[Progress, bool]:
    """Measure validation loss and what the meters are due to; return the new counters and "is it the best".

    An evaluation that somebody asked for changes no counters and is not judged; the one before training is the base.
    """
    began = time.perf_counter()
    step = progress.step
    counts = not asked and step > 0 and bool(session.val_rows)
    fields: dict[str, Any] = {"step": step, "rows": len(session.val_rows), "asked": asked}
    improved, rows = False, None
    if session.val_rows:
        arguments = (session.layout, session.device, session.processes)
        with session.autocast():
            loss, rows = mean_and_row_losses(session.model, session.data.val, session.val_rows, *arguments)
        fields |= {"eval_loss": loss, "eval_perplexity": perplexity(loss)}
        improved = counts and (progress.best_eval_loss is None or loss < progress.best_eval_loss)
    if counts:
        progress = _counted(progress, fields["eval_loss"], improved)
    if session.processes.index != 0:
        return progress, improved
    last = step == session.schedule.total_steps
    found = measure(session, meters, step, output, asked=asked, last=last)
    fields |= fields_of(meters, step, found)
    if not asked:
        note(session, meters, step, rows, found)
    if session.val_rows or found.texts:
        output.event("evaluation", **fields, best=improved, seconds=round(time.perf_counter() - began, 3))
    if found.samples:
        keep_samples(session, step, found.samples, output)
    if not asked:
        conclude(session, meters, output)
    return progress, improved


def _counted(progress: Progress, loss: float, improved: bool) -> Progress:
    if improved:
        return replace(
            progress, best_eval_loss=loss, best_step=progress.step, evaluations_without_improvement=0
        )
    return replace(progress, evaluations_without_improvement=progress.evaluations_without_improvement + 1)


def keep_samples(session: Session, step: int, samples: list[Sample], output: Output) -> None:
    """Write answers to samples/."""
    path = session.paths.sample_file(step)
    write_atomically(path, b"".join(encode_line(asdict(one)) for one in samples))
    output.event("samples", step=step, path=str(path.relative_to(session.paths.root)))


def save_checkpoint(session: Session, progress: Progress, output: Output, reason: str) -> bool:
    """Publish a checkpoint of the weights as they are and delete what it supersedes.

    A disk that refuses it never ends the run: the failure becomes an alarm. Returns whether it was written.
    """
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


def answer_requests(
    session: Session,
    meters: Meters,
    progress: Progress,
    output: Output,
    stop: StopSignal,
    phase: Callable[[str], None],
    save: Callable[[str], None],
) -> str | None:
    """Do what was asked for since the last step; return how the run ends if it was asked to."""
    paused = False
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
            save("asked" if request.name == "checkpoint" else "stop")
        elif request.name == "evaluate":
            phase("evaluating")
            evaluate(session, meters, progress, output, asked=True)
        elif request.name == "sample":
            phase("evaluating")
            if session.processes.index == 0 and session.val_rows and session.recipe.eval.samples:
                keep_samples(session, progress.step, answers(session), output)
        if request.name in ("evaluate", "sample", "checkpoint"):
            phase("paused" if paused else "training")
        _done(session, output, request)
        if request.name in ("stop", "abort"):
            return "stopped" if request.name == "stop" else "aborted"


def _acknowledge(output: Output, request: Request) -> None:
    if request.command is not None:
        output.event("control", id=request.command.id, command=request.name, status="acknowledged", note="")


def _done(session: Session, output: Output, request: Request) -> None:
    if request.command is not None:
        finish(session.paths, request.command)
        output.event("control", id=request.command.id, command=request.name, status="done", note="")
