"""What the dashboard says otherwise of a run that follows a hosted job: the provider trains, and tells little."""

from collections.abc import Mapping, Sequence
from typing import Any

from finetui.text import wrapped
from finetui.widgets.plot import Row, Span
from finetui_core import wording
from finetui_core.hosted.ends import job_is_over

NEVER_TAKEN = ("checkpoint", "pause", "evaluate", "sample", "abort")
"""Commands that mean nothing to a provider."""
ONLY_CANCELLED = "a hosted job can only be cancelled"
CANCEL = "Cancel this job? What it has trained until now may be billed, and it cannot go on later."
LABELS = {"run.stop": "cancel job", "run.resume": "follow again"}
FOLLOWS_AGAIN = "follows the job again, which may have gone on without this run"
MOST_EVALUATIONS = 500
_MACHINE = "the provider's, which tells nothing of it"
_SAMPLES = "The provider writes no sample answers. Its model answers here with: ftui compare … --endpoint"
_METERS = (
    "The provider measures the validation loss: of a batch at some steps, of all rows (*) at the ends of epochs. "
    "It does not tell whether the model forgets, or recites what it was taught."
)

Record = Mapping[str, Any]


def is_hosted(view: Any) -> bool:
    """Whether the view is of a run that follows a hosted job."""
    return view is not None and bool(view.hosted)


def why_over(view: Any) -> str:
    """Why the job of the run cannot be followed again; "" where it can."""
    return "the job is over: start a new one with ftui hosted start" if job_is_over(view.events) else ""


def machine_words() -> list[Span]:
    """In place of the machine's numbers."""
    return [(_MACHINE, "muted")]


def panel_rows(name: str, view: Any, width: int) -> Sequence[Row] | None:
    """What a panel shows in place of what only a training on this machine has; None where it shows the usual."""
    if name == "machine":
        return (((f" {_MACHINE}", "muted"),),)
    if name == "samples":
        return _said(_SAMPLES, width)
    if name == "meters":
        head: Row = ((f"{'step':>8}{'validation':>12}{'accuracy':>10}", "muted"),)
        rows = [_evaluation(event) for event in view.evaluations[: -MOST_EVALUATIONS - 1 : -1]]
        return (head, *(rows or [((" nothing is measured yet", "muted"),)]), (), *_said(_METERS, width))
    return None


def _evaluation(event: Record) -> Row:
    mark = " *" if event.get("whole_set") else "  "
    accuracy = wording.percent(event.get("mean_token_accuracy"))
    loss = wording.loss(event.get("eval_loss")) + mark
    return ((f"{wording.count(event.get('step')):>8}{loss:>12}{accuracy:>10}", ""),)


def _said(text: str, width: int) -> Sequence[Row]:
    return tuple(((f" {line}", "muted"),) for line in wrapped(text, max(8, width - 2)))
