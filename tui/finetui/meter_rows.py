"""What the meters of a run tell: the alarm above the charts, and the panel with all of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from finetui.picture import LABEL_WIDTH
from finetui.text import wrapped
from finetui.widgets.plot import Row
from finetui_core import wording
from finetui_core.runs.alarms import gist, go_back_to, is_grave, kind_in_words, severity_in_words

Record = Mapping[str, Any]

MOST_EVALUATIONS = 500
_COLUMNS = (
    ("step", 8),
    ("validation", 12),
    ("general text", 14),
    ("KL", 7),
    ("own text", 14),
    ("KL", 7),
    ("recited", 9),
    ("of new", 8),
)
"""Heading and width; 79 cells in all."""
_MEANINGS = (
    ("validation", "nats per token on rows that are not trained on; * the best until then."),
    ("general text", "how much more a general text costs than before training, in nats and perplexity."),
    ("own text", "the same for text that the base wrote itself. From 0.05 on it forgets, from 0.15 on much."),
    ("KL", "how far the model's predictions are from the base's on that text, in nats per token."),
    ("recited", "of the ends of trained answers, what it gives word for word; beside it, of new ones."),
)


def alarm_row(alarms: Sequence[Record], key: str) -> Row:
    """The first alarm as one line, with the key that shows the rest; nothing without one."""
    if not alarms:
        return ()
    first, more = alarms[0], len(alarms) - 1
    others = f" +{more}" if more else ""
    return (
        (f" {kind_in_words(first):{LABEL_WIDTH}} ", "muted"),
        (f"! {severity_in_words(first)}  ", _style(first)),
        (gist(first), ""),
        (f"  {key}", "strong"),
        (f" why{others}", "muted"),
    )


def meter_rows(alarms: Sequence[Record], evaluations: Sequence[Record], width: int) -> tuple[Row, ...]:
    """The alarms that stand, with evidence and remedy; then every meter at every evaluation, the newest first."""
    rows: list[Row] = []
    for alarm in alarms:
        rows += [*_alarm_rows(alarm, width), ()]
    if not alarms:
        rows += [((" ✓ no alarm stands", "good"),), ()]
    rows.append(tuple((f"{name:>{cells}}", "muted") for name, cells in _COLUMNS))
    rows += [_evaluation_row(event) for event in evaluations[: -MOST_EVALUATIONS - 1 : -1]]
    if not evaluations:
        rows.append(((" nothing is measured yet: the meters read at each evaluation (eval.steps)", "muted"),))
    rows.append(())
    for name, meaning in _MEANINGS:
        rows += _paragraph(((f" {name:14}", ""),), meaning, "muted", width)
    return tuple(rows)


def _alarm_rows(alarm: Record, width: int) -> list[Row]:
    step = wording.count(alarm.get("step"))
    head: Row = (
        (f" ! {severity_in_words(alarm)}", _style(alarm)),
        (f"  {kind_in_words(alarm)}", "strong"),
        (f", at step {step}", "muted"),
    )
    rows = [head, *_paragraph((("   ", ""),), str(alarm.get("message", "")), "", width)]
    best = go_back_to(alarm)
    if best is not None:
        rows.append((("   ↶ go back to step ", "muted"), (f"{best:,}", "good")))
    if alarm.get("remedy"):
        rows += _paragraph((("   → ", "accent"),), str(alarm["remedy"]), "accent", width)
    return rows


def _paragraph(head: Row, text: str, style: str, width: int) -> list[Row]:
    indent = sum(len(part) for part, _ in head)
    first, *others = wrapped(text, max(8, width - indent - 1))
    return [(*head, (first, style)), *(((" " * indent, ""), (other, style)) for other in others)]


def _evaluation_row(event: Record) -> Row:
    values = (
        wording.count(event.get("step")),
        wording.loss(event.get("eval_loss")) + (" *" if event.get("best") else "  "),
        _rise(event.get("probe_rise")),
        _short(event.get("probe_kl")),
        _rise(event.get("own_text_rise")),
        _short(event.get("own_text_kl")),
        wording.percent(event.get("overlap_train")),
        wording.percent(event.get("overlap_val")),
    )
    return tuple((f"{value:>{cells}}", "") for value, (_, cells) in zip(values, _COLUMNS, strict=True))


def _rise(value: object) -> str:
    nats = wording.number(value)
    if nats is None:
        return wording.NOTHING
    return f"{nats:+.3f}" + (f" {100 * math.expm1(nats):+.0f} %" if nats < 2 else "")


def _short(value: object) -> str:
    known = wording.number(value)
    return wording.NOTHING if known is None else f"{known:.3f}"


def _style(alarm: Record) -> str:
    return "bad" if is_grave(alarm) else "warning"
