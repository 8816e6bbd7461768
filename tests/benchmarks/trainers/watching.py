"""Notes the steps and evaluations of a Trainer of transformers, or of one built on it, from outside."""

import time
from collections.abc import Callable
from typing import Any

from marks import Marks

IGNORED = -100
"""The label of a token that carries no loss."""


def counts(inputs: dict[str, Any]) -> tuple[int, int]:
    """(tokens that are no padding, tokens that carry loss) of a batch as it goes into the model."""
    mask, labels = inputs.get("attention_mask"), inputs.get("labels")
    if labels is None:
        labels = inputs["shift_labels"]
    flat = mask is None or mask.dim() != 2
    tokens = inputs["input_ids"].numel() if flat else int(mask.sum())
    return tokens, int((labels != IGNORED).sum())


def watch_steps(trainer: Any, marks: Marks) -> None:
    """Mark each optimizer step of `trainer.train()` with its loss, which is the sum over the passes of the step."""
    from transformers import TrainerCallback

    loss, tokens, supervised = 0.0, 0, 0
    training_step: Callable[..., Any] = trainer.training_step

    def counted_step(model: Any, inputs: dict[str, Any], *rest: Any, **named: Any) -> Any:
        nonlocal loss, tokens, supervised
        here = counts(inputs)
        value = training_step(model, inputs, *rest, **named)
        loss, tokens, supervised = loss + float(value), tokens + here[0], supervised + here[1]
        return value

    class Marking(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            nonlocal loss, tokens, supervised
            marks.step(loss, tokens, supervised)
            loss, tokens, supervised = 0.0, 0, 0

    trainer.training_step = counted_step
    trainer.add_callback(Marking())


def evaluate(trainer: Any, marks: Marks) -> None:
    """Run and mark `trainer.evaluate()`. Its own mean is one over batches; the loss noted is that per token."""
    summed, tokens, supervised = 0.0, 0, 0
    prediction_step: Callable[..., Any] = trainer.prediction_step

    def counted_step(model: Any, inputs: dict[str, Any], *rest: Any, **named: Any) -> Any:
        nonlocal summed, tokens, supervised
        here = counts(inputs)
        answer = prediction_step(model, inputs, *rest, **named)
        summed, tokens, supervised = (
            summed + float(answer[0]) * here[1],
            tokens + here[0],
            supervised + here[1],
        )
        return answer

    trainer.prediction_step = counted_step
    clock, cpu = time.perf_counter(), time.process_time()
    trainer.evaluate()
    marks.evaluation(
        time.perf_counter() - clock, time.process_time() - cpu, summed / supervised, supervised, tokens
    )
