"""The charts of the dashboard: which curves each has, where they come from, and what its legend says."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from finetui.curves import Curves, Numbers, Window, sampled, trailing_means
from finetui.followed import Followed
from finetui.lens import Lens, fitting_smoothing
from finetui.widgets.plot import Look, Mark, Point, Series
from finetui.widgets.scales import Unit
from finetui_core import wording
from finetui_core.runs.alarms import go_back_to

RUN_MARKS = (("●", "○"), ("■", "□"), ("▲", "△"), ("◆", "◇"), ("▼", "▽"), ("★", "☆"))
"""For each of several runs the mark on its lines and the shape of its evaluations."""
MOST_EVALUATION_MARKS = 30
_LABEL_CELLS = 18
_EVENT_MARKS = {
    "alarm": Mark(0, "!", "alarm", "warning", 4),
    "resumed": Mark(0, "↻", "resumed", "accent", 3),
    "rolled_back": Mark(0, "↻", "went back", "accent", 3),
}
_MACHINE_LABELS = {"cpu": "CPU", "memory": "memory"}

Values = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: the metric that it draws point by point, and the number of the evaluations beside it.

    `bends` is applied to every value. `noisy`: drawn as dots with the mean as a line; otherwise as a line.
    `says` writes a value for the legend.
    """

    id: str
    title: str
    metric: str
    label: str
    says: Callable[[object], str]
    evaluation: str = ""
    noisy: bool = True
    bends: Values | None = None
    y_unit: Unit = "number"
    y_range: tuple[float, float] | None = None


def _number(value: object) -> str:
    known = wording.number(value)
    if known is None:
        return wording.NOTHING
    return f"{known:,.0f}" if 1000 <= abs(known) < 1e7 else f"{known:.4g}"


def _exponential(value: float) -> float:
    """exp, where that is a number worth drawing (see wording.perplexity)."""
    return math.exp(value) if value <= 20 else math.nan


CHARTS = (
    Chart("loss", "loss", "loss", "train", wording.loss, evaluation="eval_loss"),
    Chart("perplexity", "perplexity", "loss", "train", _number, evaluation="eval_loss", bends=_exponential),
    Chart("learning_rate", "learning rate", "learning_rate", "", _number, noisy=False),
    Chart("grad_norm", "gradient norm", "grad_norm", "", _number),
    Chart("tokens", "tokens/s", "tokens_per_second", "", _number),
    Chart("machine", "machine", "", "", wording.percent, y_unit="share", y_range=(0.0, 1.0)),
)
HOSTED = (
    *CHARTS[:2],
    Chart(
        "accuracy",
        "token accuracy",
        "mean_token_accuracy",
        "train",
        wording.percent,
        evaluation="mean_token_accuracy",
        y_unit="share",
        y_range=(0.0, 1.0),
    ),
)
"""What the provider of a hosted job tells."""


def charts_of(runs: Sequence[Followed]) -> tuple[Chart, ...]:
    """The charts that these runs have numbers for."""
    return HOSTED if runs and all(run.view.hosted for run in runs) else CHARTS


def chart_look(chart: Chart, lens: Lens, window: Window, *, several: bool) -> Look:
    """How `chart` is to be drawn for one run, or for `several`, of which the raw curves are left out."""
    log = chart.id in lens.log and chart.y_range is None
    smoothed = ", smoothed" if several and chart.noisy and chart.metric and lens.smoothing != 1 else ""
    at = f" at step {lens.at:,.0f}" if lens.at is not None else ""
    return Look(
        title=chart.title + (", log" if log else "") + smoothed + at,
        unit=lens.axis,
        y_unit=chart.y_unit,
        window=window,
        log=log,
        full=chart.id in lens.full,
        y_range=chart.y_range,
    )


