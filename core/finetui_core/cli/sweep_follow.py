"""Following the runs of a sweep: a line as each starts and ends, and on a terminal one that is written over."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from finetui_core.cli.follow import clear_line, progress_line, show_line
from finetui_core.cli.say import talk
from finetui_core.errors import RunFailed
from finetui_core.runs import queue
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView
from finetui_core.wording import duration, loss

POLL_SECONDS = 0.5
_PATIENCE = 4.0  # seconds that a queue may look as if it stood still, while one worker follows another


def follow_sweep(
    root: Path, runs: Sequence[RunPaths], labels: Sequence[str], sleep: Callable[[float], None] = time.sleep
) -> int:
    """Say what happens until all runs have ended; returns how many of them did not end well.

    Raises RunFailed where some wait, none is under way, and nobody starts them.
    """
    views = [RunView(paths) for paths in runs]
    names = [f"[{number}/{len(runs)}] {label}".rstrip() for number, label in enumerate(labels, 1)]
    states = ["queued"] * len(runs)
    stood = 0.0
    while True:
        for at, view in enumerate(views):
            if states[at] in ("queued", "live"):
                view.refresh()
                states[at] = _say(view, names[at], states[at])
        if not {"queued", "live"} & set(states):
            clear_line()
            return states.count("bad")
        under_way = [at for at, state in enumerate(states) if state == "live"]
        if under_way:
            show_line(f"{names[under_way[0]]}  {progress_line(views[under_way[0]])}")
        said = "" if under_way else queue.standstill(root, states.count("queued"))
        stood = stood + POLL_SECONDS if said else 0.0
        if stood > _PATIENCE:
            clear_line()
            raise RunFailed(said)
        sleep(POLL_SECONDS)


def _say(view: RunView, name: str, before: str) -> str:
    """Tell what has changed of one run; returns "queued", "live", "good" or "bad"."""
    state = view.state
    if state.state == "queued":
        return "queued"
    if before == "queued":
        device = view.attempts[-1].device if view.attempts else None
        clear_line()
        talk(f"{name}: started{f' on {device}' if device else ''}  ({view.id})")
    if state.live:
        return "live"
    facts = view.summary()
    seconds = sum(one.end.at - one.started_at for one in view.attempts if one.end)
    clear_line()
    best = f", best validation loss {loss(facts['best_eval_loss'])}" if facts["best_eval_loss"] else ""
    talk(f"{name}: {state.state.replace('_', ' ')} after {duration(seconds)}{best}. {state.reason}")
    return "good" if state.state in ("finished", "stopped") else "bad"
