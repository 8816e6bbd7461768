"""What a run looks like: from its records to rows and curves, without a screen."""

import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetui import states
from finetui.widgets.plot import Point, Row, Series, Span
from finetui_core import wording
from finetui_core.runs.reader import RunView
from finetui_core.runs.sentences import event_sentence

SMOOTHING = 0.9
"""Weight of the past in the smoothed loss; about the last ten steps count."""
MOST_EVENTS = 200
_LOG_BYTES = 16_384
_COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")
_LABEL_WIDTH = 12

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Picture:
    """A run at one moment. `commands` holds the latest "control" event of each command id."""

    name: str
    run_id: str
    state: str
    facts: tuple[Row, ...]
    series: tuple[Series, ...]
    checkpoints: tuple[float, ...]
    events: tuple[Row, ...]
    log: tuple[Row, ...]
    commands: Mapping[str, Record]


def picture(view: RunView) -> Picture:
    """Gather all that the run screen shows. Cost is proportional to the number of steps."""
    summary = view.summary()
    return Picture(
        name=str(summary["name"] or summary["id"]),
        run_id=str(summary["id"]),
        state=str(summary["state"]),
        facts=_facts(summary, view),
        series=loss_curves(view.steps, view.evaluations),
        checkpoints=tuple(step for event in view.checkpoints if (step := _number(event, "step")) is not None),
        events=tuple(_event_row(event) for event in view.events[-MOST_EVENTS:]),
        log=_log_rows(view),
        commands={str(e.get("id")): e for e in view.events if e.get("type") == "control"},
    )


def loss_curves(steps: Sequence[Record], evaluations: Sequence[Record]) -> tuple[Series, ...]:
    """The training loss of each step, the same smoothed, and the validation loss, over steps."""
    raw = _points(steps, "loss")
    smooth = tuple(smoothed(raw))
    validation = _points(evaluations, "eval_loss")
    curves = (
        Series(f"train {_last(raw)}", "raw", "dots", raw),
        Series(f"train, smoothed {_last(smooth)}", "train", "line", smooth),
        Series(f"validation {_last(validation)}", "validation", "markers", validation),
    )
    return tuple(curve for curve in curves if curve.points)


def smoothed(points: Iterable[Point], weight: float = SMOOTHING) -> list[Point]:
    """Exponential moving average of y; a gap stays a gap.

    Divided by the sum of its weights, as in Adam (Kingma & Ba 2015, §3), so that it starts at the first value
    and not at zero.
    """
    average, total = 0.0, 0.0
    result: list[Point] = []
    for x, y in points:
        if y is None:
            result.append((x, None))
            continue
        average = weight * average + (1 - weight) * y
        total = weight * total + (1 - weight)
        result.append((x, average / total))
    return result


def _facts(summary: Record, view: RunView) -> tuple[Row, ...]:
    return (_progress(summary), _train(summary, view.steps), _validation(summary), _machine(view))


def _progress(summary: Record) -> Row:
    words, style = states.state_words(str(summary["state"]))
    live = summary["state"] in states.LIVE
    reason = str(summary.get("reason") or "")
    reason = "" if reason == summary["state"] else reason
    step, total = summary.get("step"), summary.get("total_steps")
    share = f" ({wording.percent(step / total)})" if step is not None and total else ""
    epoch, left = _number(summary, "epoch"), _number(summary, "eta_seconds")
    return _joined(
        (f" {words}", style),
        (reason if live else "", "muted"),
        (f"step {wording.count(step)}/{wording.count(total)}{share}", ""),
        (f"{wording.duration(left)} left" if left is not None else "", ""),
        (f"epoch {epoch:.2f}" if epoch is not None else "", ""),
        ("" if live else reason, style),
    )