def series_of(
    chart: Chart, runs: Sequence[Followed], lens: Lens, window: Window, dots: int
) -> tuple[Series, ...]:
    """The curves of `chart` within `window`, with the value that the crosshair reads, or the newest one."""
    if chart.id == "machine":
        return tuple(_machine_series(runs[0], lens, window, dots))
    if len(runs) == 1:
        return tuple(_run_series(chart, runs[0], lens, window, dots, alone=True))
    found: list[Series] = []
    names = short_names([(run.label, run.path.name) for run in runs])
    for place, run in enumerate(runs):
        found += _marked(list(_run_series(chart, run, lens, window, dots, alone=False)), place, names[place])
    return tuple(found)


def short_names(names: Sequence[tuple[str, str]]) -> list[str]:
    """What tells the runs apart, given as (name, id): names without their common beginning, or ends of ids."""
    labels = [name for name, _ in names]
    if len(set(labels)) < len(labels):
        labels = [run_id.rpartition("-")[2] for _, run_id in names]
    shared = list(takewhile(lambda letters: len(set(letters)) == 1, zip(*labels, strict=False)))
    start = max(("".join(letters[0] for letters in shared)).rfind(mark) for mark in "-_ ./") + 1
    return [_shortened(label[start:]) for label in labels]


def _shortened(label: str) -> str:
    """Beginning and end: names of runs often differ in one of them."""
    return label if len(label) <= _LABEL_CELLS else f"{label[:7]}…{label[8 - _LABEL_CELLS :]}"


def _run_series(
    chart: Chart, run: Followed, lens: Lens, window: Window, dots: int, *, alone: bool
) -> Iterator[Series]:
    parts = [curves for curves in (run.curves(), run.newest(lens.axis)) if curves and len(curves.columns)]
    points = sum(len(curves.columns) for curves in parts)
    steps = (lens.smoothing or fitting_smoothing(points)) if chart.noisy else 1
    raw: list[Point] = []
    mean: list[Point] = []
    for curves in parts:
        xs, extremes = curves.xs(lens.axis), curves.extremes(chart.metric)
        if alone or steps == 1:
            raw += [*sampled(xs, extremes, window, dots), (window[0], None)]
        if steps > 1:
            mean += [*trailing_means(xs, extremes, window, dots, steps), (window[0], None)]
    if any(y is not None for _, y in raw):
        value = _bent(chart, _read(parts, chart.metric, lens.at, 1))
        label = f"{chart.label} {chart.says(value)}".strip()
        style = "raw" if steps > 1 else "train"
        yield Series(label, style, "dots" if steps > 1 else "line", _bend(chart, raw))
    if any(y is not None for _, y in mean):
        value = _bent(chart, _read(parts, chart.metric, lens.at, steps))
        label = f"mean of {steps} {chart.says(value)}" if alone else chart.says(value)
        yield Series(label, "train", "line", _bend(chart, mean))
    if chart.evaluation:
        yield from _evaluation_series(chart, run, lens, window, dots)


def _evaluation_series(
    chart: Chart, run: Followed, lens: Lens, window: Window, dots: int
) -> Iterator[Series]:
    curves = run.evaluations()
    values = curves.extremes(chart.evaluation)
    steps = curves.columns.column("step")
    xs = steps
    if lens.axis != "step":
        xs = Numbers("d", [run.x_of_step(step, lens.axis) or 0.0 for step in steps])
    points = sampled(xs, values, window, dots)
    if any(y is not None for _, y in points):
        place = _place(steps, lens.at)
        value = _bent(chart, values.values[place] if place >= 0 else None)
        at = "" if lens.at is None or place < 0 else f" (step {steps[place]:,.0f})"
        yield Series(f"validation {chart.says(value)}{at}", "validation", "markers", _bend(chart, points))


