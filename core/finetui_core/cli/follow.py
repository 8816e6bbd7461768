"""Following a run from a terminal or a pipe until it ends: a progress line, events, and what came of it."""

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from finetui_core.cli.say import data_json, duration, number, talk
from finetui_core.runs.reader import RunView
from finetui_core.text import visible

POLL_SECONDS = 0.25
BAR_WIDTH = 20


@dataclass(frozen=True, slots=True)
class News:
    """What a look at the run brought: the view after it, and the events and steps that are new."""

    view: RunView
    events: list[dict[str, Any]]
    steps: list[dict[str, Any]]
    changed: bool


def look(view: RunView, sleep: Callable[[float], None] = time.sleep) -> Iterator[News]:
    """Look at the run again and again until it has ended; the last look has everything."""
    seen_events, last_step = 0, 0
    while True:
        changed = view.refresh()
        events, seen_events = view.events[seen_events:], len(view.events)
        steps = [point for point in view.steps if point["step"] > last_step]
        last_step = view.steps[-1]["step"] if view.steps else 0
        yield News(view, events, steps, changed)
        if not view.state.live:
            return
        sleep(POLL_SECONDS)


def wait_until_ready(view: RunView) -> None:
    """Return once the run trains, or has ended."""
    for news in look(view):
        _show_line(f"{_phase(news.view)} …")
        if any(event.get("type") == "ready" for event in current_events(news.view)):
            break
    _clear_line()


def follow(view: RunView, *, as_json: bool = False, attempt: int = 1) -> None:
    """Print what happens from now on until the run ends."""
    for news in look(view):
        if as_json:
            for record in news.steps + news.events:
                data_json(record)
            continue
        for event in news.events:
            if event.get("attempt", 1) >= attempt and (text := describe(event)):
                _clear_line()
                talk(text)
        if news.view.state.live:
            _show_line(progress_line(news.view))
    _clear_line()


def current_events(view: RunView) -> list[dict[str, Any]]:
    """The events of the newest attempt."""
    attempt = view.attempts[-1].attempt if view.attempts else 1
    return [event for event in view.events if event.get("attempt") == attempt]


def progress_line(view: RunView) -> str:
    """One line that says where the run is."""
    facts = view.summary()
    step, total = facts["step"], facts["total_steps"]
    if not view.steps or not total:
        return f"{_phase(view)} …"
    filled = round(BAR_WIDTH * step / total)
    phase = "" if facts["phase"] in (None, "training") else f"  {facts['phase']}"
    return (
        f"{'█' * filled}{'░' * (BAR_WIDTH - filled)} {step}/{total}  epoch {number(facts['epoch'], 2)}  "
        f"loss {number(facts['loss'])}  val {number(facts['eval_loss'])}  "
        f"{number(facts['tokens_per_second'], 0)} tok/s  ETA {duration(facts['eta_seconds'])}{phase}"
    )


def _phase(view: RunView) -> str:
    phase = view.heartbeat.phase if view.heartbeat else "starting"
    return {"loading": "loading libraries and model", "preparing": "preparing data"}.get(phase, phase)


def describe(event: dict[str, Any]) -> str:
    """An event as a sentence, or "" for those that the progress line tells better."""
    teller = _TELLERS.get(str(event.get("type")))
    try:
        return teller(event) if teller else ""
    except (KeyError, TypeError, ValueError):
        return ""


def _ready(event: dict[str, Any]) -> str:
    share = event["trainable_parameters"] / event["total_parameters"]
    modules = ", ".join(f"{count} {name}" for name, count in event["matched_modules"].items())
    lines = [
        f"{event['train_rows']:,} training rows, {event['val_rows']:,} validation rows; "
        f"{event['total_steps']:,} steps on {event['device']}",
        f"{event['trainable_parameters']:,} of {event['total_parameters']:,} parameters are trained "
        f"({share:.1%}){': adapters on ' + modules if modules else ''}",
    ]
    lines += [f"{one['option']} = {one['value']}: {one['why']}" for one in event.get("defaults", ())]
    report = event.get("data_report", {})
    cut = [
        f"{report[name]:,} rows {words}"
        for name, words in _ROW_LOSSES.items()
        if isinstance(report.get(name), int) and report[name]
    ]
    if event["layout"]["note"]:
        lines.append(
            f"rows run {'packed' if event['layout']['packed'] else 'padded'}: {event['layout']['note']}"
        )
    return "\n".join([*lines, *cut])


_ROW_LOSSES = {
    "overlength_dropped": "were dropped because they are longer than data.max_length",
    "overlength_truncated": "were cut at data.max_length",
    "without_supervised_tokens": "were left out: nothing in them is learned",
    "val_rows_also_in_train": "of the validation set are in the training set as well",
}


def _evaluation(event: dict[str, Any]) -> str:
    probe = f", general text {number(event['probe_loss'])}" if "probe_loss" in event else ""
    best = "  (best so far)" if event.get("best") else ""
    return (
        f"step {event['step']}: validation loss {number(event['eval_loss'])}, "
        f"perplexity {number(event['eval_perplexity'], 2)}{probe}{best}"
    )


def _checkpoint(event: dict[str, Any]) -> str:
    return f"step {event['step']}: checkpoint {event['path']} ({event['bytes'] / 1e6:.1f} MB)"


def _error(event: dict[str, Any]) -> str:
    return "\n".join(
        f"{one['where']}: {one['what']}" if one.get("where") else one["what"] for one in event["problems"]
    )


_TELLERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "ready": _ready,
    "evaluation": _evaluation,
    "checkpoint": _checkpoint,
    "error": _error,
    "resumed": lambda event: f"continues from {event['checkpoint']}, step {event['step']}",
    "checkpoint_skipped": lambda event: f"{event['path']} is passed over: {event['reason']}",
    "alarm": lambda event: f"alarm: {event['message']}",
    "control": lambda event: f"{event['command']}: {event['status']}",
}


def _show_line(text: str) -> None:
    """Write the progress line over the last one; on a pipe there is none."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        sys.stderr.write(f"\r\x1b[K{visible(text)[: width - 1]}")
        sys.stderr.flush()


def _clear_line() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
