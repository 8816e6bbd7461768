"""One evaluation: the validation loss, what the meters are due to measure, and sample answers."""

import math
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from finetui_core.files import write_atomically
from finetui_core.runs.records import encode_line
from finetui_core.secrets import redacted_line
from finetui_core.train.checkpoint import Progress
from finetui_core.train.evaluation import perplexity
from finetui_core.train.generate import Sample
from finetui_core.train.measuring import Meters, conclude, fields_of, measure, note
from finetui_core.train.meters.figures import RowLosses
from finetui_core.train.nonfinite import place
from finetui_core.train.nonfinite_words import IN_EVALUATION, evaluation_alarm
from finetui_core.train.output import Output
from finetui_core.train.row_losses import mean_and_row_losses
from finetui_core.train.setup import Session
from finetui_core.train.shortage import free_cached, shortage_of


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
        loss, rows = _losses(session, step, output)
        fields |= {"eval_loss": loss, "eval_perplexity": perplexity(loss)}
        improved = (
            counts
            and math.isfinite(loss)
            and (progress.best_eval_loss is None or loss < progress.best_eval_loss)
        )
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
    if rows is not None:
        _tell_nonfinite(session, meters, step, fields["eval_loss"], rows, output)
    if found.samples:
        keep_samples(session, step, found.samples, output)
    if not asked:
        conclude(session, meters, output)
    return progress, improved


def _losses(session: Session, step: int, output: Output) -> tuple[float, RowLosses]:
    """The losses of the validation rows, with ever fewer rows to a pass where memory runs out; training's stay."""
    layout = session.evaluation_layout
    while True:
        arguments = (layout, session.device, session.processes)
        try:
            with session.autocast():
                return mean_and_row_losses(session.model, session.data.val, session.val_rows, *arguments)
        except Exception as error:
            if shortage_of(error) is None or layout.rows_per_pass == 1:
                raise
        free_cached()
        rows = layout.rows_per_pass // 2
        layout = replace(layout, rows_per_pass=rows, tokens_per_pass=layout.tokens_per_pass // 2)
        output.event("evaluation_halved", step=step, rows=rows)


def _counted(progress: Progress, loss: float, improved: bool) -> Progress:
    if improved:
        return replace(
            progress, best_eval_loss=loss, best_step=progress.step, evaluations_without_improvement=0
        )
    return replace(progress, evaluations_without_improvement=progress.evaluations_without_improvement + 1)


def _tell_nonfinite(
    session: Session, meters: Meters, step: int, loss: float, rows: RowLosses, output: Output
) -> None:
    """Raise the alarm of a validation loss that is not finite, with the rows, and end it at the next that is."""
    if math.isfinite(loss):
        if meters.nonfinite_evaluation:
            message = f"the validation loss is {loss:.4g}"
            output.event("alarm_over", kind=IN_EVALUATION, step=step, message=message)
    else:
        data = session.recipe.data
        bad = np.flatnonzero(~np.isfinite(rows.sums))
        places = [place(session.data.val.sources[session.val_rows[at]]) for at in bad]
        file = Path(data.val or data.train).name
        output.event("alarm", **evaluation_alarm(step, loss, places, len(rows.sums), file))
    meters.nonfinite_evaluation = not math.isfinite(loss)


def keep_samples(session: Session, step: int, samples: list[Sample], output: Output) -> None:
    """Write answers to samples/. A disk that refuses them costs these answers and raises an alarm, nothing more."""
    path = session.paths.sample_file(step)
    try:
        write_atomically(path, b"".join(redacted_line(encode_line(asdict(one))) for one in samples))
    except OSError as error:
        output.event(
            "alarm",
            kind="samples",
            severity="watch",
            step=step,
            message=f"the sample answers of step {step} could not be written: {error.strerror or error}",
            go_back_to=None,
            remedy=f"The run goes on without them. See to the disk of {path.parent}.",
        )
    else:
        output.event("samples", step=step, path=str(path.relative_to(session.paths.root)))