def _machine_series(run: Followed, lens: Lens, window: Window, dots: int) -> Iterator[Series]:
    """Memory and use of each GPU, or of the machine where there is none; styles repeat, labels do not."""
    curves = run.machine()
    if curves is None or not len(curves.columns):
        return
    xs = run.machine_xs(lens.axis)
    names = [name for name in curves.columns.names() if name.startswith("gpu ")] or ["memory", "cpu"]
    place = _place(xs, None if lens.at is None else run.x_of_step(lens.at, lens.axis))
    for name in names:
        values = curves.extremes(name)
        points = sampled(xs, values, window, dots)
        if any(y is not None for _, y in points):
            value = values.values[place] if 0 <= place < len(values.values) else None
            label = f"{_MACHINE_LABELS.get(name, name.replace('gpu', 'GPU'))} {wording.percent(value)}"
            if name.endswith("memory"):
                yield Series(label, "train", "line", tuple(points))
            else:
                yield Series(label, "raw", "dots", tuple(points))


def _marked(series: Sequence[Series], place: int, name: str) -> list[Series]:
    """The series of one of several runs, with its own style and mark."""
    line, evaluation = RUN_MARKS[place % len(RUN_MARKS)]
    style = f"run-{place % len(RUN_MARKS) + 1}"
    return [
        replace(one, style=style, mark=evaluation, label=one.label.removeprefix("validation "))
        if one.kind == "markers"
        else replace(one, style=style, mark=line, label=f"{name} {one.label.removeprefix('train ')}")
        for one in series
    ]


def marks_of(chart: Chart, run: Followed, lens: Lens, window: Window) -> list[Mark]:
    """What happened in `window`: values that are not finite, alarms, resumes, checkpoints, evaluations."""
    found = _nonfinite_marks(chart, run)
    found += [(step, _EVENT_MARKS[kind]) for step, kind in run.notable(_EVENT_MARKS)]
    found += _go_back_marks(run)
    found += [(event.get("step"), Mark(0, "▲", "checkpoint", "axis", 2)) for event in run.view.checkpoints]
    if not chart.evaluation and len(run.view.evaluations) <= MOST_EVALUATION_MARKS:
        found += [
            (event.get("step"), Mark(0, "◆", "evaluation", "validation", 1)) for event in run.view.evaluations
        ]
    marks = []
    for step, mark in found:
        x = run.x_of_step(step, lens.axis) if isinstance(step, int | float) else None
        if x is not None and window[0] <= x <= window[1]:
            marks.append(replace(mark, x=x))
    return marks


def _go_back_marks(run: Followed) -> list[tuple[object, Mark]]:
    """The step that the alarm above the charts names."""
    steps = [go_back_to(alarm) for alarm in getattr(run.view, "alarms", ())[:1]]
    return [(step, Mark(0, "↶", f"go back to {step:,}", "good", 6)) for step in steps if step is not None]


def _nonfinite_marks(chart: Chart, run: Followed) -> list[tuple[object, Mark]]:
    stretches = [(step, word) for step, name, word in run.view.columns.nonfinite if name == chart.metric]
    if not stretches:
        return []
    (step, word), more = stretches[0], len(stretches) - 1
    words = f"{word} at step {step:,.0f}" + (f" and {more:,} more" if more else "")
    return [(step, Mark(0, "×", words, "bad", 5)) for step, _ in stretches]


def _bend(chart: Chart, points: Sequence[Point]) -> tuple[Point, ...]:
    if chart.bends is None:
        return tuple(points)
    return tuple((x, None if y is None else _bent(chart, y)) for x, y in points)


def _bent(chart: Chart, value: float | None) -> float | None:
    return value if value is None or chart.bends is None else chart.bends(value)


def _read(parts: Sequence[Curves], metric: str, at: float | None, steps: int) -> float | None:
    """The mean of the last `steps` values at step `at`, or at the end; without a step there, None."""
    for curves in reversed(parts):
        known = curves.columns.column("step")
        place = _place(known, at)
        if 0 <= place < len(known) and (at is None or known[place] == at or steps > 1):
            return curves.extremes(metric).mean(max(0, place + 1 - steps), place + 1)
    return None


def _place(xs: "Numbers", x: float | None) -> int:
    """The last place that is not after `x`; the last of all without."""
    return (len(xs) if x is None else bisect_right(xs, x)) - 1
