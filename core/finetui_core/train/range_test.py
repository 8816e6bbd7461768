"""The learning-rate range test: a short run whose learning rate rises until the loss does."""

import math

from finetui_core.runs.rate_range import Divergence, RateRange
from finetui_core.train.checkpoint import Progress
from finetui_core.train.control import StopSignal
from finetui_core.train.loop import metric_record
from finetui_core.train.measuring import Meters
from finetui_core.train.output import Output
from finetui_core.train.requests import answer_requests
from finetui_core.train.schedule import rising_rate
from finetui_core.train.setup import Session
from finetui_core.train.step import train_step


def raise_rate(session: Session, rates: RateRange, output: Output, stop: StopSignal) -> tuple[str, int]:
    """Train on the run's own batches at a learning rate that rises by equal factors from step to step.

    Nothing is evaluated and nothing saved: the weights are spoilt at the end. Returns what ended it and the last
    step: "completed", "edge" where the loss diverged before, "stopped" or "aborted".
    """
    total = session.schedule.total_steps
    divergence, meters = Divergence(), Meters()
    step = 0

    def phase(name: str) -> None:
        output.beat(step=step, phase=name, total_steps=total)
        output.event("phase", phase=name, step=step)

    phase("training")
    while step < total:
        ended = answer_requests(
            session, meters, Progress(step=step), output, stop, phase, lambda reason: True
        )
        if ended is not None:
            return ended, step
        rate = rising_rate(step + 1, low=rates.low, high=rates.high, total_steps=total)
        result = train_step(session, step + 1, rate)
        output.metric(metric_record(session, step + 1, result))
        step += 1
        output.beat(step=step, phase="training", total_steps=total)
        seeks_scale = session.scaler.is_enabled()  # its first gradients may be no numbers
        if divergence.seen(result.loss) or not (math.isfinite(result.grad_norm) or seeks_scale):
            return "edge", step
    return "completed", step
