"""Events in words: one sentence for each type, and its tone."""

from collections.abc import Mapping
from typing import Any

from finetui_core.runs.alarms import is_grave, kind_in_words
from finetui_core.runs.inexact import in_words
from finetui_core.wording import count, duration, loss, perplexity, size


def event_sentence(event: Mapping[str, Any]) -> tuple[str, str]:
    """What happened, in a sentence, and its tone: "", "muted", "accent", "good", "warning" or "bad"."""
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
    if "hosted" in event:
        return f"the job {event['hosted']} trains: {count(event.get('total_steps'))} steps", ""
    trained = (
        f"{count(event.get('trainable_parameters'))} of {count(event.get('total_parameters'))} parameters"
    )
    return f"ready: {count(event.get('total_steps'))} steps, {rows}, {trained} are trained", ""


def _data_check(event: Mapping[str, Any]) -> tuple[str, str]:
    return str(event["verdict"]), "warning" if event["errors"] or event["unusable_rows"] else ""


def _evaluation(event: Mapping[str, Any]) -> tuple[str, str]:
    best = ", the best so far" if event.get("best") else ""
    value = event.get("eval_loss")
    said = [f"validation loss {loss(value)}, perplexity {perplexity(value)}"] if "eval_loss" in event else []
    if "task_score" in event:
        metric = str(event["task_metric"]).replace("_", " ")
        said.append(f"{metric} {event['task_score']:.0%} on {count(event['task_rows'])} rows")
    if "probe_loss" in event:
        rise = f" ({event['probe_rise']:+.3f})" if event.get("probe_rise") is not None else ""
        said.append(f"general text {loss(event['probe_loss'])}{rise}")
    if event.get("own_text_rise"):
        said.append(f"the base's own text {event['own_text_rise']:+.2f} nats")
    return f"{', '.join(said)}{_at_step(event)}{best}", ""


def _checkpoint(event: Mapping[str, Any]) -> tuple[str, str]:
    return f"checkpoint saved{_at_step(event)}, {size(event.get('bytes'))}, {event.get('reason', '')}", ""


def _checkpoint_skipped(event: Mapping[str, Any]) -> tuple[str, str]:
    return f"checkpoint passed over: {event.get('path')}: {event.get('reason')}", "warning"


def _checkpoint_failed(event: Mapping[str, Any]) -> tuple[str, str]:
    return f"checkpoint not saved{_at_step(event)}: {event.get('error')}", "bad"


def _checkpoint_removed(event: Mapping[str, Any]) -> tuple[str, str]:
    return f"checkpoint removed to make room: {event.get('path')} ({event.get('reason')})", "warning"


def _samples(event: Mapping[str, Any]) -> tuple[str, str]:
    return f"sample answers written{_at_step(event)}", ""


def _control(event: Mapping[str, Any]) -> tuple[str, str]:
    note = f": {event['note']}" if event.get("note") else ""
    tone = "warning" if event["status"] == "refused" else "accent"
    return f"{event['command']} {event['status']}{note}", tone


def _alarm(event: Mapping[str, Any]) -> tuple[str, str]:
    if not event.get("severity"):
        return f"{event['message']}{_at_step(event)}", "warning"
    head = f"{event['severity']}: {kind_in_words(event)}{_at_step(event)}"
    return f"{head}: {event['message']}", "bad" if is_grave(event) else "warning"


def _alarm_over(event: Mapping[str, Any]) -> tuple[str, str]:
    return f"{kind_in_words(event)} is over{_at_step(event)}", "good"


def _meter_off(event: Mapping[str, Any]) -> tuple[str, str]:
    return f"the meter {event['meter']} is switched off: {event['reason']}", "warning"


def _hang(event: Mapping[str, Any]) -> tuple[str, str]:
    stack = [str(frame) for frame in event["stack"]]
    where = f": {' > '.join(stack)}" if stack else ""
    return f"no progress for {duration(event['seconds'])}, {event['phase']}{_at_step(event)}{where}", "bad"


