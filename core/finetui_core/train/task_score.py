"""How good the model's answers are by the metric of their task, so that nobody steers by loss alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from finetui_core.evaluate.metrics import METRICS, OF_TASK, task_of
from finetui_core.train.forward import Rows
from finetui_core.train.generate import Sample, decoded, last_answer

ROWS = 16


@dataclass(frozen=True, slots=True)
class Asked:
    """The validation rows whose answers are scored in every evaluation, and the metric that fits them."""

    numbers: tuple[int, ...]
    metric: str


def asked_rows(rows: Rows, numbers: Sequence[int], tokenizer: Any, longest: int) -> Asked | None:
    """The first `ROWS` with an answer of at most `longest` tokens; None where there are none.

    The metric is that of all answers of `numbers`, not of these few.
    """
    answers = {number: span for number in numbers if (span := last_answer(rows[number][1])) is not None}
    fitting = [number for number, (start, end) in answers.items() if end - start <= longest][:ROWS]
    if not fitting:
        return None
    references = [decoded(tokenizer, rows[number][0][slice(*span)]) for number, span in answers.items()]
    return Asked(tuple(fitting), OF_TASK[task_of(references)][0])


def mean_score(metric: str, samples: Sequence[Sample]) -> float:
    """The metric's mean over the answers, 0 to 1."""
    return sum(METRICS[metric](one.answer, one.reference) for one in samples) / len(samples)