def _train(summary: Record, steps: Sequence[Record]) -> Row:
    losses = [(y, x) for x, y in _points(steps, "loss") if y is not None]
    best = min(losses, default=None)
    speed = _number(summary, "tokens_per_second")
    return _labelled(
        "train",
        (f"loss {wording.loss(losses[-1][0] if losses else None)}", "train"),
        (f"best {wording.loss(best[0])} at step {wording.count(best[1])}" if best else "", ""),
        (f"{wording.count(speed)} tokens/s" if speed is not None else "", ""),
    )


def _validation(summary: Record) -> Row:
    now, best = _number(summary, "eval_loss"), _number(summary, "best_eval_loss")
    if now is None and best is None:
        return _labelled("validation", ("not measured yet", "muted"))
    return _labelled(
        "validation",
        (f"loss {wording.loss(now)}", "validation"),
        (f"best {wording.loss(best)} at step {wording.count(_number(summary, 'best_step'))}", ""),
        (f"perplexity {wording.perplexity(now)}", ""),
    )


def _machine(view: RunView) -> Row:
    if not view.system:
        return _labelled("machine", ("not measured yet", "muted"))
    sample = view.system[-1]
    gpus = [gpu for gpu in sample.get("gpus") or () if isinstance(gpu, dict)]
    if not gpus:
        cpu = wording.percent(_number(sample, "cpu"))
        memory = _share(sample, "memory_used", "memory_total")
        return _labelled("machine", (f"no GPU: CPU {cpu}, memory {memory}", ""))
    return _labelled("machine", *((_gpu(gpu, place), "") for place, gpu in enumerate(gpus)))


def _gpu(gpu: Record, place: int) -> str:
    name = f"GPU {gpu.get('index', place)} {gpu.get('name') or ''}".strip()
    use = wording.percent(_number(gpu, "utilization"))
    return f"{name}: {use}, memory {_share(gpu, 'memory_used', 'memory_total')}"


def _share(record: Record, used: str, total: str) -> str:
    return f"{wording.size(_number(record, used))} of {wording.size(_number(record, total))}"


def _event_row(event: Record) -> Row:
    sentence, style = event_sentence(event)
    at = _number(event, "t")
    return (f" {_clock_time(at)}  ", "muted"), (sentence, style)


def _clock_time(seconds: float | None) -> str:
    try:
        return time.strftime("%H:%M:%S", time.localtime(seconds)) if seconds is not None else "--:--:--"
    except (ValueError, OverflowError, OSError):
        return "--:--:--"


def _log_rows(view: RunView) -> tuple[Row, ...]:
    if not view.attempts:
        return (((" no process was started yet", "muted"),),)
    path = view.paths.log(view.attempts[-1].attempt)
    lines = _COLOUR_CODES.sub("", _end_of(path)).split("\n")
    return tuple(((" ", ""), (line.rstrip("\r").rpartition("\r")[2], "")) for line in lines if line.strip())


def _end_of(path: Path) -> str:
    """The last lines of a text file, or a sentence on why there are none."""
    try:
        with path.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - _LOG_BYTES)
            file.seek(start)
            content = file.read(_LOG_BYTES)
    except OSError as error:
        return f"cannot read {path}: {error.strerror}"
    if start:
        content = content.partition(b"\n")[2]
    return content.decode("utf-8", "backslashreplace")


def _points(records: Iterable[Record], field: str) -> tuple[Point, ...]:
    return tuple((record["step"], _number(record, field)) for record in records)


def _number(record: Record, field: str) -> float | None:
    return wording.number(record.get(field))


def _last(points: Sequence[Point]) -> str:
    return wording.loss(points[-1][1] if points else None)


def _labelled(label: str, *spans: Span) -> Row:
    return (f" {label:{_LABEL_WIDTH}}", "muted"), *_joined(*spans)


def _joined(*spans: Span) -> Row:
    """Spans that say something, three cells apart."""
    said = [span for span in spans if span[0]]
    return tuple(part for span in said for part in (("   ", ""), span))[1:]