def _error(event: Mapping[str, Any]) -> tuple[str, str]:
    problems = [
        " – ".join(str(part) for part in (p.get("where"), p.get("what"), p.get("hint")) if part)
        for p in event["problems"]
    ]
    return "; ".join(problems) or "it failed", "bad"


def _resumed(event: Mapping[str, Any]) -> tuple[str, str]:
    return f"resumed{_at_step(event)} from {event.get('checkpoint')}", "accent"


def _inexact(event: Mapping[str, Any]) -> tuple[str, str]:
    return f"inexact from here on{_at_step(event)}: {in_words(event)}", "warning"


def _nonfinite(event: Mapping[str, Any]) -> tuple[str, str]:
    words = {"stop": "the run stops", "skip": "the batch is left out", "rollback": "the run goes back"}
    rows = ", ".join(map(str, event["alone"] or event["rows"]))
    alone = "rows that give it alone" if event["alone"] else "rows of the batch"
    said = f"{event['where']} not finite{_at_step(event)}: {words[event['policy']]}"
    return f"{said}; {alone}: {rows}" if rows else said, "bad"


def _rolled_back(event: Mapping[str, Any]) -> tuple[str, str]:
    return f"went back from step {count(event['from_step'])} to {event['checkpoint']}", "accent"


def _finished(event: Mapping[str, Any]) -> tuple[str, str]:
    reason = str(event["reason"])
    tone = "bad" if reason in ("diverged", "unsaved", "job_failed") else "good"
    note = f": {event['note']}" if event.get("note") else ""
    return f"{_FINISHED.get(reason, reason.replace('_', ' '))}{_at_step(event)}{note}", tone


def _restart(event: Mapping[str, Any]) -> tuple[str, str]:
    return str(event["message"]), "warning"


def _batch_halved(event: Mapping[str, Any]) -> tuple[str, str]:
    return str(event["message"]), "warning"


def _evaluation_halved(event: Mapping[str, Any]) -> tuple[str, str]:
    rows = f"{count(event['rows'])} row{'' if event['rows'] == 1 else 's'}"
    return f"memory ran out{_at_step(event)}: this evaluation goes on with {rows} to a pass", "warning"


def _hosted(event: Mapping[str, Any]) -> tuple[str, str]:
    """Words of a provider, and what the follower says of its own."""
    tone = {"error": "bad", "warn": "warning"}.get(str(event.get("level")), "")
    return str(event["message"]), tone


def _hosted_checkpoint(event: Mapping[str, Any]) -> tuple[str, str]:
    return f"checkpoint at the provider{_at_step(event)}: {event['model']}", ""


def _at_step(event: Mapping[str, Any]) -> str:
    return f" at step {count(event['step'])}" if event.get("step") is not None else ""


_FINISHED = {
    "unsaved": "ended without its last checkpoint",
    "job_failed": "the job failed at the provider",
    "cancelled": "the job was cancelled at the provider",
    "unfollowed": "not followed any more",
}
_SENTENCES = {
    "phase": _phase,
    "data_check": _data_check,
    "ready": _ready,
    "evaluation": _evaluation,
    "checkpoint": _checkpoint,
    "checkpoint_skipped": _checkpoint_skipped,
    "checkpoint_failed": _checkpoint_failed,
    "checkpoint_removed": _checkpoint_removed,
    "samples": _samples,
    "control": _control,
    "alarm": _alarm,
    "alarm_over": _alarm_over,
    "meter_off": _meter_off,
    "hang": _hang,
    "error": _error,
    "resumed": _resumed,
    "restart": _restart,
    "batch_halved": _batch_halved,
    "evaluation_halved": _evaluation_halved,
    "hosted": _hosted,
    "hosted_checkpoint": _hosted_checkpoint,
    "inexact": _inexact,
    "nonfinite": _nonfinite,
    "rolled_back": _rolled_back,
    "finished": _finished,
}
