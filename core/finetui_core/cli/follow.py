"""Following a run from a terminal or a pipe until it ends: a progress line, events, and what came of it."""

import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from finetui_core.cli.say import data_json, talk
from finetui_core.runs.foreign import ForeignView
from finetui_core.runs.inexact import headline
from finetui_core.runs.liveness import IN_QUEUE
from finetui_core.runs.reader import RunView
from finetui_core.runs.sentences import event_sentence
from finetui_core.text import visible
from finetui_core.wording import count, duration, loss

View = RunView | ForeignView

POLL_SECONDS = 0.25
BAR_WIDTH = 20


@dataclass(frozen=True, slots=True)
class News:
    """What a look at the run brought: the view after it, and the events and steps that are new."""

    view: View
    events: list[dict[str, Any]]
    steps: list[dict[str, Any]]
    changed: bool


def look(view: View, sleep: Callable[[float], None] = time.sleep) -> Iterator[News]:
    """Look at the run again and again until it has ended; the last look has everything."""
    seen_events, last_step, went_back_to = 0, 0.0, math.inf
    cut = view.columns.cut
    while True:
        changed = view.refresh()
        events, seen_events = view.events[seen_events:], len(view.events)
        went_back_to = min(
            [went_back_to, *(_step(one) for one in events if one.get("type") == "rolled_back")]
        )
        if view.columns.cut != cut:  # the steps since then came anew
            last_step, went_back_to, cut = min(last_step, went_back_to), math.inf, view.columns.cut
        steps = view.steps.after(last_step)
        last_step = view.steps[-1]["step"] if view.steps else 0
        yield News(view, events, steps, changed)
        if not view.state.live and view.state.state != "queued":
            return
        sleep(POLL_SECONDS)


def _step(event: dict[str, Any]) -> float:
    step = event.get("step")
    return step if isinstance(step, int) else math.inf


def wait_until_ready(view: View) -> None:
    """Return once the run trains, or has ended."""
    for news in look(view):
        show_line(f"{_phase(news.view)} …")
        if any(event.get("type") == "ready" for event in current_events(news.view)):
            break
    clear_line()


def follow(view: View, *, as_json: bool = False, attempt: int = 1) -> None:
    """Print what happens from now on until the run ends."""
    for news in look(view):
        if as_json:
            for record in news.steps + news.events:
                data_json(record)
            continue
        for event in news.events:
            if event.get("attempt", 1) >= attempt and (text := describe(event)):
                clear_line()
                talk(text)
        if news.view.state.live or news.view.state.state == "queued":
            show_line(progress_line(news.view))
    clear_line()


def current_events(view: View) -> list[dict[str, Any]]:
    """The events of the newest attempt."""
    attempt = view.attempts[-1].attempt if view.attempts else 1
    return [event for event in view.events if event.get("attempt") == attempt]


def progress_line(view: View) -> str:
    """One line that says where the run is."""
    if view.state.state == "restarting":
        return view.state.reason
    facts = view.summary()
    step, total = facts["step"], facts["total_steps"]
    if not view.steps or not total:
        return f"{_phase(view)} …"
    filled = round(BAR_WIDTH * step / total)
    phase = "" if facts["phase"] in (None, "training") else f"  {facts['phase']}"
    inexact = headline(facts.get("inexact_from"))
    return (
        f"{'█' * filled}{'░' * (BAR_WIDTH - filled)} {step}/{total}  loss {loss(facts['loss'])}  "
        f"val {loss(facts['eval_loss'])}  {count(facts['tokens_per_second'])} tok/s  "
        f"{duration(facts['eta_seconds'])} left{phase}{'  ' if inexact else ''}{inexact}"
    )


def _phase(view: View) -> str:
    if view.state.state == "queued":
        return "waiting in the queue" if view.state.reason == IN_QUEUE else view.state.reason
    if view.state.state == "restarting":
        return view.state.reason
    phase = view.heartbeat.phase if view.heartbeat else "starting"
    return {"loading": "loading libraries and model", "preparing": "preparing data"}.get(phase, phase)


def describe(event: dict[str, Any]) -> str:
    """An event as a line or more; "" for those that the progress line tells better."""
    sentence, _ = event_sentence(event)
    if event.get("type") in ("phase", "samples", "finished", "nonfinite"):
        return ""
    try:
        if event.get("type") == "alarm" and event.get("remedy"):
            return f"{sentence}\n{event['remedy']}"
        return "\n".join([sentence, *_details(event)]) if event.get("type") == "ready" else sentence
    except (KeyError, TypeError):
        return sentence


def _details(event: dict[str, Any]) -> list[str]:
    """What a person wants to know before the first step: where adapters sit, defaults taken, rows lost."""
    lines = [f"{one['option']} = {one['value']}: {one['why']}" for one in event["defaults"]]
    if event["matched_modules"]:
        matched = ", ".join(f"{number} {name}" for name, number in event["matched_modules"].items())
        lines.insert(0, f"adapters on {matched}")
    if event["layout"]["note"]:
        form = "packed" if event["layout"]["packed"] else "padded"
        lines.append(f"rows run {form}: {event['layout']['note']}")
    report = event["data_report"]
    lines += [
        f"{count(report[name])} rows {words}" for name, words in _ROW_LOSSES.items() if report.get(name)
    ]
    return lines


_ROW_LOSSES = {
    "unusable_rows": "were left out because they cannot be used",
    "overlength_dropped": "were dropped because they are longer than data.max_length",
    "overlength_truncated": "were cut at data.max_length",
    "without_supervised_tokens": "were left out: nothing in them is learned",
    "val_rows_also_in_train": "of the validation set are in the training set as well",
}


def show_line(text: str) -> None:
    """Write the progress line over the last one; on a pipe there is none."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        sys.stderr.write(f"\r\x1b[K{visible(text)[: width - 1]}")
        sys.stderr.flush()


def clear_line() -> None:
    """Take the progress line away, so that a whole line can be written in its place."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
