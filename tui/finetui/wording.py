"""Numbers, states and events in words, the same on every screen."""

import math
from collections.abc import Mapping
from typing import Any

NOTHING = "–"

STATES: Mapping[str, tuple[str, str, str]] = {
    "starting": ("○", "starting", "accent"),
    "running": ("●", "running", "good"),
    "paused": ("‖", "paused", "warning"),
    "stalled": ("◌", "stalled", "warning"),
    "silent": ("?", "silent", "warning"),
    "finished": ("✓", "finished", "good"),
    "stopped": ("■", "stopped", "muted"),
    "failed": ("✗", "failed", "bad"),
    "killed": ("✗", "killed", "bad"),
    "out_of_memory": ("✗", "out of memory", "bad"),
    "died": ("†", "died", "bad"),
}
"""State → glyph, word, style."""

LIVE = frozenset({"starting", "running", "paused", "stalled", "silent"})


def state_words(state: str) -> tuple[str, str]:
    """Glyph and word of `state`, and their style."""
    glyph, word, style = STATES.get(state, ("?", state, "warning"))
    return f"{glyph} {word}", style


def number(value: object) -> float | None:
    """`value` if it is a number: what comes from files may be anything."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def loss(value: object) -> str:
    known = number(value)
    return NOTHING if known is None else f"{known:.4f}" if abs(known) < 1e4 else f"{known:.3g}"


def perplexity(eval_loss: object) -> str:
    """exp(loss), where that is a number worth reading."""
    known = number(eval_loss)
    return NOTHING if known is None or known > 20 else f"{math.exp(known):,.2f}"


def count(value: object) -> str:
    known = number(value)
    return NOTHING if known is None else f"{known:,.0f}"


def percent(share: object) -> str:
    known = number(share)
    return NOTHING if known is None else f"{known * 100:.0f} %"


def size(number_of_bytes: object) -> str:
    known = number(number_of_bytes)
    if known is None:
        return NOTHING
    for unit in ("B", "KiB", "MiB"):
        if known < 1024:
            return f"{known:.{0 if known >= 10 or unit == 'B' else 1}f} {unit}"
        known /= 1024
    return f"{known:.1f} GiB"


def duration(seconds: float | None) -> str:
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def age(seconds: float | None) -> str:
    """A duration by its largest unit."""
    if seconds is None:
        return NOTHING
    whole = max(0, int(seconds))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if whole >= length:
            return f"{whole // length} {unit}"
    return f"{whole} s"


def event_sentence(event: Mapping[str, Any]) -> tuple[str, str]:
    """What happened, in a sentence, and its style."""
    kind = str(event.get("type", ""))
    sentence = _SENTENCES.get(kind)
    if sentence is None:
        return kind or "unnamed event", "muted"
    try:
        return sentence(event)
    except (KeyError, TypeError, ValueError):
        return f"{kind}: {dict(event)}", "muted"


def _phase(event: Mapping[str, Any]) -> tuple[str, str]:
    return str(event["phase"]), "muted"


def _ready(event: Mapping[str, Any]) -> tuple[str, str]:
    rows = (
        f"{count(event.get('train_rows'))} rows for training, {count(event.get('val_rows'))} for validation"
    )
    trained = (
        f"{count(event.get('trainable_parameters'))} of {count(event.get('total_parameters'))} parameters"
    )
    return f"ready: {count(event.get('total_steps'))} steps, {rows}, {trained} are trained", ""


def _evaluation(event: Mapping[str, Any]) -> tuple[str, str]:
    best = ", the best so far" if event.get("best") else ""
    value = event.get("eval_loss")
    return f"validation loss {loss(value)}, perplexity {perplexity(value)}{_at_step(event)}{best}", ""


def _checkpoint(event: Mapping[str, Any]) -> tuple[str, str]:
    return f"checkpoint saved{_at_step(event)}, {size(event.get('bytes'))}, {event.get('reason', '')}", ""


def _checkpoint_skipped(event: Mapping[str, Any]) -> tuple[str, str]:
    return f"checkpoint passed over: {event.get('path')}: {event.get('reason')}", "warning"


def _checkpoint_failed(event: Mapping[str, Any]) -> tuple[str, str]:
    return f"checkpoint not saved{_at_step(event)}: {event.get('error')}", "bad"


def _samples(event: Mapping[str, Any]) -> tuple[str, str]:
    return f"sample answers written{_at_step(event)}", ""


def _control(event: Mapping[str, Any]) -> tuple[str, str]:
    note = f": {event['note']}" if event.get("note") else ""
    return f"{event['command']} {event['status']}{note}", "warning" if event[
        "status"
    ] == "refused" else "accent"


def _alarm(event: Mapping[str, Any]) -> tuple[str, str]:
    return f"{event['message']}{_at_step(event)}", "warning"


def _error(event: Mapping[str, Any]) -> tuple[str, str]:
    problems = [
        " – ".join(str(part) for part in (p.get("where"), p.get("what"), p.get("hint")) if part)
        for p in event["problems"]
    ]
    return "; ".join(problems) or "it failed", "bad"


def _resumed(event: Mapping[str, Any]) -> tuple[str, str]:
    return f"resumed{_at_step(event)} from {event.get('checkpoint')}", "accent"


def _finished(event: Mapping[str, Any]) -> tuple[str, str]:
    reason = str(event["reason"])
    return f"{reason.replace('_', ' ')}{_at_step(event)}", "bad" if reason == "diverged" else "good"


def _at_step(event: Mapping[str, Any]) -> str:
    return f" at step {count(event['step'])}" if event.get("step") is not None else ""


_SENTENCES = {
    "phase": _phase,
    "ready": _ready,
    "evaluation": _evaluation,
    "checkpoint": _checkpoint,
    "checkpoint_skipped": _checkpoint_skipped,
    "checkpoint_failed": _checkpoint_failed,
    "samples": _samples,
    "control": _control,
    "alarm": _alarm,
    "error": _error,
    "resumed": _resumed,
    "finished": _finished,
}
