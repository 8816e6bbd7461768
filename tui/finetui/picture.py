"""What a run looks like in numbers: from its view to rows, without a screen."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from finetui import states
from finetui.followed import Followed
from finetui.hosted_rows import is_hosted, machine_words
from finetui.machine_rows import machine_line
from finetui.widgets.plot import Row, Span
from finetui_core import wording
from finetui_core.runs.sentences import event_sentence

LABEL_WIDTH = 12
_DAY = 86400

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Moment:
    """A run at one moment: its summary, and what the metrics add to it. Times in seconds, sizes in bytes."""

    summary: Record
    point: Record
    best_loss: tuple[float, float] | None
    peak_memory: float | None
    tokens: float | None
    step_seconds: float | None
    done_at: float | None


def moment(run: Followed, clock: Callable[[], float]) -> Moment:
    """Gather the numbers of a run now. Costs little, however long the run is."""
    summary = run.view.summary()
    left = wording.number(summary.get("eta_seconds")) if summary.get("state") == "running" else None
    return Moment(
        summary=summary,
        point=run.last_point(),
        best_loss=run.least("loss"),
        peak_memory=run.greatest("gpu_memory_peak") or run.peak_trainer_memory(),
        tokens=run.tokens(),
        step_seconds=wording.number(run.last_point().get("step_seconds")),
        done_at=None if left is None else clock() + left,
    )


def facts(now: Moment, run: Followed) -> tuple[Row, ...]:
    """The four lines above the charts."""
    return (_progress(now, run), _train(now), _validation(now.summary), _machine(now, run))


def _progress(now: Moment, run: Followed) -> Row:
    summary = now.summary
    words, style = states.state_words(str(summary["state"]))
    live = summary["state"] in states.LIVE
    reason = str(summary.get("reason") or "")
    reason = "" if reason == summary["state"] else reason
    step, total = wording.number(summary.get("step")), wording.number(summary.get("total_steps"))
    share = f" ({wording.percent(step / total)})" if step is not None and total else ""
    left = wording.number(summary.get("eta_seconds")) if now.done_at is not None else None
    if run.gone:
        return _joined(
            (" ! its folder is gone", "bad"), (f"it was {words} at step {wording.count(step)}", "")
        )
    reading = f"reading, {wording.size(run.unread)} to go" if run.unread else ""
    return _joined(
        (f" {words}", style),
        (reason if live else "", "muted"),
        (f"step {wording.count(step)}/{wording.count(total)}{share}", ""),
        (f"{wording.duration(left)} left" if left is not None else "", ""),
        (f"done {clock_time(now.done_at, left)}" if now.done_at is not None else "", ""),
        (reading, "accent"),
        ("" if live else reason, style),
    )


def _train(now: Moment) -> Row:
    best, speed = now.best_loss, wording.number(now.summary.get("tokens_per_second"))
    epoch = wording.number(now.summary.get("epoch"))
    return labelled(
        "train",
        (f"loss {wording.loss(now.point.get('loss'))}", "train"),
        (f"best {wording.loss(best[0])} at step {wording.count(best[1])}" if best else "", ""),
        (f"{wording.count(speed)} tokens/s" if speed is not None else "", ""),
        (f"epoch {epoch:.2f}" if epoch is not None else "", ""),
    )


def _validation(summary: Record) -> Row:
    now, best = wording.number(summary.get("eval_loss")), wording.number(summary.get("best_eval_loss"))
    if now is None and best is None:
        return labelled("validation", ("not measured yet", "muted"))
    return labelled(
        "validation",
        (f"loss {wording.loss(now)}", "validation"),
        (f"best {wording.loss(best)} at step {wording.count(summary.get('best_step'))}", ""),
        (f"perplexity {wording.perplexity(now)}", ""),
    )


def _machine(now: Moment, run: Followed) -> Row:
    if is_hosted(run.view):
        return labelled("machine", *machine_words())
    peak = f"peak {wording.size(now.peak_memory)}" if now.peak_memory else ""
    return labelled("machine", *machine_line(run.view.system), (peak, ""))


NUMBERS: tuple[tuple[str, Callable[[Moment], str], str], ...] = (
    (
        "step",
        lambda now: (
            f"{wording.count(now.summary.get('step'))} of {wording.count(now.summary.get('total_steps'))}"
        ),
        "Optimizer steps done, and planned. In one step the model sees one global batch and changes once.",
    ),
    (
        "epoch",
        lambda now: _rounded(now.summary.get("epoch"), 2),
        "How often all rows of the training set have been seen.",
    ),
    (
        "time left",
        lambda now: wording.duration(wording.number(now.summary.get("eta_seconds"))),
        "Steps to go times the usual length of the last 50 steps; evaluations and saving come on top.",
    ),
    (
        "done at",
        lambda now: clock_time(now.done_at, wording.number(now.summary.get("eta_seconds"))),
        "When the last step would end at this pace, by the clock of this machine.",
    ),
    (
        "loss",
        lambda now: wording.loss(now.point.get("loss")),
        "Training loss of the last step: the mean over its supervised tokens of -log(probability), in nats.",
    ),
    (
        "best loss",
        lambda now: _value_at(now.best_loss),
        "The least training loss of a single step. It is noisy: compare validation losses instead.",
    ),
    (
        "validation loss",
        lambda now: wording.loss(now.summary.get("eval_loss")),
        "The same on rows that are not trained on. When it rises while the training loss falls, it overfits.",
    ),
    (
        "best validation",
        lambda now: _value_at(_pair(now.summary.get("best_eval_loss"), now.summary.get("best_step"))),
        "The lowest validation loss so far: its checkpoint is kept.",
    ),
    (
        "perplexity",
        lambda now: wording.perplexity(now.summary.get("eval_loss")),
        "exp(validation loss): among how many tokens, equally likely, the model seems to choose.",
    ),
    (
        "learning rate",
        lambda now: _rounded(now.point.get("learning_rate"), None),
        "The size of the last change, as the schedule has it now.",
    ),
    (
        "gradient norm",
        lambda now: _rounded(now.point.get("grad_norm"), None),
        "The length of the gradient before it is cut to train.max_grad_norm. Spikes warn of divergence.",
    ),
    (
        "tokens/s",
        lambda now: wording.count(now.summary.get("tokens_per_second")),
        "All tokens of the last step, supervised or not, by its seconds.",
    ),
    (
        "seconds/step",
        lambda now: _rounded(now.step_seconds, None),
        "How long the last step took.",
    ),
    (
        "tokens",
        lambda now: wording.count(now.tokens),
        "All tokens seen in training so far, each time they were seen.",
    ),
    (
        "peak memory",
        lambda now: wording.size(now.peak_memory),
        "The most memory that training held at once: on the GPU, or of the process where there is none.",
    ),
    (
        "lines skipped",
        lambda now: wording.count(now.summary.get("skipped_lines")),
        "Lines of the run's files that could not be read, as a crash or a full disk leaves them.",
    ),
)
"""Name, value and meaning of each number."""


def number_rows(now: Moment) -> tuple[Row, ...]:
    """Every number with what it means."""
    rows: list[Row] = []
    for name, value, meaning in NUMBERS:
        rows.append(((f" {name:17}", ""), (value(now), "strong")))
        rows.append((("    ", ""), (meaning, "muted")))
    return tuple(rows)


def event_row(event: Record) -> Row:
    """An event as a line: when, and what happened."""
    sentence, style = event_sentence(event)
    at = wording.number(event.get("t"))
    return (f" {_time_of_day(at)}  ", "muted"), (sentence, style)


def clock_time(seconds: float | None, away: float | None) -> str:
    """A moment of this machine's clock; with the day where it is more than a day `away`."""
    try:
        if seconds is None:
            return wording.NOTHING
        form = "%H:%M" if (away or 0) < _DAY else "%a %d %b %H:%M"
        return time.strftime(form, time.localtime(seconds))
    except (ValueError, OverflowError, OSError):
        return wording.NOTHING


def _time_of_day(seconds: float | None) -> str:
    try:
        return time.strftime("%H:%M:%S", time.localtime(seconds)) if seconds is not None else "--:--:--"
    except (ValueError, OverflowError, OSError):
        return "--:--:--"


def _rounded(value: object, digits: int | None) -> str:
    known = wording.number(value)
    if known is None:
        return wording.NOTHING
    return f"{known:.4g}" if digits is None else f"{known:.{digits}f}"


def _pair(value: object, step: object) -> tuple[float, float] | None:
    number, at = wording.number(value), wording.number(step)
    return None if number is None or at is None else (number, at)


def _value_at(best: tuple[float, float] | None) -> str:
    return f"{wording.loss(best[0])} at step {wording.count(best[1])}" if best else wording.NOTHING


def labelled(label: str, *spans: Span) -> Row:
    return (f" {label:{LABEL_WIDTH}}", "muted"), *_joined(*spans)


def _joined(*spans: Span) -> Row:
    """Spans that say something, three cells apart."""
    *others, last = [span for span in spans if span[0]] or [("", "")]
    return (*((f"{text}   ", style) for text, style in others), last)
