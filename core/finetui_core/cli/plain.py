"""Following a run as plain lines, one for each interval and each event: for pipes and screen readers."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from finetui_core.cli.follow import News
from finetui_core.cli.say import data
from finetui_core.runs.inexact import headline
from finetui_core.runs.sentences import event_sentence
from finetui_core.wording import count, duration, loss, number, percent

EVERY = 10.0
"""Seconds between two lines about the steps."""
_LEFT_OUT = frozenset({"phase", "samples"})


def print_plainly(looks: Iterable[News], every: float = EVERY) -> None:
    """Print the lines of `plain_lines` as they come."""
    for line in plain_lines(looks, every, time.monotonic):
        data(line)


def plain_lines(looks: Iterable[News], every: float, clock: Callable[[], float]) -> Iterator[str]:
    """A line for each event, for the newest step at most once in `every` seconds, and for the end.

    Nothing is written over, no line is longer than its sentence, and every number has its name.
    """
    told_at, told_step = -every, None
    for news in looks:
        for event in news.events:
            if event.get("type") not in _LEFT_OUT:
                yield f"{_time(event.get('t'))} {event_sentence(event)[0]}"
        facts = news.view.summary()
        due = clock() - told_at >= every or not news.view.state.live
        if due and news.steps and facts["step"] != told_step:
            told_at, told_step = clock(), facts["step"]
            yield f"{_time(news.steps[-1].get('t'))} {step_sentence(facts)}"
        if not news.view.state.live:
            yield f"{facts['state'].replace('_', ' ')}: {facts['reason']}"
            if facts.get("way_out"):
                yield str(facts["way_out"])


def step_sentence(facts: Mapping[str, Any]) -> str:
    """Where a run is, in words; `facts` as `RunView.summary` gives them."""
    step, total = number(facts["step"]), number(facts["total_steps"])
    said = [f"step {count(step)}"]
    if step is not None and total:
        said = [f"step {count(step)} of {count(total)} ({percent(step / total)})"]
    said.append(f"loss {loss(facts['loss'])}")
    if number(facts["eval_loss"]) is not None:
        said.append(f"validation loss {loss(facts['eval_loss'])}")
    if number(facts["tokens_per_second"]) is not None:
        said.append(f"{count(facts['tokens_per_second'])} tokens per second")
    if number(facts["eta_seconds"]) is not None:
        said.append(f"{duration(facts['eta_seconds'])} left")
    if facts.get("inexact_from") is not None:
        said.append(headline(facts["inexact_from"]))
    return ", ".join(said)


def _time(seconds: object) -> str:
    known = number(seconds)
    try:
        return "--:--:--" if known is None else time.strftime("%H:%M:%S", time.localtime(known))
    except (ValueError, OverflowError, OSError):
        return "--:--:--"
